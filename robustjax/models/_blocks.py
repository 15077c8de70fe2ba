"""Functions of a batch, applied block by block in a loop.

What a convolution holds in between (patches, transformed tiles) is several times
larger than its inputs. In blocks it stays in the cache, and the loop's body is
compiled once, however many blocks there are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax


def num_blocks(batch: int, row_bytes: float, block_bytes: float) -> int:
    """Into how many blocks to divide a batch.

    Args:
      batch: rows, >= 1.
      row_bytes: what a row holds in between.
      block_bytes: what a block may hold.

    Returns:
      At least one, at most `batch`; a divisor of `batch` if there is one of at most
      twice the number that is needed, so that no rows are left over, which would be
      compiled by themselves.
    """
    wanted = min(max(1, -(-int(batch * row_bytes) // int(block_bytes))), batch)
    for blocks in range(wanted, min(2 * wanted, batch) + 1):
        if batch % blocks == 0:
            return blocks
    return wanted


def _divide(array: jax.Array, rows: int) -> tuple[jax.Array, jax.Array]:
    """Full blocks (n, rows, ...), and the rows left over (fewer than `rows`, ...)."""
    full = len(array) // rows
    shape = (full, rows, *array.shape[1:])
    return array[: full * rows].reshape(shape), array[full * rows :]


def map_blocks(
    function: Callable[[jax.Array], jax.Array], array: jax.Array, blocks: int
) -> jax.Array:
    """Applies a function of rows block by block.

    Args:
      function: (b, ...) -> (b, ...), row by row, for any b.
      array: (B, ...), B >= 1.
      blocks: from `num_blocks`; fewer where B does not divide by it.

    Returns:
      `function(array)`.
    """
    if blocks == 1:
        return function(array)
    full, rest = _divide(array, -(-len(array) // blocks))
    done = lax.map(function, full)
    done = done.reshape(-1, *done.shape[2:])
    return jnp.concatenate([done, function(rest)]) if len(rest) else done


def sum_blocks(
    function: Callable[..., jax.Array], arrays: tuple[jax.Array, ...], blocks: int
) -> jax.Array:
    """Adds a function of rows up over blocks, in float32 at least.

    Args:
      function: some arrays (b, ...) -> an array whose shape does not depend on b, for
        any b; a sum over the rows.
      arrays: each (B, ...), B >= 1.
      blocks: from `num_blocks`; fewer where B does not divide by it.

    Returns:
      `function(*arrays)`, up to rounding.
    """
    if blocks == 1:
        return function(*arrays)
    rows = -(-len(arrays[0]) // blocks)
    pairs = [_divide(array, rows) for array in arrays]
    full, rest = (tuple(part) for part in zip(*pairs))
    like = jax.eval_shape(function, *arrays)
    # Sums of many blocks lose digits below float32.
    wide = functools.partial(jnp.asarray, dtype=jnp.promote_types(like.dtype, "f4"))

    def add(total: jax.Array, block: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        return total + wide(function(*block)), None

    total, _ = lax.scan(add, wide(jnp.zeros(like.shape)), full)
    if len(rest[0]):
        total = total + wide(function(*rest))
    return total.astype(like.dtype)
