"""As `conditioning` does on the host, of rows that devices hold: in double precision.

Every number is made from its own row by the same operations, so that it has the same
bits; only sums of rows are added in another order.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from robustjax.arrays import is_wide
from robustjax.placement import on_host
from robustjax.sharded_rows import ShardedRows, bits_of
from robustjax.storage import kept_there

_SUBNORMAL = 2.0**-149


def moments(
    rows: ShardedRows, reference: np.ndarray | None
) -> tuple[np.ndarray, float]:
    """The sum (d,) and the largest absolute value of rows, see `_read`."""
    others, unit = _reference(rows, reference)
    totals, largest = rows.each(_moments, *others, options=(unit,))
    return on_host(totals).sum(axis=0), float(on_host(largest).max())


def near(
    rows: ShardedRows,
    reference: np.ndarray | None,
    mean: np.ndarray,
    scale: float,
    storage: str,
) -> ShardedRows:
    """Rows less their mean, by their scale, as they are kept; see `_read`."""
    others, unit = _reference(rows, reference)
    numbers = (*others, mean, np.float64(scale))
    return rows.mapped(_near, *numbers, options=(unit, storage))


def divided_by(rows: ShardedRows, scale: float) -> ShardedRows:
    """Float32 rows by a power of two; the same ones where nothing changes."""
    if scale == 1 and rows.dtype == np.float32:
        return rows
    return rows.mapped(_divided_by, np.float64(scale))


def scaled(rows: ShardedRows, safe_exponent: int) -> ShardedRows:
    """As `conditioning.scaled_on_host`; sizes of lower powers of two are safe."""
    smallest, largest = (on_host(each) for each in rows.each(_extent))
    low, high = float(smallest.min()), float(largest.max())
    if low > 2.0**-safe_exponent and high < 2.0**safe_exponent and not is_wide(rows):
        return divided_by(rows, 1.0)
    return rows.mapped(_scaled, options=(safe_exponent,))


def hashes(rows: ShardedRows, multipliers: np.ndarray, mix: np.uint64) -> np.ndarray:
    """(N,) uint64, on the host: as those of `_equal_rows`."""
    return on_host(rows.each(_hashes, multipliers, mix))


def _reference(
    rows: ShardedRows, reference: np.ndarray | None
) -> tuple[tuple[np.ndarray], bool]:
    """For `_read`: the row that is taken from all, and whether none is."""
    if reference is None:
        return (np.zeros(rows.shape[1], rows.dtype),), True
    return (reference,), False


def _wide(own: jax.Array) -> jax.Array:
    """Float64 of any numbers. CPUs take subnormal ones of float32 for zero."""
    wide = own.astype(jnp.float64)
    if own.dtype in (jnp.float32, jnp.bfloat16):
        bits = bits_of(own).astype(jnp.uint32)
        if own.dtype == jnp.bfloat16:
            bits <<= 16
        below = (bits & 0x7FFFFFFF).astype(jnp.float64) * _SUBNORMAL
        below = jnp.where(bits >> 31 == 1, -below, below)
        wide = jnp.where((bits >> 23) & 0xFF == 0, below, wide)
    return wide


def _unit(own: jax.Array) -> jax.Array:
    """See `conditioning.unit_rows`."""
    wide = _wide(own)
    largest = jnp.max(jnp.abs(wide), axis=1, keepdims=True)
    _, exponent = jnp.frexp(largest)
    wide = jnp.ldexp(wide, -exponent)
    norm = jnp.sqrt(jnp.sum(wide**2, axis=1, keepdims=True))
    return wide / jnp.where(norm > 0, norm, 1)


def _read(own: jax.Array, reference: jax.Array, unit: bool) -> jax.Array:
    """Float64 rows of length 1, or less a reference row: as `conditioning.Rows`."""
    if unit:
        return _unit(own)
    row = reference[None]
    if not jnp.issubdtype(own.dtype, jnp.integer):
        return _wide(own) - _wide(row)
    above = own >= row
    big, small = own.astype(jnp.uint64), row.astype(jnp.uint64)
    # Wrapping around is exact both ways; the smaller one is the difference.
    size = jnp.where(above, big - small, small - big).astype(jnp.float64)
    return jnp.where(above, size, -size)


def _moments(
    own: jax.Array, reference: jax.Array, unit: bool
) -> tuple[jax.Array, jax.Array]:
    block = _read(own, reference, unit)
    return jnp.sum(block, axis=0)[None], jnp.max(jnp.abs(block))[None]


def _near(
    own: jax.Array,
    reference: jax.Array,
    mean: jax.Array,
    scale: jax.Array,
    unit: bool,
    storage: str,
) -> jax.Array:
    points = (_read(own, reference, unit) - mean[None]) / scale
    return kept_there(points.astype(jnp.float32), storage)


def _divided_by(own: jax.Array, scale: jax.Array) -> jax.Array:
    return (_wide(own) / scale).astype(jnp.float32)


def _extent(own: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The smallest and largest of the rows' largest values, zero rows left out."""
    largest = jnp.max(jnp.abs(_wide(own)), axis=1)
    there = jnp.where(largest > 0, largest, jnp.inf)
    return jnp.min(there)[None], jnp.max(largest)[None]


def _scaled(own: jax.Array, safe_exponent: int) -> jax.Array:
    wide = _wide(own)
    largest = jnp.max(jnp.abs(wide), axis=1, keepdims=True)
    _, exponent = jnp.frexp(largest)
    far = jnp.abs(exponent) > safe_exponent
    return jnp.ldexp(wide, jnp.where(far, -exponent, 0)).astype(jnp.float32)


def _hashes(own: jax.Array, multipliers: jax.Array, mix: jax.Array) -> jax.Array:
    # Of narrow rows the values count, as on the host; no subnormal ones are there.
    bits = bits_of(own.astype(jnp.float32))
    bits = jnp.where(bits << 1 == 0, 0, bits)
    mixed = (bits.astype(jnp.uint64) + multipliers[None]) * mix
    mixed ^= mixed >> 29
    return jnp.sum(mixed * multipliers[None], axis=1, dtype=jnp.uint64)
