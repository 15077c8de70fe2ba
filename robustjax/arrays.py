"""Arrays as people have them, as float32 that has lost nothing that matters.

Lists, data frames, arrays of foreign byte order or layout, memory maps: everything
that NumPy understands comes in through `numbers`, by its values in the given order.
What is not finite after the cast is an error. Where a common offset or scale does not
matter, `conditioning` takes it out first.
"""

from __future__ import annotations

import numbers as number_types
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Values handled at once in double precision; they fit a cache.
_BLOCK_VALUES = 2**17
# A range of so many float32 steps is resolved to about three digits.
_RESOLVED = 1000
_LARGEST = float(np.finfo(np.float32).max)


def numbers(name: str, values: Any, rank: int | None = None) -> np.ndarray:
    """Returns values as a NumPy array of real numbers in native byte order.

    A data frame or a series gives its values in the order in which they stand,
    whatever its index. Nothing is copied that need not be.

    Args:
      name: what to call the argument in an error.
      values: anything that NumPy makes an array of, and no tracer.
      rank: the rank to expect, if any.

    Returns:
      An array of booleans, integers or floats (bfloat16 is one, as JAX sees it).

    Raises:
      ValueError: rows of different length, something else than real numbers, masked
        or missing values, another rank, an array of which this process has a part.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError(
            f"{name}: {int(np.ma.count_masked(values))} value(s) are masked, expected "
            "all to be there"
        )
    _check_whole(name, values)
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(
            f"{name}: got parts of different length, expected a rectangular array"
        ) from None
    if array.dtype == object:
        array = _from_objects(name, array)
    check_real(name, array.dtype)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if rank is not None and array.ndim != rank:
        raise ValueError(f"{name}: got shape {array.shape}, expected rank {rank}")
    return array


def check_real(name: str, dtype: np.dtype) -> None:
    """Raises `ValueError` unless a type is one of real numbers."""
    if not (dtype.kind in "biuf" or _is_float(dtype)):
        raise ValueError(
            f"{name}: got {dtype.name}, expected integers, floats or booleans"
        )


def _check_whole(name: str, values: Any) -> None:
    """Raises `ValueError` for a JAX array of which this process has but a part."""
    if not isinstance(values, jax.Array) or isinstance(values, jax.core.Tracer):
        return
    copied = values.is_fully_replicated and values.addressable_shards
    if not (values.is_fully_addressable or copied):
        raise ValueError(
            f"{name}: got {values.shape} that processes divide by {values.sharding}, "
            "expected an array that every process has whole"
        )


def _is_float(dtype: Any) -> bool:
    return bool(jax.dtypes.issubdtype(dtype, np.floating))


def _from_objects(name: str, array: np.ndarray) -> np.ndarray:
    """Numbers that are stored as objects, as by pandas' nullable types."""
    for place, value in enumerate(array.ravel()):
        if not isinstance(value, number_types.Real | np.bool_):
            raise ValueError(
                f"{name}: got {value!r} at place {place}, expected real numbers"
            )
    return np.array(array.tolist())


def is_wide(array: Any) -> bool:
    """Whether a cast to float32 may round the values."""
    return array.dtype.itemsize > (4 if _is_float(array.dtype) else 2)


def blocks(size: int, width: int) -> Iterator[slice]:
    """Runs of rows that are small enough to be copied in double precision."""
    step = max(1, _BLOCK_VALUES // max(width, 1))
    for start in range(0, size, step):
        yield slice(start, min(start + step, size))


def float32(name: str, values: Any, rank: int | None = None) -> jax.Array:
    """Values on the device as float32; JAX arrays, traced ones too, as they are.

    Args:
      name: what to call the argument in an error.
      values: numbers; NaN and infinity stay what they are.
      rank: the rank to expect, if any.

    Raises:
      ValueError: see `numbers`; a finite value beyond the range of float32.
    """
    if isinstance(values, jax.core.Tracer):
        if rank is not None and values.ndim != rank:
            raise ValueError(f"{name}: got shape {values.shape}, expected rank {rank}")
        return values.astype(jnp.promote_types(values.dtype, jnp.float32))
    if isinstance(values, jax.Array) and not is_wide(values):
        if rank is not None and values.ndim != rank:
            raise ValueError(f"{name}: got shape {values.shape}, expected rank {rank}")
        return values.astype(jnp.float32)
    return jnp.asarray(cast(name, numbers(name, values, rank)))


def floats(name: str, values: Any) -> jax.Array:
    """Values on the device in their own dtype; 64 bits as 32 where JAX has it so.

    Raises:
      ValueError: see `numbers`; a finite value beyond the range of float32, or an
        integer beyond that of int32 or uint32.
    """
    if isinstance(values, jax.Array):
        return values
    array = numbers(name, values)
    if (
        _is_float(array.dtype)
        and is_wide(array)
        and not jax.config.read("jax_enable_x64")
    ):
        array = cast(name, array)
    check_held(name, array)
    return jnp.asarray(array)


def check_held(name: str, values: Any, dtype: Any = None) -> None:
    """Raises `ValueError` for integers that would wrap around on the device.

    Args:
      name: what to call the values in an error.
      values: numbers, or what has a `dtype`; read if they are integers that do not
        all fit. Traced ones pass.
      dtype: the integer type that they will have; by default what JAX makes of
        theirs, 32 bits of 64 where it has no more.
    """
    own = getattr(values, "dtype", None)
    own = np.asarray(values).dtype if own is None else own
    if not jnp.issubdtype(own, jnp.integer) or isinstance(values, jax.core.Tracer):
        return
    kept = np.dtype(jax.dtypes.canonicalize_dtype(own) if dtype is None else dtype)
    if np.can_cast(own, kept):
        return
    array = values if isinstance(values, jax.Array) else np.asarray(values)
    least, most = np.iinfo(kept).min, np.iinfo(kept).max
    for value in (array.min(), array.max()) if array.size else ():
        if not least <= int(value) <= most:
            raise ValueError(
                f"{name}: got {value}, expected integers that {kept.name} can hold, "
                f"{least} … {most}"
            )


def is_narrowed(dtype: Any) -> bool:
    """Whether integers of a type become narrower ones on the device."""
    integers = jnp.issubdtype(dtype, jnp.integer)
    return bool(integers and jax.dtypes.canonicalize_dtype(dtype) != dtype)


def cast(name: str, array: np.ndarray) -> np.ndarray:
    """An array as float32.

    Raises:
      ValueError: a finite value beyond the range of float32.
    """
    if not is_wide(array) or array.dtype.kind in "iu":
        return array.astype(np.float32, copy=False)
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    if array.size and not np.isfinite(narrow).all():
        lost = np.isfinite(array) & ~np.isfinite(narrow)
        if lost.any():
            place = int(np.flatnonzero(lost)[0])
            raise ValueError(
                f"{name}: got {array.ravel()[place]:g}, expected numbers that float32 "
                f"can hold, up to {_LARGEST:.2g}"
            )
    return narrow


def check_resolved(name: str, values: Any) -> None:
    """Raises `ValueError` if float32 cannot tell values apart that are different.

    For functions that depend on the level of their input as well as on differences,
    so that an offset cannot be taken out.
    """
    if isinstance(values, jax.core.Tracer) or (
        isinstance(values, jax.Array) and not is_wide(values)
    ):
        return
    array = numbers(name, values)
    if not is_wide(array) or not array.size:
        return
    with np.errstate(invalid="ignore", over="ignore"):
        real = array.astype(np.float64)[np.isfinite(array)]
        low, high = real.min(initial=np.inf), real.max(initial=-np.inf)
        spacing = max(abs(low), abs(high)) * float(np.finfo(np.float32).eps)
        blurred = 0 < high - low < _RESOLVED * spacing
    if blurred:
        raise ValueError(
            f"{name}: got numbers from {low:.9g} to {high:.9g}, expected a range that "
            "float32 (seven digits) resolves; subtract a common offset"
        )


def resolved(name: str, values: Any) -> jax.Array:
    """`floats`, of values that float32 tells apart, see `check_resolved`.

    For inputs of networks: once on the device, nobody can see what they lost. Integers,
    which may be places in a table, only have to be held.

    Raises:
      ValueError: see both.
    """
    array: Any = values if isinstance(values, jax.Array) else numbers(name, values)
    if _is_float(array.dtype):
        check_resolved(name, array)
    return floats(name, array)


def logits(name: str, values: Any) -> jax.Array:
    """Logits on the device, at least float32, for what a softmax makes of them.

    Probabilities do not depend on a common level of the logits of an example: it is
    taken out of float64 ones before they are cast. JAX arrays are returned as they
    are, but at least float32.

    Args:
      name: what to call the argument in an error.
      values: (..., C) numbers, possibly traced.
    """
    if isinstance(values, jax.Array):
        return values.astype(jnp.promote_types(values.dtype, jnp.float32))
    array = numbers(name, values)
    if is_wide(array) and array.ndim and array.size:
        wide = array.astype(np.float64, copy=False)
        top = wide.max(axis=-1, keepdims=True)
        with np.errstate(over="ignore", invalid="ignore"):
            # What overflows is minus infinity, a probability of zero as it should be.
            array = (wide - np.where(np.isfinite(top), top, 0)).astype(np.float32)
    return jnp.asarray(array.astype(np.float32, copy=False))


def labels_for(values: Any) -> jax.Array:
    """Labels for a loss: class indices that int32 can hold, or distributions.

    A loss is NaN where an index is out of range; an index beyond int32 must not come
    back into the range by wrapping around.

    Args:
      values: (...) integers or (..., C) floats, possibly traced.

    Returns:
      The labels on the device; indices that int32 cannot hold are -1 or its largest.
    """
    if isinstance(values, jax.Array):
        narrow = jnp.issubdtype(values.dtype, jnp.integer) and values.dtype.itemsize < 4
        # In 8 bits, a class is compared with others that have wrapped around.
        return values.astype(jnp.int32) if narrow else values
    array = numbers("labels", values)
    if array.dtype.kind in "iu":
        return jnp.asarray(np.clip(array, -1, np.iinfo(np.int32).max).astype(np.int32))
    return jnp.asarray(array)
