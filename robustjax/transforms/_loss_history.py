"""Remembering how every example's training loss evolves."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from robustjax.transforms._base import (
    Batch,
    ExampleSpec,
    LossState,
    LossTransform,
    Stage,
    Terms,
)
from robustjax.transforms._rows import rowwise


def accumulate_losses() -> LossTransform:
    """Sums each example's training losses, relative to the epoch's mean.

    The losses are those of the training passes, at the moment an example is visited.
    After every epoch the mean over the examples that it visited is subtracted and the
    rest added to their rows "total": O2U-Net's score (Huang et al., ICCV 2019), high
    for examples that are hard again and again. What a loader left out, as a last batch
    that it dropped, stays as it was. Stands after the head and changes no term.
    """

    def init_rows(spec: ExampleSpec) -> Any:
        zeros = jnp.zeros(spec.padded_examples, jnp.float32)
        visited = jnp.zeros(spec.padded_examples, bool)
        return {"latest": zeros, "total": zeros, "visited": visited}

    def update_rows(
        terms: Terms, rows: Any, shared: Any, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, Any]:
        del shared, batch, extra
        visited = jnp.ones_like(rows["visited"])
        return terms, {**rows, "latest": terms.value, "visited": visited}

    def epoch(state: LossState, /, **extra: Any) -> LossState:
        del extra
        latest, visited = state.rows["latest"], state.rows["visited"]
        count = jnp.maximum(jnp.sum(visited), 1)
        mean = jnp.sum(jnp.where(visited, latest, 0.0)) / count
        total = state.rows["total"] + jnp.where(visited, latest - mean, 0.0)
        rows = {"latest": latest, "total": total, "visited": jnp.zeros_like(visited)}
        return state._replace(rows=rows)

    return rowwise(
        init_rows,
        update_rows,
        stage=Stage.ADDITIVE,
        name="accumulate_losses",
        epoch=epoch,
    )
