"""Rows of numbers as float32 near the origin and of a size near one.

What a function does not depend on (a common offset, a common scale, the length of a
row) is taken out in the precision of the input, block by block, *before* the cast to
float32: afterwards the digits are gone.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import sharded_conditioning as there
from robustjax.arrays import blocks, cast, is_wide, numbers
from robustjax.row_source import RowSource, take
from robustjax.sharded_rows import ShardedRows
from robustjax.storage import kept, kept_type, on_host

# Within these powers of two the squares of float32 numbers, summed over any length
# that fits a memory, neither overflow nor vanish.
_SAFE_EXPONENT = 40
_LARGEST = float(np.finfo(np.float32).max)
_SMALLEST = float(np.finfo(np.float32).tiny)


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

    def __init__(
        self, array: np.ndarray | RowSource, reference: np.ndarray | None = None
    ):
        self.array = array
        self.reference = array[:1][0] if reference is None else reference
        both = (array.dtype, self.reference.dtype)
        self._integers = both[0].kind in "iu" and both[0] == both[1]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.array.shape

    def __call__(self, rows: Any) -> np.ndarray:
        """See `Reader`."""
        block, reference = take(self.array, rows), self.reference
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

    def __init__(self, array: np.ndarray | RowSource):
        self.array = array

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.array.shape

    def __call__(self, rows: Any) -> np.ndarray:
        """See `Reader`."""
        return unit_rows(take(self.array, rows))


def _on_devices(read: Reader) -> tuple[ShardedRows, np.ndarray | None] | None:
    """Rows that devices hold, if any, and the one that is taken from all, if any."""
    if isinstance(read, Rows | UnitRows) and isinstance(read.array, ShardedRows):
        return read.array, read.reference if isinstance(read, Rows) else None
    return None


class Centred(NamedTuple):
    """Points near the origin and of a size near one.

    Attributes:
      points: (N, d) float32, or as they are kept, see `storage.kept`; the largest entry
        is in [0.5, 4), or all are zero.
      others: further points (M, d), less the same origin, by the same scale.
      scale: a power of two: `scale * points + origin` are the points given.
      origin: (d,) float64.
    """

    points: np.ndarray
    others: tuple[np.ndarray, ...]
    scale: float
    origin: np.ndarray


def centred(
    name: str, array: np.ndarray, *others: np.ndarray, storage: str = "float32"
) -> Centred:
    """Takes a common offset and a common scale out of points.

    For whatever depends on differences alone: distances, neighbours, clusters.

    Args:
      name: what to call the argument in an error.
      array: (N, d) finite numbers, see `numbers`; N >= 1. Their mean is the origin.
      *others: (M, d) likewise.
      storage: how they are kept, see `storage.kept`.

    Raises:
      ValueError: differences that float32 cannot hold.
    """
    reference = array[0]
    return centred_of(
        name,
        *(Rows(each, reference) for each in (array, *others)),
        offset=reference,
        storage=storage,
    )


class Frame(NamedTuple):
    """Where rows lie: `scale * points + mean` are those that were read.

    Attributes:
      mean: (d,) float64 of the rows.
      scale: a power of two, about as large as they.
    """

    mean: np.ndarray
    scale: float

    def points(
        self, read: Reader, rows: slice | np.ndarray, storage: str = "float32"
    ) -> np.ndarray:
        """Some rows (M, d) near the origin and of a size near one, as they are kept."""
        index = rows if isinstance(rows, np.ndarray) else None
        start, end = 0, read.shape[0]
        if isinstance(rows, slice):
            start, end, _ = rows.indices(end)
        count = end - start if index is None else len(index)
        found = np.empty((count, read.shape[1]), kept_type(storage))
        for here in blocks(count, read.shape[1]):
            wanted: Any = slice(start + here.start, start + here.stop)
            block = read(wanted if index is None else index[here])
            found[here] = self.near(block, storage)
        return found

    def near(self, block: np.ndarray, storage: str = "float32") -> np.ndarray:
        """Rows (..., d) that were read near the origin, as they are kept."""
        return kept(((block - self.mean) / self.scale).astype(np.float32), storage)

    def sharded(self, read: Reader, storage: str = "float32") -> ShardedRows:
        """All rows likewise, of those that devices hold."""
        held = _on_devices(read)
        assert held is not None
        return there.near(*held, self.mean, self.scale, storage)


def centred_of(
    name: str, *readers: Reader, offset: Any = 0.0, storage: str = "float32"
) -> Centred:
    """As `centred`, of rows that are made as they are read, up to an offset."""
    frame = frame_of(name, *readers)
    points = [frame.points(read, slice(None), storage) for read in readers]
    origin = np.asarray(offset).astype(np.float64) + frame.mean
    return Centred(points[0], tuple(points[1:]), frame.scale, origin)


def frame_of(name: str, *readers: Reader) -> Frame:
    """The mean of the first one's rows, and the scale of all.

    Raises:
      ValueError: differences that float32 cannot hold.
    """
    total, largest = np.zeros(readers[0].shape[1]), 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for number, read in enumerate(readers):
            held = _on_devices(read)
            if held is not None:
                own, most = there.moments(*held)
                total, largest = total + own * (number == 0), max(largest, most)
                continue
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
    return Frame(total / readers[0].shape[0], scale)


class KeptRows:
    """Rows in float64 as they are after they have been kept, less the frame's mean."""

    def __init__(self, read: Reader, frame: Frame, storage: str):
        self._read, self._frame, self._storage = read, frame, storage

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the rows."""
        return self._read.shape

    def __call__(self, rows: Any) -> np.ndarray:
        """See `Reader`."""
        narrow = on_host(self._frame.near(self._read(rows), self._storage))
        return narrow.astype(np.float64) * self._frame.scale


class CentredRows(RowSource):
    """As `Centred.points`, of rows that are read when they are asked for.

    Attributes:
      scale: see `Centred`.
      origin: see there.
    """

    def __init__(
        self, name: str, source: np.ndarray | RowSource, storage: str = "float32"
    ):
        """Reads all rows once.

        Raises:
          ValueError: differences that float32 cannot hold.
        """
        reference = source[:1][0]
        self._read = Rows(source, reference)
        self._frame = frame_of(name, self._read)
        self.shape, self.dtype = source.shape, kept_type(storage)
        self._storage, self.scale = storage, self._frame.scale
        self.origin = reference.astype(np.float64) + self._frame.mean

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Rows of a slice or of (M,) numbers, as they are kept."""
        return self._frame.points(self._read, rows, self._storage)


class ScaledRows(RowSource):
    """As `scaled_on_host`, of rows that are read when they are asked for."""

    def __init__(self, name: str, source: np.ndarray | RowSource):
        """Reads nothing yet."""
        self._name, self._source = name, source
        self.shape, self.dtype = source.shape, np.dtype(np.float32)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Float32 rows of a slice or of (M,) numbers."""
        return scaled_on_host(self._name, self._source[rows])


def centred_source(
    name: str,
    given: np.ndarray | RowSource,
    storage: str = "float32",
    by_blocks: bool = False,
) -> tuple[Any, float, np.ndarray]:
    """`Centred.points`, `scale`, `origin` of rows; an array's lazily if `by_blocks`."""
    if isinstance(given, ShardedRows):
        read = Rows(given)
        frame = frame_of(name, read)
        origin = read.reference.astype(np.float64) + frame.mean
        return frame.sharded(read, storage), frame.scale, origin
    if by_blocks or isinstance(given, RowSource):
        source = CentredRows(name, given, storage)
        return source, source.scale, source.origin
    found = centred(name, given, storage=storage)
    return found.points, found.scale, found.origin


def scaled_source(
    name: str, given: np.ndarray | RowSource, by_blocks: bool = False
) -> Any:
    """As `scaled_on_host`, of checked rows wherever they are; see `centred_source`."""
    if isinstance(given, ShardedRows):
        return there.scaled(given, _SAFE_EXPONENT)
    if by_blocks or isinstance(given, RowSource):
        return ScaledRows(name, given)
    return scaled_on_host(name, given)


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
    """As `scaled_on_host`, on the device; JAX arrays stay there where they can."""
    if isinstance(values, jax.Array) and not is_wide(values):
        array = numbers(name, values, 2)
        if _safe(array):
            return values.astype(jnp.float32)
    return jnp.asarray(scaled_on_host(name, values))


def scaled_on_host(name: str, values: Any) -> np.ndarray:
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
        return array.astype(np.float32, copy=False)
    rows = np.empty(array.shape, np.float32)
    for here in blocks(*array.shape):
        block = array[here].astype(np.float64)
        _, exponent = np.frexp(np.abs(block).max(axis=1, keepdims=True, initial=0))
        # Frexp's exponent of 0 and of numbers near 1 is about 0.
        far = np.abs(exponent) > _SAFE_EXPONENT
        rows[here] = np.ldexp(block, np.where(far, -exponent, 0))
    return rows


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
