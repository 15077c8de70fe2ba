"""Epochs over a data set whose examples belong to different pools."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def pools_order(
    key: jax.Array,
    pool: jax.Array,
    *,
    num_pools: int,
    batch_size: int,
    steps: int,
    padding_index: int,
) -> jax.Array:
    """An epoch's batches, with equally many examples of every pool in each.

    Every pool is gone through in a random order, again and again until the epoch
    ends. A pool with fewer examples than its share of a batch fills the rest with
    padding, so that no batch holds an example twice.

    Args:
      key: PRNG key.
      pool: (N,) integers, possibly traced; examples outside [0, `num_pools`) are
        never drawn.
      num_pools: P.
      batch_size: B, a multiple of P.
      steps: S, batches per epoch.
      padding_index: stands for "no example".

    Returns:
      (S, B / P, P) int32 examples; the last axis is the pool.

    Raises:
      ValueError: a batch size that is no multiple of the pools.
    """
    if batch_size % num_pools:
        kind = "an even number" if num_pools == 2 else f"a multiple of {num_pools}"
        raise ValueError(f"batch_size: got {batch_size}, expected {kind}")
    share = batch_size // num_pools
    inside = (pool >= 0) & (pool < num_pools)
    rank = jnp.where(inside, pool, num_pools)
    shuffled = jnp.lexsort((jax.random.uniform(key, pool.shape), rank))
    in_epoch = jnp.arange(steps * share).reshape(steps, share)
    in_batch = jnp.broadcast_to(jnp.arange(share)[None], (steps, share))
    counts = [jnp.sum(rank == number) for number in range(num_pools)]

    drawn, begin = [], jnp.zeros_like(counts[0])
    for count in counts:
        place = begin + in_epoch % jnp.maximum(count, 1)
        examples = shuffled.at[place].get(mode="clip")
        drawn.append(jnp.where(in_batch < count, examples, padding_index))
        begin = begin + count
    return jnp.stack(drawn, axis=-1).astype(jnp.int32)
