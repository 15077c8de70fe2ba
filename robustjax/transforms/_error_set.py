"""JTT: what a briefly trained network gets wrong counts several times.

Liu, Haghgoo, Chen, Raghunathan, Koh, Sagawa, Liang, Finn, "Just Train Twice: Improving
Group Robustness without Training Group Information", ICML 2021.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from robustjax import checks
from robustjax.transforms._averaged_losses import class_of
from robustjax.transforms._base import (
    Batch,
    ExampleSpec,
    LossState,
    LossTransform,
    Reduction,
    Stage,
    Terms,
    need,
)
from robustjax.transforms._reduction import need_single_labels, reweighted
from robustjax.transforms._rows import rowwise


def up_weight_errors(factor: float = 21.0, epochs: int = 1) -> LossTransform:
    """Counts an example `factor` times from some epoch on if it was wrong before it.

    In the first `epochs` every visit records whether the arg-max is the label, in the
    rows "error"; nothing is weighted. From then on the rows stay as they are, and the
    weight of an example whose last visit of those epochs was wrong is multiplied by
    `factor`; the mean of a batch is over its weights. Over many batches that is about
    the mean of a data set with as many copies; in a single one the weights are only
    against each other, so that a batch of errors alone is as without.

    The published method takes one pass in evaluation mode after those epochs and then
    trains a fresh network; `methods.bias.jtt` does. This is its weighting for training
    loops of one's own: restart the network when the epochs are over, keep the state.
    The authors append `lambda_up` copies, so that `factor = 1 + lambda_up`; they tried
    20, 50 and 100.

    Needs `logits`, (B, C).

    Args:
      factor: >= 0; 1 is plain training.
      epochs: T >= 0, those that find the errors; with 0 there are none.

    Raises:
      ValueError: a number outside its range; in `update`, examples with many labels.
    """
    name = "up_weight_errors"
    checks.in_range("factor", factor, 0)
    checks.in_range("epochs", epochs, 0)

    def init_rows(spec: ExampleSpec) -> Any:
        return {"error": jnp.zeros(spec.padded_examples, bool)}

    def update_rows(
        terms: Terms, rows: Any, shared: Any, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, Any]:
        del batch
        need_single_labels(name, terms)
        logits = jnp.asarray(need(name, extra, "logits"))
        wrong = jnp.argmax(logits, axis=-1) != class_of(terms.labels)
        finding = shared["epochs"] < epochs
        counted = jnp.where(rows["error"] & ~finding, factor, 1.0)
        error = jnp.where(finding, wrong, rows["error"])
        weight = terms.weight * counted
        terms = reweighted(name, terms, weight, Reduction.WEIGHTED_MEAN)
        return terms, {"error": error}

    def epoch(state: LossState, /, **extra: Any) -> LossState:
        del extra
        return state._replace(shared={"epochs": state.shared["epochs"] + 1})

    return rowwise(
        init_rows,
        update_rows,
        stage=Stage.WEIGHTS,
        name=name,
        init_shared=lambda spec: {"epochs": jnp.int32(0)},
        epoch=epoch,
    )
