"""Epoch rules by the number of steps, for loaders that repeat forever."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.arrays import labels_for
from robustjax.losses._classification import cross_entropy
from robustjax.transforms._base import (
    AxisName,
    Batch,
    ExampleSpec,
    LossState,
    LossTransform,
    Terms,
    need,
    no_epoch,
    own_constants,
)
from robustjax.transforms._batches import entry, merge_faults
from robustjax.transforms._reduction import example_mean
from robustjax.transforms._rows import scatter_rows


def epoch_every(tx: LossTransform, steps: int) -> LossTransform:
    """Applies a transform's epoch rule after every `steps` updates, inside `jit`.

    For loops without epochs: `update` counts, and runs the rule of `tx` where it is
    due; `epoch` does nothing. The state's parts are under "inner". Under `vmap` the
    rule is computed at every step and kept where it is due.

    A rule that needs `losses` gets the cross-entropy that every example had at its
    last visit, in training mode, under the label that the batch gave (the evaluation
    pass of `epoch` has all losses of one moment instead). An example that was never
    visited counts with the mean of the others.

    Args:
      tx: any transform, or a whole chain.
      steps: updates an epoch, >= 1; N / B for one visit of every example. With
        microbatches every one of them is an update.

    Raises:
      ValueError: fewer than one step.
    """
    checks.at_least("steps", steps, 1)
    records = "losses" in tx.needs

    def init(spec: ExampleSpec, /) -> LossState:
        inner = tx.init(spec)
        rows = {"inner": inner.rows}
        if records:
            rows["loss"] = jnp.zeros(spec.padded_examples, jnp.float32)
            rows["visited"] = jnp.zeros(spec.padded_examples, bool)
        return LossState(rows, {"inner": inner.shared, "count": jnp.int32(0)})

    def update(
        terms: Terms, state: LossState, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, LossState]:
        layout = {
            key: extra[key] for key in ("axis_name", "local_rows") if key in extra
        }
        rows, given = dict(state.rows), terms
        inner = LossState(rows["inner"], state.shared["inner"])
        terms, inner = tx.update(terms, inner, batch, **extra)
        fault = None
        if records:
            logits = need("epoch_every", extra, "logits")
            seen = cross_entropy(logits, labels_for(entry(batch, "label")))
            seen = example_mean("epoch_every", given, seen)
            new = {"loss": seen, "visited": jnp.ones_like(given.mask)}
            recorded, fault = scatter_rows(
                {key: rows[key] for key in new},
                new,
                batch,
                given.mask,
                name="epoch_every",
                **layout,
            )
            rows |= recorded
        count = state.shared["count"] + 1

        def end(inner: LossState) -> LossState:
            if not records:
                return tx.epoch(inner, **layout)
            losses = _filled(rows["loss"], rows["visited"], **layout)
            return tx.epoch(inner, losses=losses, **layout)

        inner = jax.lax.cond(count % steps == 0, end, lambda inner: inner, inner)
        state = LossState(
            {**rows, "inner": inner.rows},
            {"inner": inner.shared, "count": count},
        )
        return terms.replace(fault=merge_faults(terms.fault, fault)), state

    return LossTransform(
        own_constants(init), update, no_epoch, tx.stages, f"epoch_every({tx.name})"
    )


def _filled(
    losses: jax.Array,
    visited: jax.Array,
    axis_name: AxisName = None,
    local_rows: bool = False,
) -> jax.Array:
    """The losses, with the mean of the others where an example was never visited."""
    real = visited & jnp.isfinite(losses)
    total, count = jnp.sum(jnp.where(real, losses, 0.0)), jnp.sum(real)
    if axis_name is not None and local_rows:
        total, count = jax.lax.psum((total, count), axis_name)
    return jnp.where(visited, losses, total / jnp.maximum(count, 1))
