"""Arrays as people have them, as float32 that has lost nothing that matters.

Lists, data frames, arrays of foreign byte order or layout, memory maps: everything
that NumPy understands comes in through `numbers`, by its values in the given order.
What a function does not depend on (a common offset, a common scale, the length of a
row) is taken out in the precision of the input, block by block, *before* the cast to
float32: afterwards the digits are gone. What is not finite after the cast is an error.
"""

from __future__ import annotations

import numbers as number_types
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

# Values handled at once in double precision; they fit a cache.
_BLOCK_VALUES = 2**17
# Within these powers of two the squares of float32 numbers, summed over any length
# that fits a memory, neither overflow nor vanish.
_SAFE_EXPONENT = 40
# A range of so many float32 steps is resolved to about three digits.
_RESOLVED = 1000
_LARGEST = float(np.finfo(np.float32).max)
_SMALLEST = float(np.finfo(np.float32).tiny)


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
        or missing values, another rank.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError(
            f"{name}: {int(np.ma.count_masked(values))} value(s) are masked, expected "
            "all to be there"
        )
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(
            f"{name}: got parts of different length, expected a rectangular array"
        ) from None
    if array.dtype == object:
        array = _from_objects(name, array)
    if not (array.dtype.kind in "biuf" or _is_float(array.dtype)):
        raise ValueError(
            f"{name}: got {array.dtype.name}, expected integers, floats or booleans"
        )
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if rank is not None and array.ndim != rank:
        raise ValueError(f"{name}: got shape {array.shape}, expected rank {rank}")
    return array


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


def is_wide(array: np.ndarray | jax.Array) -> bool:
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
    """Values on the device in their own dtype; float64 as float32 where JAX has it so.

    Raises:
      ValueError: see `numbers`; a finite value beyond the range of float32.
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
    return jnp.asarray(array)


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
    if isinstance(values, jax.Array):
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


def check_scale(name: str, scale: float) -> None:
    """Raises `ValueError` unless results of this size are float32 numbers."""
    if not _SMALLEST <= scale <= _LARGEST / 2**10:
        raise ValueError(
            f"{name}: got differences of about {scale:.2g}, expected ones that "
            f"float32 can hold, {_SMALLEST:.2g} … {_LARGEST / 2**10:.2g}; rescale"
        )


class Reader(Protocol):
    """Makes rows in float64, as far as they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all rows: (N, d)."""

    def __call__(self, rows: Any) -> np.ndarray:
        """The float64 rows of a slice, or of indices of any shape."""


class Rows:
    """Rows of a host array less one reference row, by default the first.

    The difference is taken in the precision of the array: of 64-bit integers as
    integers, of long doubles as those.
    """

    def __init__(self, array: np.ndarray, reference: np.ndarray | None = None):
        self._array = array
        self._reference = array[0] if reference is None else reference
        both = (array.dtype, self._reference.dtype)
        self._integers = both[0].kind in "iu" and both[0] == both[1]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self._array.shape

    def __call__(self, rows: Any) -> np.ndarray:
        """See `Reader`."""
        block, reference = self._array[rows], self._reference
        if self._integers:
            above = block >= reference
            block, reference = block.astype(np.uint64), reference.astype(np.uint64)
            # Wrapping around is exact both ways; the smaller one is the difference.
            size = np.where(above, block - reference, reference - block)
            return np.where(above, 1.0, -1.0) * size.astype(np.float64)
        if max(block.dtype.itemsize, reference.dtype.itemsize) > 8:
            return (block - reference).astype(np.float64)
        return block.astype(np.float64) - reference.astype(np.float64)


class UnitRows:
    """Rows of a host array at length 1; zero rows stay."""

    def __init__(self, array: np.ndarray):
        self._array = array

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self._array.shape

    def __call__(self, rows: Any) -> np.ndarray:
        """See `Reader`."""
        return unit_rows(self._array[rows])


class Centred(NamedTuple):
    """Points near the origin and of a size near one.

    Attributes:
      points: (N, d) float32; the largest entry is in [0.5, 4), or all are zero.
      others: further points (M, d), less the same origin, by the same scale.
      scale: a power of two: `scale * points + origin` are the points given.
      origin: (d,) float64.
    """

    points: np.ndarray
    others: tuple[np.ndarray, ...]
    scale: float
    origin: np.ndarray


def centred(name: str, array: np.ndarray, *others: np.ndarray) -> Centred:
    """Takes a common offset and a common scale out of points.

    For whatever depends on differences alone: distances, neighbours, clusters.

    Args:
      name: what to call the argument in an error.
      array: (N, d) finite numbers, see `numbers`; N >= 1. Their mean is the origin.
      *others: (M, d) likewise.

    Raises:
      ValueError: differences that float32 cannot hold.
    """
    reference = array[0]
    return centred_of(
        name, *(Rows(each, reference) for each in (array, *others)), offset=reference
    )


def centred_of(name: str, *readers: Reader, offset: Any = 0.0) -> Centred:
    """As `centred`, of rows that are made as they are read, up to an offset."""
    total, largest = np.zeros(readers[0].shape[1]), 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for number, read in enumerate(readers):
            for here in blocks(*read.shape):
                block = read(here)
                if number == 0:
                    total += block.sum(axis=0)
                # All are within twice as much of the mean.
                largest = float(np.maximum(largest, np.abs(block).max(initial=0)))
    scale = 1.0
    if largest != 0:
        check_scale(name, largest)
        scale = power_of_two(largest)
    mean = total / readers[0].shape[0]
    found = []
    for read in readers:
        points = np.empty(read.shape, np.float32)
        for here in blocks(*read.shape):
            points[here] = (read(here) - mean) / scale
        found.append(points)
    origin = np.asarray(offset).astype(np.float64) + mean
    return Centred(found[0], tuple(found[1:]), scale, origin)


def power_of_two(value: float) -> float:
    """The largest power of two up to a positive number."""
    return float(np.ldexp(1.0, int(np.frexp(value)[1]) - 1))


def unit_rows(array: np.ndarray) -> np.ndarray:
    """(N, d) float64 rows of length 1, of numbers of any size; zero rows stay."""
    wide = array.astype(np.float64)
    largest = np.abs(wide).max(axis=-1, keepdims=True, initial=0)
    # In two steps: the inverse of the smallest numbers is not finite.
    _, exponent = np.frexp(largest)
    wide = np.ldexp(wide, -exponent)
    norm = np.linalg.norm(wide, axis=-1, keepdims=True)
    return wide / np.where(norm > 0, norm, 1)


def _safe(array: Any) -> bool:
    """Whether float32 squares of all rows neither overflow nor vanish."""
    for here in blocks(len(array), array.shape[1]):
        largest = np.abs(array[here]).max(axis=1, initial=0)
        largest = largest[largest > 0]
        if largest.size and not (
            float(largest.min()) > 2.0**-_SAFE_EXPONENT
            and float(largest.max()) < 2.0**_SAFE_EXPONENT
        ):
            return False
    return True


def scaled_rows(name: str, values: Any) -> jax.Array:
    """Rows as float32, for whatever depends on their directions alone: cosines.

    Rows whose squares would overflow or vanish are multiplied by a power of two each,
    which changes no cosine by a bit; others are left alone.

    Args:
      name: what to call the argument in an error.
      values: (N, d) finite numbers, no tracer.

    Returns:
      (N, d) float32.
    """
    array = numbers(name, values, 2)
    if not is_wide(array) and _safe(array):
        return jnp.asarray(values if isinstance(values, jax.Array) else array).astype(
            jnp.float32
        )
    rows = np.empty(array.shape, np.float32)
    for here in blocks(*array.shape):
        block = array[here].astype(np.float64)
        _, exponent = np.frexp(np.abs(block).max(axis=1, keepdims=True, initial=0))
        # Frexp's exponent of 0 and of numbers near 1 is about 0.
        far = np.abs(exponent) > _SAFE_EXPONENT
        rows[here] = np.ldexp(block, np.where(far, -exponent, 0))
    return jnp.asarray(rows)


def scaled(name: str, values: Any) -> tuple[jax.Array, float]:
    """Rows as float32 and the power of two by which they were divided.

    For whatever is proportional to a power of the input's size. The scale is 1 but for
    numbers whose float32 squares would overflow or vanish.

    Args:
      name: what to call the argument in an error.
      values: (N, d) finite numbers, no tracer.

    Raises:
      ValueError: numbers that float32 cannot hold.
    """
    array = numbers(name, values, 2)
    largest = 0.0
    for here in blocks(*array.shape):
        largest = max(largest, float(np.abs(array[here]).max(initial=0)))
    safe = 2.0**-_SAFE_EXPONENT < largest < 2.0**_SAFE_EXPONENT
    if safe or largest == 0:
        return jnp.asarray(cast(name, array)), 1.0
    check_scale(name, largest)
    scale = power_of_two(largest)
    rows = np.empty(array.shape, np.float32)
    for here in blocks(*array.shape):
        rows[here] = array[here].astype(np.float64) / scale
    return jnp.asarray(rows), scale


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
        return values
    array = numbers("labels", values)
    if array.dtype.kind in "iu":
        return jnp.asarray(np.clip(array, -1, np.iinfo(np.int32).max).astype(np.int32))
    return jnp.asarray(array)
