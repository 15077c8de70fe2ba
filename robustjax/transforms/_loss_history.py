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
    After every epoch the mean over the data set is subtracted and the rest added to
    the rows "total": O2U-Net's score (Huang et al., ICCV 2019), high for examples
    that are hard again and again. Stands after the head and changes no term.
    """

    def init_rows(spec: ExampleSpec) -> Any:
        zeros = jnp.zeros(spec.padded_examples, jnp.float32)
        return {"latest": zeros, "total": zeros}

    def update_rows(
        terms: Terms, rows: Any, shared: Any, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, Any]:
        del shared, batch, extra
        return terms, {**rows, "latest": terms.value}

    def epoch(state: LossState, /, **extra: Any) -> LossState:
        del extra
        latest = state.rows["latest"]
        count = state.shared["num_examples"]
        real = jnp.arange(latest.shape[0]) < count
        mean = jnp.sum(jnp.where(real, latest, 0.0)) / count
        total = jnp.where(real, state.rows["total"] + latest - mean, 0.0)
        return state._replace(rows={"latest": latest, "total": total})

    return rowwise(
        init_rows,
        update_rows,
        stage=Stage.ADDITIVE,
        name="accumulate_losses",
        epoch=epoch,
    )
