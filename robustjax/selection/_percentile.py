"""Percentiles of some of many numbers, without sorting them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks

_SIGN = np.uint32(1 << 31)


def _to_keys(values: jax.Array) -> jax.Array:
    """Unsigned integers in the order of the float32 values."""
    bits = jax.lax.bitcast_convert_type(values, jnp.uint32)
    return jnp.where(bits >= _SIGN, ~bits, bits | _SIGN)


def _to_value(key: jax.Array) -> jax.Array:
    """The float32 value of a key."""
    bits = jnp.where(key >= _SIGN, key ^ _SIGN, ~key)
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


def masked_percentile(
    values: jax.Array, valid: jax.Array, percentile: jax.Array | float
) -> jax.Array:
    """The percentile of the valid values, linearly interpolated as in NumPy.

    The order statistics are found exactly, bit by bit from the highest one, by
    counting: 32 passes over the values, which on every backend take a fraction of the
    time of a sort.

    Args:
      values: finite floats of any shape, taken as float32.
      valid: bool of the same shape.
      percentile: in [0, 100], possibly traced.

    Returns:
      () float32; NaN where nothing is valid.

    Raises:
      ValueError: a percentile outside [0, 100].
    """
    checks.in_range("percentile", percentile, 0, 100)
    values = values.astype(jnp.float32)
    keys = _to_keys(values)
    count = jnp.sum(valid)
    last = jnp.maximum(count - 1, 0)
    place = jnp.asarray(percentile, jnp.float32) * last / 100
    # Of ten millions, rounding puts the 100th percentile behind the last one.
    low = jnp.minimum(jnp.floor(place).astype(jnp.int32), last)

    def add_bit(step: jax.Array, key: jax.Array) -> jax.Array:
        larger = key | (_SIGN >> step.astype(jnp.uint32))
        below = jnp.sum(valid & (keys < larger))
        # The largest key with at most `low` values below it is that of the value.
        return jnp.where(below <= low, larger, key)

    key = jax.lax.fori_loop(0, 32, add_bit, jnp.uint32(0))
    first = _to_value(key)
    # The next value in order: the same again, or the smallest that is larger.
    repeated = jnp.sum(valid & (keys <= key)) > low + 1
    larger = jnp.min(jnp.where(valid & (keys > key), values, jnp.inf))
    second = jnp.where(repeated | (low == last), first, larger)
    found = first + (place - low) * (second - first)
    return jnp.where(count > 0, found, jnp.nan)
