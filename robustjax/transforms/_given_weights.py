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
from robustjax.transforms._reduction import reweighted
from robustjax.transforms._rows import rowwise


def given_weights(reduction: Reduction = Reduction.WEIGHTED_MEAN) -> LossTransform:
    """Multiplies the weights by the state's rows "weight", initially 1.

    Set the rows to use it: `state._replace(rows={"weight": w})` with w (N_padded,).

    Args:
      reduction: how the values become one number; the default averages over what
        the weights leave, so that leaving examples out does not shrink the steps.

    Example:
      >>> import jax.numpy as jnp
      >>> import robustjax as rj
      >>> tx = rj.chain(rj.given_weights(), rj.ce())
      >>> state = tx.init(rj.ExampleSpec(num_examples=3, num_classes=2))
      >>> trusted = {"weight": jnp.array([1.0, 0.0, 1.0])}  # By a detector, say.
      >>> state = state._replace(rows=(trusted, state.rows[1]))
      >>> logits, labels = jnp.array([[0.0, 0.0], [9.0, 0.0]]), jnp.array([0, 1])
      >>> loss, _ = rj.value(tx, state, logits, labels, index=jnp.arange(2))
      >>> round(float(loss), 3)  # Of the first alone.
      0.693
    """

    def init_rows(spec: ExampleSpec) -> Any:
        return {"weight": jnp.ones(spec.padded_examples, jnp.float32)}

    def update_rows(
        terms: Terms, rows: Any, shared: Any, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, Any]:
        del shared, batch, extra
        weight = terms.weight * rows["weight"]
        return reweighted("given_weights", terms, weight, reduction), rows

    return rowwise(init_rows, update_rows, stage=Stage.WEIGHTS, name="given_weights")
