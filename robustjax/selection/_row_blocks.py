"""What is computed of rows, of some of them at a time.

A CPU computes fast what lies in its cache. XLA's compiler for CPUs writes what it makes
of all rows to memory and reads it again; in a loop over blocks of rows it need not, and
the memory is not taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

from robustjax.cores import usable_cores

_Rows = TypeVar("_Rows")


def by_blocks(
    function: Callable[[jax.Array, _Rows], jax.Array],
    start: jax.Array,
    rows: _Rows,
    step: int,
) -> jax.Array:
    """What a function makes of rows, block by block on a CPU and elsewhere at once.

    Other devices have many blocks in work together by themselves. Of rows that devices
    have in parts to be called by each for its own, see `Placement.on_rows`.

    Args:
      function: of (n,) out of `start` and rows (n, ...), row by row: (n,) numbers.
      start: (N,), of the type of what the function gives.
      rows: arrays (N, ...), a pytree.
      step: the rows of a block for each core, static.

    Returns:
      (N,) numbers.
    """
    if jax.default_backend() != "cpu":
        return function(start, rows)
    size = start.shape[0]
    step = min(size, step * usable_cores())

    def block(number: jax.Array, found: jax.Array) -> jax.Array:
        # The last block has rows of the one before, of which it makes the same.
        first = jnp.minimum(number * step, size - step)
        before, some = jax.tree.map(
            lambda array: jax.lax.dynamic_slice_in_dim(array, first, step),
            (start, rows),
        )
        return jax.lax.dynamic_update_slice_in_dim(
            found, function(before, some), first, axis=0
        )

    return jax.lax.fori_loop(0, -(-size // step), block, start)
