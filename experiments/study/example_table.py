"""What was decided about every example, from many files to the rows of one."""

from __future__ import annotations

import math
import pathlib
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from robustjax.training import Record

# Rows that are text at the same time.
_ROWS = 4096

Read = Callable[[Record], Mapping[str, np.ndarray]]


class ExampleTable:
    """The rows of `examples.csv`; a repeat (a set of keys) is in memory at a time."""

    def __init__(self, folder: pathlib.Path, records: Sequence[Record], read: Read):
        """Looks at the names of the columns.

        Args:
          folder: of the run.
          records: of what was kept of examples; cell by cell.
          read: the arrays of a record's file.

        Raises:
          ValueError: a file that is no archive of arrays.
        """
        self._read = read
        self._places: dict[tuple[Any, ...], list[Record]] = {}
        for record in records:
            self._places.setdefault(tuple(record["keys"].items()), []).append(record)
        self.columns = list(
            dict.fromkeys(
                name
                for place, mine in self._places.items()
                for name in (
                    *dict(place),
                    "id",
                    *(n for record in mine for n in _names(folder, record)),
                )
            )
        )

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row per example and set of keys, joined by id from all files."""
        for place, records in self._places.items():
            yield from self._rows(dict(place), records)

    def _rows(
        self, keys: Mapping[str, Any], records: Sequence[Record]
    ) -> Iterator[dict[str, Any]]:
        ids, columns = self._joined(records)
        for first in range(0, len(ids), _ROWS):
            part = slice(first, first + _ROWS)
            texts = {
                name: _texts(array, where[part])
                for name, (array, where) in columns.items()
            }
            for number, name in enumerate(ids[part].tolist()):
                own = {column: cells[number] for column, cells in texts.items()}
                yield {**keys, "id": name, **own}

    def _joined(
        self, records: Sequence[Record]
    ) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
        """(N,) ids, and per column its values and (N,) where they are; -1: nowhere."""
        ids: np.ndarray | None = None
        row_of: dict[Any, int] = {}
        found: list[tuple[str, np.ndarray, np.ndarray]] = []
        for record in records:
            arrays = dict(self._read(record))
            mine = arrays.pop("ids")
            if ids is None:
                ids = mine
            if np.array_equal(ids, mine):
                rows = np.arange(len(ids))
            else:
                row_of = row_of or {name: row for row, name in enumerate(ids.tolist())}
                new = np.array([name not in row_of for name in mine.tolist()], bool)
                for name in mine[new].tolist():
                    row_of[name] = len(row_of)
                ids = np.concatenate([ids, mine[new]])
                rows = np.array([row_of[name] for name in mine.tolist()], np.int64)
            found += [(_column(record, n), array, rows) for n, array in arrays.items()]
        assert ids is not None
        columns = {}
        for name, array, rows in found:
            where = np.full(len(ids), -1)
            where[rows] = np.arange(len(rows))
            columns[name] = (array, where)
        return ids, columns


def _names(folder: pathlib.Path, record: Record) -> list[str]:
    """The columns in a record's file, without reading them."""
    path = folder / record["cell"] / record["file"]
    try:
        with zipfile.ZipFile(path) as file:
            names = [name.removesuffix(".npy") for name in file.namelist()]
    except (OSError, zipfile.BadZipFile):
        raise ValueError(f"run_dir: {str(path)!r} is missing or was altered") from None
    return [_column(record, name) for name in names if name != "ids"]


def _column(record: Record, name: str) -> str:
    return f"{record['label']}.{name}" if record["label"] else name


def _texts(array: np.ndarray, where: np.ndarray) -> list[str]:
    if not len(array):
        return [""] * len(where)
    values = array[np.maximum(where, 0)].tolist()
    there = (where >= 0).tolist()
    if array.dtype.kind == "f":
        return [_text(x) if known else "" for x, known in zip(values, there)]
    return [str(x) if known else "" for x, known in zip(values, there)]


def _text(value: float) -> str:
    if not math.isfinite(value):
        return ""
    # Places in an order are whole, and have as many digits as there are examples.
    whole = value.is_integer() and abs(value) < 2**53
    return str(int(value)) if whole else f"{value:.6g}"
