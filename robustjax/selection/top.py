"""The best of what is available: maxima and top-k that are fast on every backend."""

from __future__ import annotations

import jax
import jax.numpy as jnp

_GROUP = 64


def fast_argmax(values: jax.Array) -> jax.Array:
    """Index of the largest value, the first one among equals.

    In two levels: XLA's one-level argmax on CPU is several times slower than the
    maximum it contains.

    Args:
      values: (N,) floats without NaN.

    Returns:
      () int32.
    """
    size = values.shape[0]
    if size <= 4 * _GROUP:
        return jnp.argmax(values).astype(jnp.int32)
    padded = jnp.pad(values, (0, -size % _GROUP), constant_values=-jnp.inf)
    groups = padded.reshape(-1, _GROUP)
    group = jnp.argmax(jnp.max(groups, axis=1))
    return (group * _GROUP + jnp.argmax(groups[group])).astype(jnp.int32)


def top_available(
    scores: jax.Array, available: jax.Array, count: int
) -> tuple[jax.Array, jax.Array]:
    """The `count` available examples with the largest scores, largest first.

    Args:
      scores: (N,) floats.
      available: (N,) bool.
      count: 1 … N.

    Returns:
      (count,) int32 indices, equal scores in order of index, and (count,) bool, False
      where fewer than `count` examples were available.
    """
    ranked = jnp.where(available, scores, -jnp.inf)
    indices = jax.lax.top_k(ranked, count)[1]
    return indices, available[indices]
