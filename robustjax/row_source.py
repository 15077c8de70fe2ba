"""Rows that are read when they are asked for: of files larger than memory."""

from __future__ import annotations

import abc
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from robustjax import checks

if TYPE_CHECKING:
    from robustjax.placement import Placement

# Bytes of rows that are read at once.
_BLOCK_BYTES = 2**25


class RowSource(abc.ABC):
    """Rows of numbers, such as `data.open_rows` and `data.open_table_rows` give.

    Attributes:
      shape: (N, ...).
      dtype: of every number.
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def ndim(self) -> int:
        """The rank."""
        return len(self.shape)

    def __len__(self) -> int:
        """The number of rows, N."""
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All rows, in memory."""
        if copy is False:
            raise ValueError("copy: got False, expected a copy: rows are read")
        return self[:].astype(dtype or self.dtype, copy=False)

    @abc.abstractmethod
    def __getitem__(self, rows: Any) -> np.ndarray:
        """The rows of a slice or of (M,) numbers."""

    def lying(self, place: Placement) -> jax.Array | None:
        """The rows divided among devices, where that is how they lie already."""
        del place
        return None

    def first_unfit(self, nonzero: bool) -> tuple[int, str] | None:
        """The first row that is not finite (or zero), and what it is; None if none."""
        for here in row_blocks(self):
            block = self[here]
            if np.isfinite(block).all() and not (
                nonzero and (~block.any(axis=1)).any()
            ):
                continue
            bad = ~np.isfinite(block).all(axis=1)
            what = "holds NaN or infinity" if bad.any() else "is zero"
            bad = bad if bad.any() else ~block.any(axis=1)
            return here.start + int(np.flatnonzero(bad)[0]), what
        return None

    def equal(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Which of some rows are those of other numbers: (M,) bool."""
        same: np.ndarray = (self[rows] == self[others]).all(axis=1)
        return same

    def read_into(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Writes some rows where they are wanted.

        Args:
          rows: (M,) numbers.
          out: (M, ...), of any type of numbers.
        """
        out[...] = self[rows]


class PartedRows(RowSource):
    """Rows that come in runs, of which the last one that was looked at is kept.

    Several threads may ask at once; parts are read by one at a time.

    Attributes:
      starts: (P,) the number of the first row of every part, ascending.
    """

    starts: np.ndarray

    def __init__(self) -> None:
        """Holds no part yet."""
        self._reading = threading.Lock()
        self._held: tuple[int, np.ndarray] | None = None

    @abc.abstractmethod
    def _part(self, number: int) -> np.ndarray:
        """The rows of a part."""

    def _keep(self, number: int) -> np.ndarray:
        with self._reading:
            held = self._held
            if held is None or held[0] != number:
                held = self._held = number, self._part(number)
            return held[1]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """The rows of a number, a slice, (M,) numbers or an (N,) mask.

        Raises:
          IndexError: a number out of range.
          ValueError: what `_part` refuses.
        """
        if isinstance(rows, int | np.integer):
            return self[np.array([rows])][0]
        wanted = row_numbers(rows, len(self))
        found = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        which = np.searchsorted(self.starts, wanted, side="right") - 1
        for number in np.unique(which):
            here = which == number
            found[here] = self._keep(int(number))[wanted[here] - self.starts[number]]
        return found


class TakenRows(RowSource):
    """Some rows of another source, by their numbers."""

    def __init__(self, source: RowSource, rows: np.ndarray):
        """Reads nothing yet."""
        self._source, self._rows = source, rows
        self.shape, self.dtype = (len(rows), *source.shape[1:]), source.dtype

    def __getitem__(self, rows: Any) -> np.ndarray:
        """The rows of a slice or of (M,) places among those taken."""
        return self._source[self._rows[rows]]


class JoinedRows(RowSource):
    """The rows of several arrays or sources of one width, one after the other.

    Attributes:
      parts: the arrays or sources.
    """

    def __init__(self, *parts: np.ndarray | RowSource):
        """Reads nothing yet."""
        self.parts = parts
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        self.shape = (int(self._starts[-1]), *parts[0].shape[1:])
        self.dtype = np.result_type(*(part.dtype for part in parts))

    def __getitem__(self, rows: Any) -> np.ndarray:
        """The rows of a slice or of (M,) numbers."""
        wanted = row_numbers(rows, len(self))
        found = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        for part, start, end in zip(self.parts, self._starts, self._starts[1:]):
            here = (wanted >= start) & (wanted < end)
            if here.any():
                found[here] = part[wanted[here] - start]
        return found


def row_numbers(rows: Any, size: int) -> np.ndarray:
    """The (M,) numbers of the rows that a slice, numbers or a mask (N,) mean.

    Raises:
      IndexError: a number out of range, or indices of another rank.
    """
    if isinstance(rows, slice):
        return np.arange(*rows.indices(size))
    given = np.asarray(rows)
    if given.ndim != 1:
        raise IndexError(f"rows: got shape {given.shape}, expected (M,)")
    if given.dtype == bool:
        if len(given) != size:
            raise IndexError(f"rows: got a mask of {len(given)}, expected {size}")
        return np.flatnonzero(given)
    if not given.size:
        return np.zeros(0, np.int64)
    if given.dtype.kind not in "iu" or given.min() < -size or given.max() >= size:
        raise IndexError(
            f"rows: got {given.dtype} {given.min()} … {given.max()}, expected integers "
            f"below {size}"
        )
    # Of 8 bits, a number would not take the size.
    given = given.astype(np.int64)
    return np.where(given < 0, given + size, given)


def take(array: Any, rows: Any) -> np.ndarray:
    """Rows of an array, or of a source, by a slice or by indices of any shape."""
    if isinstance(rows, np.ndarray) and rows.ndim > 1 and isinstance(array, RowSource):
        return array[rows.reshape(-1)].reshape(*rows.shape, *array.shape[1:])
    found: np.ndarray = array[rows]
    return found


def row_blocks(
    source: RowSource | np.ndarray, *, multiple: int = 1, within: slice | None = None
) -> Iterator[slice]:
    """Runs of rows that are to be in memory together.

    Args:
      source: of the rows.
      multiple: of which the number of rows of every block but the last one is.
      within: a run of rows; by default all.
    """
    row_bytes = int(np.prod(source.shape[1:], dtype=np.int64)) * source.dtype.itemsize
    step = max(1, _BLOCK_BYTES // max(1, row_bytes * multiple)) * multiple
    first, end = (0, len(source)) if within is None else (within.start, within.stop)
    for start in range(first, end, step):
        yield slice(start, min(start + step, end))


def check_source(name: str, source: RowSource, *, nonzero: bool = False) -> RowSource:
    """Raises `ValueError` for rows that are no finite (and not zero) vectors."""
    checks.rank(name, source, 2)
    unfit = source.first_unfit(nonzero)
    if unfit is not None:
        row, what = unfit
        expected = "a vector with a direction" if nonzero else "finite values"
        raise ValueError(f"{name}: row {row} {what}, expected {expected}")
    return source
