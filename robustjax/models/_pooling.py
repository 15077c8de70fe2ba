"""Max pooling with a derivative that is fast on CPU."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from robustjax import checks


def _corners(inputs: jax.Array) -> list[jax.Array]:
    """The four members of every 2×2 window, row by row, (B, H // 2, W // 2, C)."""
    height, width = (n // 2 * 2 for n in inputs.shape[1:3])
    return [inputs[:, i:height:2, j:width:2] for i in range(2) for j in range(2)]


@jax.custom_vjp
def _pool(inputs: jax.Array) -> jax.Array:
    return functools.reduce(jnp.maximum, _corners(inputs))


def _forward(inputs: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    outputs = _pool(inputs)
    return outputs, (inputs, outputs)


def _backward(
    saved: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array]:
    inputs, outputs = saved
    taken = jnp.zeros(outputs.shape, bool)
    parts = []
    for corner in _corners(inputs):
        chosen = (corner == outputs) & ~taken
        taken = taken | chosen
        parts.append(jnp.where(chosen, gradient, 0))
    rows = [jnp.stack(pair, axis=3) for pair in (parts[:2], parts[2:])]
    batch, height, width, channels = outputs.shape
    spread = jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, channels)
    odd = [(0, n % 2) for n in inputs.shape[1:3]]
    return (jnp.pad(spread, ((0, 0), *odd, (0, 0))),)


_pool.defvjp(_forward, _backward)


def max_pool2(inputs: jax.Array) -> jax.Array:
    """The largest value of every 2×2 window, with stride 2 and no padding.

    Equals `flax.linen.max_pool(inputs, (2, 2), (2, 2))`, derivative included: among
    equal values the first, row by row, receives all of it. Reverse mode only.

    Args:
      inputs: (B, H, W, C) floats, H and W >= 2; an odd last row or column is
        dropped.

    Returns:
      (B, H // 2, W // 2, C).

    Raises:
      ValueError: another rank, or images too small for a window.
    """
    checks.rank("inputs", inputs, 4)
    if min(inputs.shape[1:3]) < 2:
        raise ValueError(
            f"inputs: got shape {inputs.shape}, expected a height and width >= 2"
        )
    return _pool(inputs)
