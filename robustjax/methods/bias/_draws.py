"""Orders of an epoch in which examples are not equally frequent."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def in_batches(index: jax.Array, batch_size: int, padding_index: int) -> jax.Array:
    """(N,) draws as (ceil(N / B), B) int32, the last batch padded."""
    padding = -index.shape[0] % batch_size
    index = jnp.pad(index, (0, padding), constant_values=padding_index)
    return index.reshape(-1, batch_size).astype(jnp.int32)


def weighted_order(
    key: jax.Array, weights: jax.Array, batch_size: int, padding_index: int
) -> jax.Array:
    """As many independent draws as there are examples, in proportion to weights.

    Args:
      key: PRNG key.
      weights: (N,) non-negative, not all 0.
      batch_size: B.
      padding_index: stands for "no example".

    Returns:
      (ceil(N / B), B) int32; a batch may hold an example several times.
    """
    count = weights.shape[0]
    drawn = jax.random.choice(
        key, count, (count,), p=weights / jnp.sum(weights), replace=True
    )
    return in_batches(drawn, batch_size, padding_index)


def kept_order(
    key: jax.Array, kept: jax.Array, batch_size: int, padding_index: int
) -> jax.Array:
    """As many draws as there are examples, round and round those that are kept.

    An epoch then has as many steps as without selection, and every kept example comes
    up as often as the others, but for one time.

    Args:
      key: PRNG key.
      kept: (N,) bool.
      batch_size: B.
      padding_index: stands for "no example"; all are, where none is kept.

    Returns:
      (ceil(N / B), B) int32.
    """
    size = kept.shape[0]
    shuffled = jax.random.permutation(key, size)
    # Stable, so that the kept ones stay in random order.
    first = shuffled[jnp.argsort(~kept[shuffled], stable=True)]
    count = jnp.sum(kept)
    drawn = first[jnp.arange(size) % jnp.maximum(count, 1)]
    drawn = jnp.where(count > 0, drawn, padding_index)
    return in_batches(drawn, batch_size, padding_index)
