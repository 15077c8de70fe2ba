"""Rows that are kept in two bytes a number, and multiplied with float32 sums.

What is said to be kept in bfloat16 or float16 is rounded to it once, after an offset
and a scale have been taken out; everything is then computed of the rounded rows, in
float32.

On devices rows of bfloat16 are their bits, uint16: XLA's compiler for CPUs makes
float32 of a whole bfloat16 array wherever a part of it is looked at, which would take
more memory than float32 rows do. Zero has one sign there, so that equal rows have equal
bits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

STORAGES = ("float32", "bfloat16", "float16")
"""Types in which rows can be kept, by name; the first one rounds nothing more."""

# Numbers that are float32 at once where a CPU multiplies; they fit its cache.
_BLOCK_NUMBERS = 2**18
_MINUS_ZERO = 0x8000
_BFLOAT16 = jnp.dtype(jnp.bfloat16)


def check_storage(name: str, storage: Any, *, in_file: bool = False) -> str:
    """Returns the name of the type in which rows are to be kept.

    Args:
      name: what to call the argument in an error.
      storage: one of `STORAGES`, or that type of JAX's or NumPy's.
      in_file: whether the rows stay in a file, of which no device keeps any.

    Raises:
      ValueError: another type, or a narrow one of rows that are not kept.
    """
    found = storage
    # NumPy takes None for float64.
    if storage is not None:
        with contextlib.suppress(TypeError, ValueError):
            found = jnp.dtype(storage).name
    if found not in STORAGES:
        raise ValueError(
            f"{name}: got {found!r}, expected one of {', '.join(STORAGES)}"
        )
    if in_file and found != "float32":
        raise ValueError(
            f"{name}: got {found!r} for rows that stay in a file, expected float32: no "
            "device keeps them"
        )
    return str(found)


def kept_type(storage: str) -> np.dtype:
    """The type of the arrays that `kept` makes."""
    return np.dtype("uint16" if storage == "bfloat16" else storage)


def kept(rows: np.ndarray, storage: str) -> np.ndarray:
    """Rows as they are kept on devices.

    Args:
      rows: (N, ...) float32, finite, and for float16 within its range of 65,504: near
        one in size.
      storage: one of `STORAGES`.

    Returns:
      (N, ...) of `kept_type`, rounded to nearest, ties to even.
    """
    if storage == "float16":
        return rows.astype(np.float16)
    if storage == "float32":
        return rows
    bits = rows.astype(_BFLOAT16).view(np.uint16)
    bits[bits == _MINUS_ZERO] = 0
    return bits


def kept_there(rows: jax.Array, storage: str) -> jax.Array:
    """As `kept`, of rows that devices have, by the same rounding."""
    if storage == "float16":
        return rows.astype(jnp.float16)
    if storage == "float32":
        return rows
    bits = jax.lax.bitcast_convert_type(rows.astype(jnp.bfloat16), jnp.uint16)
    return jnp.where(bits == _MINUS_ZERO, 0, bits)


def on_host(rows: np.ndarray) -> np.ndarray:
    """The float32 values of rows that `kept` has made."""
    if rows.dtype != np.uint16:
        return rows.astype(np.float32, copy=False)
    return rows.view(_BFLOAT16).astype(np.float32)


def widened(rows: jax.Array) -> jax.Array:
    """As `on_host`, on the device: for some of the rows at a time."""
    if rows.dtype != jnp.uint16:
        return rows.astype(jnp.float32)
    # Bfloat16 is the upper half of float32.
    return jax.lax.bitcast_convert_type(rows.astype(jnp.uint32) << 16, jnp.float32)


def products(a: jax.Array, b: jax.Array) -> jax.Array:
    """Products (A, B) float32 of kept rows (A, d) and (B, d), with float32 sums.

    Products of two numbers of bfloat16 or float16 are exact in float32.
    """
    if b.dtype == jnp.float32:
        return jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)
    if jax.default_backend() == "cpu":
        return _products_by_blocks(a, b)
    return _narrow_products(a, b)


def _narrow_products(a: jax.Array, b: jax.Array) -> jax.Array:
    """By units that multiply two bytes and sum in four."""
    a, b = (
        jax.lax.bitcast_convert_type(x, jnp.bfloat16) if x.dtype == jnp.uint16 else x
        for x in (a, b)
    )
    return jnp.matmul(
        a,
        b.T,
        precision=jax.lax.Precision.HIGHEST,
        preferred_element_type=jnp.float32,
    )


def _products_by_blocks(a: jax.Array, b: jax.Array) -> jax.Array:
    """By float32 of some rows at a time, which never lie in memory together."""
    left = widened(a)

    def product(some: jax.Array) -> jax.Array:
        return jnp.matmul(left, some.T, precision=jax.lax.Precision.HIGHEST)

    return _by_blocks(product, b, jnp.zeros((a.shape[0], b.shape[0]), jnp.float32))


def squares(rows: jax.Array) -> jax.Array:
    """The squared norms (N,) float32 of kept rows (N, d)."""
    if rows.dtype == jnp.float32:
        return jnp.sum(rows**2, axis=1)

    def square(some: jax.Array) -> jax.Array:
        return jnp.sum(some**2, axis=1)

    return _by_blocks(square, rows, jnp.zeros(rows.shape[0], jnp.float32))


def _by_blocks(
    function: Callable[[jax.Array], jax.Array], rows: jax.Array, found: jax.Array
) -> jax.Array:
    """What a function makes of float32 rows, along the last axis of `found`."""
    size, width = rows.shape
    step = min(size, max(1, _BLOCK_NUMBERS // max(1, width)))

    def block(number: jax.Array | int, found: jax.Array) -> jax.Array:
        # The last block has rows of the one before.
        start = jnp.minimum(number * step, size - step)
        some = widened(jax.lax.dynamic_slice_in_dim(rows, start, step))
        return jax.lax.dynamic_update_slice_in_dim(
            found, function(some), start, axis=found.ndim - 1
        )

    # Under `shard_map` the first one makes the carry differ by device, as it must.
    return jax.lax.fori_loop(1, -(-size // step), block, block(0, found))
