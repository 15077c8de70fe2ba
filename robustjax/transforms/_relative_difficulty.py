"""LfF's weight: how much harder an example is for a biased network than for this one.

Nam, Cha, Ahn, Lee, Shin, "Learning from Failure: Training Debiased Classifier from
Biased Classifier", NeurIPS 2020.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.losses._classification import cross_entropy
from robustjax.transforms._averaged_losses import (
    UNSEEN,
    class_maxima,
    class_of,
    over_largest,
    update_average,
)
from robustjax.transforms._base import (
    Batch,
    ExampleSpec,
    LossState,
    LossTransform,
    Stage,
    Terms,
    need,
)
from robustjax.transforms._reduction import need_single_labels
from robustjax.transforms._rows import gather_rows, rowwise

# The authors' guard of the quotient.
_TINY = 1e-8


def difficulty_ratio(biased: jax.Array, debiased: jax.Array) -> jax.Array:
    """`l_B / (l_B + l_D)`, the relative difficulty score.

    Args:
      biased: (...) non-negative losses of a biased network.
      debiased: (...) those of the network to be trained.

    Returns:
      (...) in [0, 1]: 0.5 for equal losses, about 1 for an example that only the
      biased network finds hard, 0 where both losses are 0.
    """
    return biased / (biased + debiased + _TINY)


def relative_difficulty(decay: float = 0.7, *, normalize: bool = True) -> LossTransform:
    """Multiplies the weights by `c_B / (c_B + c_D)`, without gradient.

    Both networks' cross-entropies are averaged over an example's visits (`decay`; the
    average moves *before* it is used, and starts with the first loss) and divided by
    the largest average of the example's class, over all examples that were visited so
    far: c in [0, 1]. The talks and the paper's Eq. 3 show the raw losses' ratio, which
    is `relative_difficulty(0.0, normalize=False)`; the authors' code averages and
    normalises, and so do the defaults. The mean stays one over all examples, not over
    the weights, as published.

    The rows hold "average" (N_padded, 2), biased and debiased, and "class" (N_padded,),
    the label at the last visit, -1 before the first. Two passes over all examples' rows
    a step find the largest: cheap beside a network's step.

    Needs `logits`, of the network to be trained, and `biased_logits`, both (B, C).

    Args:
      decay: of the averages, in [0, 1]; 0 takes the losses of the moment.
      normalize: whether to divide by the class's largest.

    Raises:
      ValueError: a decay outside its range; in `update`, examples with many labels.
    """
    name = "relative_difficulty"
    checks.in_range("decay", decay, 0, 1)

    def init_rows(spec: ExampleSpec) -> Any:
        count = spec.padded_examples
        return {
            "average": jnp.zeros((count, 2), jnp.float32),
            "class": jnp.full(count, UNSEEN, jnp.int32),
        }

    def record(
        terms: Terms, rows: Any, shared: Any, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, Any]:
        del shared, batch
        need_single_labels(name, terms)
        losses = [
            cross_entropy(jnp.asarray(need(name, extra, key)), terms.labels)
            for key in ("biased_logits", "logits")
        ]
        loss = jax.lax.stop_gradient(jnp.stack(losses, axis=1))
        seen = (rows["class"] != UNSEEN)[:, None]
        average = update_average(rows["average"], seen, loss, decay)
        return terms, {"average": average, "class": class_of(terms.labels)}

    recording = rowwise(init_rows, record, stage=Stage.WEIGHTS, name=name)

    def update(
        terms: Terms, state: LossState, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, LossState]:
        terms, state = recording.update(terms, state, batch, **extra)
        own = gather_rows(state.rows, batch, terms.mask)
        level = own["average"]
        if normalize:
            axis_name = extra.get("axis_name")
            divided = axis_name if extra.get("local_rows", False) else None
            num_classes = jnp.shape(extra["logits"])[-1]
            largest = class_maxima(
                state.rows["average"], state.rows["class"], num_classes, divided
            )
            level = over_largest(level, largest, own["class"])
        weight = difficulty_ratio(level[:, 0], level[:, 1])
        return terms.replace(weight=terms.weight * weight), state

    return recording._replace(update=update)
