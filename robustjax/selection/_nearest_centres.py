"""The nearest centres of every point, and squared distances to given ones."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from robustjax.graph._neighbor_search import largest_columns

# Numbers held at once, small enough to stay in a CPU's cache.
_BLOCK_NUMBERS = 4_000_000


@functools.partial(jax.jit, static_argnames=("count", "block_rows"))
def _nearest(
    points: jax.Array, centres: jax.Array, *, count: int, block_rows: int
) -> jax.Array:
    size = points.shape[0]
    half_norm = jnp.sum(centres**2, axis=1)[None] / 2

    def block(start: jax.Array) -> jax.Array:
        row = jnp.minimum(start + jnp.arange(block_rows), size - 1)
        similarity = (
            jnp.matmul(points[row], centres.T, precision=jax.lax.Precision.HIGHEST)
            - half_norm
        )
        pad = -similarity.shape[1] % 64
        similarity = jnp.pad(similarity, ((0, 0), (0, pad)), constant_values=-jnp.inf)
        return largest_columns(similarity, count)

    found = jax.lax.map(block, jnp.arange(0, size, block_rows))
    return found.reshape(-1, count)[:size].astype(jnp.int32)


def nearest_centres(points: jax.Array, centres: jax.Array, count: int) -> np.ndarray:
    """The `count` nearest of k centres for each point, nearest first.

    Args:
      points: (N, d) float32.
      centres: (k, d) float32.
      count: 1 … k.

    Returns:
      (N, count) int32. There is no N × k array.
    """
    rows = min(len(points), max(32, _BLOCK_NUMBERS // len(centres)), 1024)
    return np.array(_nearest(points, centres, count=count, block_rows=rows))


@functools.partial(jax.jit, static_argnames="block_rows")
def _squares(
    points: jax.Array, centres: jax.Array, candidates: jax.Array, *, block_rows: int
) -> jax.Array:
    size = points.shape[0]

    def block(start: jax.Array) -> jax.Array:
        row = jnp.minimum(start + jnp.arange(block_rows), size - 1)
        difference = centres[candidates[row]] - points[row][:, None]
        return jnp.sum(difference**2, axis=-1)

    found = jax.lax.map(block, jnp.arange(0, size, block_rows))
    return found.reshape(-1, candidates.shape[1])[:size]


def squared_distances(
    points: jax.Array, centres: jax.Array, candidates: np.ndarray
) -> np.ndarray:
    """Squared distances (N, m) of points to their candidates, from differences.

    Args:
      points: (N, d) float32.
      centres: (k, d) float32.
      candidates: (N, m) centres.
    """
    width = candidates.shape[1] * points.shape[1]
    rows = max(1, min(len(points), _BLOCK_NUMBERS // width))
    found = _squares(points, centres, jnp.asarray(candidates), block_rows=rows)
    return np.asarray(found, np.float64)
