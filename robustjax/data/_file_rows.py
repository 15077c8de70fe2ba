"""Rows of `.npy` files that are read when they are asked for, and not before."""

from __future__ import annotations

import hashlib
import os
import pathlib
import threading
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from robustjax.files import check_readable
from robustjax.row_source import RowSource, row_numbers

# More at a time some systems refuse.
_MOST_BYTES = 2**30
_VERSIONS = {(1, 0): np.lib.format.read_array_header_1_0}
_VERSIONS |= {(2, 0): np.lib.format.read_array_header_2_0}


class NpyFile(NamedTuple):
    """A file of rows.

    Attributes:
      path: of the file.
      offset: bytes before the first row.
      shape: (N, ...).
      dtype: of every number, in native byte order.
    """

    path: pathlib.Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def row_bytes(self) -> int:
        """Of one row."""
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize


def inspect_npy(path: str | os.PathLike[str], name: str) -> NpyFile:
    """What the header of an `.npy` file says, and whether its rows are all there.

    Args:
      path: of the file.
      name: what to call it in an error.

    Raises:
      ValueError: a file that is missing, damaged or shorter than its header says, no
        rows, or numbers that rows of bytes do not give (objects, another byte order,
        columns first).
    """
    path = pathlib.Path(path)
    try:
        check_readable(path)
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            if version not in _VERSIONS:
                raise ValueError(f"it is of .npy version {version}")
            shape, by_columns, dtype = _VERSIONS[version](file)
            offset = file.tell()
            size = os.fstat(file.fileno()).st_size
        if dtype.kind not in "biuf" or not dtype.isnative:
            raise ValueError(f"it holds {dtype.str}, expected native numbers")
        # Where one axis alone is longer than 1, both orders are the same bytes.
        by_columns = by_columns and sum(length > 1 for length in shape) > 1
        if len(shape) < 2 or by_columns:
            order = ", columns first" if by_columns else ""
            raise ValueError(f"its shape is {shape}{order}, expected rows, (N, ...)")
        found = NpyFile(path, offset, shape, dtype)
        expected = offset + shape[0] * found.row_bytes
        if size < expected:
            raise ValueError(f"it has {size:,} of {expected:,} bytes: truncated")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(f"{name}: cannot read {str(path)!r}: {reason}") from None
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{name}: cannot read {str(path)!r}: {reason}") from None
    return found


class FileRows(RowSource):
    """The rows of `.npy` files, one file after the other, as one array of NumPy.

    Takes what `training.Stream` and `Dataset.inputs` ask of an array: `shape`,
    `dtype`, `len`, and rows by number, slice or mask, which come as arrays. Files are
    read, not mapped: the rows that were read are all that a process holds of them, and
    a limit on its address space (`ulimit -v`) does not count them.

    Attributes:
      shape: (N, ...).
      dtype: of every number.
    """

    def __init__(
        self,
        files: Sequence[NpyFile],
        *,
        digest: str | None = None,
        rows: np.ndarray | None = None,
    ):
        """Opens no file yet.

        Args:
          files: at least one, of rows alike.
          digest: of their content, where it is known; else of names, sizes and times.
          rows: (M,) numbers of the rows that are meant, in order; by default all.
        """
        self._files = tuple(files)
        self._first = np.cumsum([0, *(file.shape[0] for file in files)])
        self._rows, self._digest = rows, digest
        self._open = _OpenFiles(tuple(file.path for file in files))
        count = int(self._first[-1]) if rows is None else len(rows)
        self.shape = (count, *files[0].shape[1:])
        self.dtype = files[0].dtype

    @property
    def nbytes(self) -> int:
        """What all rows would take in memory."""
        return self.shape[0] * self._files[0].row_bytes

    def select(self, rows: np.ndarray) -> FileRows:
        """Some rows, in the given order, not yet read.

        Args:
          rows: (M,) integers in 0 … N-1, or an (N,) mask.

        Raises:
          IndexError: a number out of range.
        """
        rows = row_numbers(rows, len(self))
        rows = rows if self._rows is None else self._rows[rows]
        return FileRows(self._files, digest=self._digest, rows=rows)

    def digest(self) -> str:
        """Hexadecimal text that differs where the rows differ."""
        known = self._digest or [
            [str(f.path), f.path.stat().st_size, f.path.stat().st_mtime_ns]
            for f in self._files
        ]
        hasher = hashlib.sha256(repr(known).encode())
        if self._rows is not None:
            hasher.update(self._rows.tobytes())
        return hasher.hexdigest()

    def __getitem__(self, rows: Any) -> np.ndarray:
        """The rows of a number, a slice, (M,) numbers or an (N,) mask.

        Raises:
          IndexError: a number out of range.
          ValueError: a file that is no longer what it was.
        """
        if isinstance(rows, int | np.integer):
            return self[np.array([rows])][0]
        wanted = row_numbers(rows, len(self))
        found = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        self._read(wanted if self._rows is None else self._rows[wanted], found)
        return found

    def read_into(self, rows: np.ndarray, out: np.ndarray) -> None:
        """See `RowSource`; straight from the files where numbers stay as they are."""
        if out.dtype != self.dtype or not out.flags.c_contiguous:
            super().read_into(rows, out)
            return
        wanted = row_numbers(rows, len(self))
        self._read(wanted if self._rows is None else self._rows[wanted], out)

    def _read(self, wanted: np.ndarray, found: np.ndarray) -> None:
        if not found.size:
            return
        which = np.searchsorted(self._first, wanted, side="right") - 1
        # Rows that follow each other in a file are read at once.
        follows = (np.diff(wanted) == 1) & (np.diff(which) == 0)
        starts = np.flatnonzero(np.concatenate([[True], ~follows]))
        sizes = np.diff(starts, append=len(wanted))
        # In the files' order: a disk need not go back.
        order = np.argsort(wanted[starts], kind="stable")
        starts, sizes = starts[order], sizes[order]
        row_bytes, into = self._files[0].row_bytes, found.reshape(-1).view(np.uint8)
        in_file = which[starts]
        for number in np.unique(in_file):
            here = in_file == number
            begins = starts[here]
            places = wanted[begins] - self._first[number]
            self._open.read(
                int(number),
                into,
                begins * row_bytes,
                sizes[here] * row_bytes,
                places * row_bytes + self._files[number].offset,
            )


class _OpenFiles:
    """Files that are opened once, read by any thread and closed at the end."""

    def __init__(self, paths: tuple[pathlib.Path, ...]):
        self._paths = paths
        self._numbers: dict[int, int] = {}
        self._lock = threading.Lock()
        weakref.finalize(self, _close_all, self._numbers)

    def read(
        self,
        number: int,
        into: np.ndarray,
        begins: np.ndarray,
        sizes: np.ndarray,
        places: np.ndarray,
    ) -> None:
        """Fills parts of some bytes, each from a place of a file."""
        view, read = into.data, os.preadv
        ends = begins + np.minimum(sizes, _MOST_BYTES)
        parts = (array.tolist() for array in (begins, ends, sizes, places))
        try:
            descriptor = self._descriptor(number)
            # Of short rows, this line is most of what they cost.
            for begin, end, size, place in zip(*parts):
                count = read(descriptor, (view[begin:end],), place)
                if count != size:
                    self._read_on(number, view[begin : begin + size], count, place)
        except OSError as error:
            raise ValueError(
                f"inputs: cannot read {str(self._paths[number])!r}: {error.strerror}"
            ) from None

    def _read_on(self, number: int, part: memoryview, done: int, place: int) -> None:
        """What one call did not read: of too many bytes, or of a file cut short."""
        count = done
        while count and done < len(part):
            rest = part[done : done + _MOST_BYTES]
            count = os.preadv(self._descriptor(number), [rest], place + done)
            done += count
        if done < len(part):
            raise ValueError(
                f"inputs: {str(self._paths[number])!r} is shorter than when it was "
                "opened"
            )

    def _descriptor(self, number: int) -> int:
        with self._lock:
            if number not in self._numbers:
                self._numbers[number] = os.open(self._paths[number], os.O_RDONLY)
            return self._numbers[number]


def _close_all(numbers: dict[int, int]) -> None:
    for descriptor in numbers.values():
        os.close(descriptor)


def open_rows(path: str | os.PathLike[str]) -> FileRows:
    """The rows of one `.npy` file, for `training.Stream`.

    Args:
      path: of the file, (N, ...) numbers, however large.

    Raises:
      ValueError: see `inspect_npy`.

    Example:
      >>> import numpy as np, tempfile
      >>> from robustjax import data
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     np.save(f"{folder}/x.npy", np.arange(6.0).reshape(3, 2))
      ...     rows = data.open_rows(f"{folder}/x.npy")
      ...     rows.shape, rows[[2, 0]].tolist()
      ((3, 2), [[4.0, 5.0], [0.0, 1.0]])
    """
    return FileRows([inspect_npy(path, "path")])
