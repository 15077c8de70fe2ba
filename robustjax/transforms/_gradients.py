"""The gradient-side counterpart: weighting per-example gradients in optax."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from robustjax import checks

REDUCTIONS = ("mean", "sum")


def aggregate_weighted(
    reduction: str = "mean",
) -> optax.GradientTransformationExtraArgs:
    """Aggregates per-example gradients with per-example weights.

    `sum_k w_k g_k` over a mini-batch (Eq. 2 of Kim, ECCV 2022), for training loops
    that have per-example gradients anyway, as in `optax.differentially_private_sgd`.
    The gradient is linear, so this equals the gradient of the weighted loss.

    The transformation's `update` takes updates with leaves (B, ...) and the extra
    arguments `weights` (B,) and, optionally, `mask` (B,) bool; it returns updates
    with leaves (...). Put it first in an `optax.chain`.

    Args:
      reduction: "mean" divides by the number of real examples, "sum" does not.

    Returns:
      An `optax.GradientTransformationExtraArgs` without state.

    Raises:
      ValueError: an unknown reduction; in `update`, leaves whose first axis is not
        the batch's, or a mask of another shape or of other values than bools, or 0
        and 1.
    """
    checks.one_of("reduction", reduction, REDUCTIONS)

    def init(params: Any) -> optax.EmptyState:
        del params
        return optax.EmptyState()

    def update(
        updates: Any,
        state: optax.EmptyState,
        params: Any = None,
        *,
        weights: jax.Array,
        mask: jax.Array | None = None,
        **extra: Any,
    ) -> tuple[Any, optax.EmptyState]:
        del params, extra
        fault: jax.Array | None = None
        if mask is None:
            mask = jnp.ones(weights.shape, bool)
        else:
            mask = checks.truths("mask", mask)
            fault, mask = checks.untrue(mask), jnp.asarray(mask, bool)
            if mask.shape != weights.shape:
                raise ValueError(
                    f"mask: got shape {mask.shape}, expected that of the weights, "
                    f"{weights.shape}"
                )
        factor = jnp.where(mask, weights, 0.0)
        if fault is not None:
            factor = jnp.where(fault, jnp.nan, factor)
        if reduction == "mean":
            factor = factor / jnp.maximum(jnp.sum(mask), 1)

        def total(gradients: jax.Array) -> jax.Array:
            if gradients.shape[:1] != factor.shape:
                raise ValueError(
                    f"updates: got a leaf of shape {gradients.shape}, expected one "
                    f"gradient per example, (B, ...) with B = {factor.shape[0]}"
                )
            weighted = factor.astype(gradients.dtype)
            return jnp.tensordot(weighted, gradients, axes=1)

        return jax.tree.map(total, updates), state

    return optax.GradientTransformationExtraArgs(init, update)
