"""Rows of a Parquet file that are read when they are asked for, group by group."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from robustjax.data._table_files import (
    PARQUET_SUFFIXES,
    import_arrow,
    is_list,
    number_lost,
)
from robustjax.files import check_readable
from robustjax.row_source import PartedRows


class TableRows(PartedRows):
    """Rows of numbers of a Parquet file.

    A row group is read whole, and the last one that was read is kept: rows in order
    read the file once, and scattered ones a group for each of those that they are in.

    Attributes:
      shape: (N, D).
      dtype: float32 if that holds the columns exactly, else float64.
    """

    def __init__(self, path: pathlib.Path, columns: Sequence[str]):
        """Reads the first group that has rows, for the widths of lists.

        Args:
          path: of the file, with at least one row.
          columns: numbers or lists of numbers, side by side.
        """
        from pyarrow import parquet

        super().__init__()
        self._path, self._columns = path, list(columns)
        self._file = parquet.ParquetFile(path)
        meta = self._file.metadata
        counts = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
        *starts, size = np.cumsum([0, *counts])
        self.starts = np.array(starts)
        types = [self._file.schema_arrow.field(name).type for name in columns]
        self.dtype = np.dtype(np.float32 if all(map(_narrow, types)) else np.float64)
        # An empty group tells no width of its lists.
        self.shape = (int(size), self._keep(int(np.flatnonzero(counts)[0])).shape[1])

    def _part(self, number: int) -> np.ndarray:
        """A row group; `ValueError` for lists of another length than the first's."""
        table = self._file.read_row_group(number, columns=self._columns)
        parts = [self._numbers(table.column(name), name) for name in self._columns]
        group = np.concatenate(parts, axis=1)
        width = group.shape[1] if not hasattr(self, "shape") else self.shape[1]
        if group.shape[1] != width:
            raise ValueError(
                f"path: {str(self._path)!r} has {group.shape[1]} numbers in a row "
                f"of its group {number}, expected {width}"
            )
        return group

    def _numbers(self, column: Any, name: str) -> np.ndarray:
        """(n, w) of one column of a group."""
        array = column.combine_chunks()
        count, width = len(array), 1
        if is_list(array.type) and array.null_count == 0:
            lengths = np.unique(array.value_lengths().to_numpy(zero_copy_only=False))
            if len(lengths) != 1:
                raise ValueError(
                    f"columns: {name!r} of {str(self._path)!r} has lists of "
                    f"{lengths[0]} and {lengths[1]} numbers, expected one length"
                )
            array, width = array.flatten(), int(lengths[0])
        if array.null_count:
            raise ValueError(
                f"columns: {name!r} of {str(self._path)!r} has {array.null_count} "
                "missing value(s), expected none"
            )
        if number_lost(array):
            raise ValueError(
                f"columns: {name!r} of {str(self._path)!r} has integers beyond 2^53, "
                "which float64 does not tell apart"
            )
        values = array.to_numpy(zero_copy_only=False).astype(self.dtype, copy=False)
        return np.asarray(values).reshape(count, width)


def _number_type(kind: Any) -> Any:
    """The type of a column's numbers, or None for something else."""
    from pyarrow import types

    inner = kind.value_type if is_list(kind) else kind
    numeric = types.is_floating(inner) or types.is_integer(inner)
    return inner if numeric or types.is_boolean(inner) else None


def _narrow(kind: Any) -> bool:
    """Whether float32 holds all numbers of a column's type."""
    from pyarrow import types

    inner = _number_type(kind)
    if types.is_floating(inner):
        return not types.is_float64(inner)
    return bool(types.is_boolean(inner) or inner.bit_width <= 16)


def open_table_rows(
    path: str | os.PathLike[str], columns: Sequence[str] | None = None
) -> TableRows:
    """The rows of a Parquet file, however large, for what takes rows of a file.

    Args:
      path: of the file.
      columns: numbers, truths, or lists of numbers (embeddings), which become a number
        each, in this order; by default all columns.

    Raises:
      ValueError: a file that cannot be read, without rows, or of another suffix;
        unknown columns, or columns of something else.
      ImportError: pyarrow is not installed (extra `tools`).

    Example:
      >>> import numpy as np, pyarrow, tempfile
      >>> from pyarrow import parquet
      >>> from robustjax import data
      >>> table = pyarrow.table({"x": [[1.0, 2.0], [3.0, 4.0]], "y": [5, 6]})
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     parquet.write_table(table, f"{folder}/x.parquet")
      ...     rows = data.open_table_rows(f"{folder}/x.parquet")
      ...     rows.shape, rows[[1]].tolist()
      ((2, 3), [[3.0, 4.0, 6.0]])
    """
    pa = import_arrow("path")
    from pyarrow import parquet

    path = pathlib.Path(path)
    if path.suffix.lower() not in PARQUET_SUFFIXES:
        raise ValueError(
            f"path: got {str(path)!r}, expected a file of the suffix "
            f"{', '.join(PARQUET_SUFFIXES)}"
        )
    try:
        check_readable(path)
        meta = parquet.ParquetFile(path)
        schema = meta.schema_arrow
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise ValueError(f"path: cannot read {str(path)!r}: {reason[:200]}") from None
    if not meta.metadata.num_rows:
        raise ValueError(f"path: {str(path)!r} has no rows")
    wanted = list(schema.names if columns is None else columns)
    for name in wanted:
        if name not in schema.names:
            raise ValueError(
                f"columns: got {name!r}, expected any of {', '.join(schema.names)}"
            )
        kind = schema.field(name).type
        if _number_type(kind) is None:
            raise ValueError(
                f"columns: {name!r} of {str(path)!r} is {kind}, expected numbers or "
                "lists of numbers"
            )
    if not wanted:
        raise ValueError("columns: got none, expected at least one")
    return TableRows(path, wanted)
