"""Batch normalisation that leaves padding out."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from robustjax import checks


class BatchNorm(nn.Module):
    """Batch normalisation over the real rows of a batch (Ioffe and Szegedy, 2015).

    Parameters, variables and results are those of `flax.linen.BatchNorm` (running
    averages of the biased variance), with three differences. Rows can be masked at
    no cost: their number is counted, not summed over all positions. A batch of
    padding alone is normalised by the running averages and leaves them as they are,
    where a mean over nothing would fill both with NaN. And the result has the dtype
    asked for.

    Under `jax.jit` with the batch divided over devices the statistics are those of
    the whole batch; under `jax.vmap` every member has its own.

    Attributes:
      momentum: how much of the running averages a step keeps.
      epsilon: added to the variance.
      dtype: of the result; statistics, parameters and the arithmetic in between are
        float32.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, train: bool, mask: jax.Array | None = None
    ) -> jax.Array:
        """Normalises every channel.

        Args:
          inputs: (B, ..., C) floats.
          train: whether to normalise by the batch and update `batch_stats`, rather
            than normalise by `batch_stats`.
          mask: (B,) bool, False on padding; None for a batch without. Ignored
            unless training.

        Returns:
          (B, ..., C) of the attribute `dtype`; padding rows are normalised like the
          others.

        Raises:
          ValueError: inputs without a channel axis, or a mask of another length.
        """
        if inputs.ndim < 2:
            raise ValueError(f"inputs: got shape {inputs.shape}, expected (B, ..., C)")
        channels = inputs.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (channels,), jnp.float32)
        running = (
            self.variable("batch_stats", "mean", jnp.zeros, (channels,), jnp.float32),
            self.variable("batch_stats", "var", jnp.ones, (channels,), jnp.float32),
        )
        mean, variance = (variable.value for variable in running)
        values = inputs.astype(jnp.float32)
        if train:
            old = mean, variance
            mean, variance = batch_statistics(values, mask, otherwise=old)
            if not self.is_initializing():
                empty = False if mask is None else ~jnp.any(mask)
                for variable, new in zip(running, (mean, variance)):
                    kept = self.momentum * variable.value
                    moved = kept + (1 - self.momentum) * new
                    variable.value = jnp.where(empty, variable.value, moved)
        wide = (1,) * (inputs.ndim - 1) + (channels,)
        factor = (scale * jax.lax.rsqrt(variance + self.epsilon)).reshape(wide)
        outputs = (values - mean.reshape(wide)) * factor + bias.reshape(wide)
        return outputs.astype(self.dtype)


def batch_statistics(
    values: jax.Array,
    mask: jax.Array | None,
    otherwise: tuple[jax.Array, jax.Array],
) -> tuple[jax.Array, jax.Array]:
    """Mean and biased variance of every channel over the real rows.

    Args:
      values: (B, ..., C) float32.
      mask: (B,) bool, False on padding, or None.
      otherwise: (C,) and (C,), what to return where no row is real.

    Returns:
      (C,) and (C,) float32.

    Raises:
      ValueError: a mask of another shape than (B,).
    """
    axes = tuple(range(values.ndim - 1))
    positions = values.size // (values.shape[0] * values.shape[-1])
    count: jax.Array | int = values.shape[0]
    if mask is not None:
        checks.rank("mask", mask, 1)
        checks.same_length(mask=mask, inputs=values)
        real = mask.reshape(-1, *(1,) * (values.ndim - 1))
        values = jnp.where(real, values, 0.0)
        count = jnp.maximum(jnp.sum(mask), 1)
    size = count * positions
    mean = jnp.sum(values, axes) / size
    square = jnp.sum(values * values, axes) / size
    # Rounding can leave the difference below zero.
    variance = jnp.maximum(square - mean * mean, 0.0)
    if mask is None:
        return mean, variance
    some = jnp.any(mask)
    return (
        jnp.where(some, mean, otherwise[0]),
        jnp.where(some, variance, otherwise[1]),
    )
