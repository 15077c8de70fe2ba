"""Weights that come from outside, such as a detector's verdict."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from robustjax.transforms._base import (
    Batch,
    ExampleSpec,
    LossTransform,
    Reduction,
    Stage,
    Terms,
)
from robustjax.transforms._rows import rowwise


def given_weights(reduction: Reduction = Reduction.WEIGHTED_MEAN) -> LossTransform:
    """Multiplies the weights by the state's rows "weight", initially 1.

    Set the rows to use it: `state._replace(rows={"weight": w})` with w (N_padded,).

    Args:
      reduction: how the values become one number; the default averages over what
        the weights leave, so that leaving examples out does not shrink the steps.
    """

    def init_rows(spec: ExampleSpec) -> Any:
        return {"weight": jnp.ones(spec.padded_examples, jnp.float32)}

    def update_rows(
        terms: Terms, rows: Any, shared: Any, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, Any]:
        del shared, batch, extra
        weight = terms.weight * rows["weight"]
        return terms.replace(weight=weight, reduction=reduction), rows

    return rowwise(init_rows, update_rows, stage=Stage.WEIGHTS, name="given_weights")
