"""Orders of an epoch in which examples are not equally frequent."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def in_batches(index: jax.Array, batch_size: int, padding_index: int) -> jax.Array:
    """(N,) draws as (ceil(N / B), B) int32, the last batch padded."""
    padding = -index.shape[0] % batch_size
    index = jnp.pad(index, (0, padding), constant_values=padding_index)
    return index.reshape(-1, batch_size).astype(jnp.int32)


# A uniform float32 has 2^23 values: a row in so many is drawn by 64 of them, give or
# take one.
_AT_ONCE = 2**17
_BLOCK = 1024


def weighted_draws(key: jax.Array, weights: jax.Array, count: int) -> jax.Array:
    """Independent draws of rows in proportion to weights.

    Of many rows a block is drawn first, then one of its rows: by a single cumulative
    sum in float32, half of 16 million rows would never be drawn.

    Args:
      key: PRNG key.
      weights: (N,) non-negative floats, not all 0.
      count: how many are drawn.

    Returns:
      (count,) int32 rows.
    """
    size = weights.shape[0]
    if size <= _AT_ONCE:
        weights = weights / jnp.sum(weights)
        drawn = jax.random.choice(key, size, (count,), p=weights, replace=True)
        return drawn.astype(jnp.int32)
    blocks = jnp.pad(weights, (0, -size % _BLOCK)).reshape(-1, _BLOCK)
    upper, lower = jax.random.split(key)
    block = weighted_draws(upper, jnp.sum(blocks, axis=1), count)
    ends = jnp.cumsum(blocks, axis=1)
    end = ends[block, -1]
    # Rounded up to the end, it would be beyond the last row that can be drawn.
    place = jnp.minimum(
        jax.random.uniform(lower, (count,), ends.dtype) * end, jnp.nextafter(end, 0)
    )
    row = jnp.zeros(count, jnp.int32)
    step = _BLOCK // 2
    while step:
        row = jnp.where(ends[block, row + step - 1] <= place, row + step, row)
        step //= 2
    return block * _BLOCK + row


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
    drawn = weighted_draws(key, weights, count)
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
