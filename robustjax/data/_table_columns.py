"""Which columns of a table are its labels, its ids and its splits."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Collection
from typing import Any

import numpy as np

from robustjax.data._names import printable
from robustjax.data._table_files import (
    CSV_SUFFIXES,
    INDEX,
    TABLE_SUFFIXES,
    as_table,
    read_table,
)
from robustjax.files import original_cell

LABEL, ID, SPLIT = "label", "id", "split"


def open_table(source: Any, texts: Collection[str | None]) -> tuple[Any, str, bool]:
    """An Arrow table, its name, and whether cells were made safe for spreadsheets."""
    if not isinstance(source, str | os.PathLike):
        return as_table(source, name="source"), type(source).__name__, False
    path = pathlib.Path(source)
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise ValueError(
            f"source: got {str(path)!r}, expected a file of the suffix "
            f"{', '.join(TABLE_SUFFIXES)}"
        )
    table = read_table(path, texts=texts, name="source")
    return table, printable(path), path.suffix.lower() in CSV_SUFFIXES


def table_columns(table: Any, name: str) -> dict[str, Any]:
    """Columns by name."""
    names = table.column_names
    twice = sorted({key for key in names if key.strip() and names.count(key) > 1})
    if twice:
        raise ValueError(
            f"source: {name!r} has {names.count(twice[0])} columns called "
            f"{twice[0]!r}, expected one"
        )
    return dict(zip(names, (column.combine_chunks() for column in table.columns)))


def label_column_of(given: str | None, columns: dict[str, Any], name: str) -> str:
    """The column of labels: as given, or "label"; `ValueError` where there is none."""
    label = named_column("label_column", given, LABEL, columns)
    if label is None:
        raise ValueError(
            f"label_column: {name!r} has no column {LABEL!r}; expected one of "
            f"{listed(columns)}"
        )
    return label


def id_column_of(
    given: str | None, columns: dict[str, Any], *, fallback: str | None = None
) -> str | None:
    """The column of ids: as given, or "id", or a data frame's index.

    Args:
      given: its name, if it was said.
      columns: of the table.
      fallback: a column that names rows where nothing else does, if it is of text.

    Raises:
      ValueError: an unknown name.
    """
    from pyarrow import types

    found = named_column("id_column", given, ID, columns)
    if found is None and INDEX in columns:
        return INDEX
    if found is None and fallback in columns:
        kind = columns[fallback].type
        if types.is_string(kind) or types.is_large_string(kind):
            return fallback
    return found


def rows_of_split(column: Any, split: str | None, count: int, name: str) -> np.ndarray:
    """The rows of a split; `ValueError` for an unknown one."""
    if split is None:
        return np.arange(count)
    if column is None:
        if split == "test":
            raise ValueError(
                f"split: {name!r} has no column {SPLIT!r}, so it has no 'test'"
            )
        return np.arange(count)
    values = [str(value) for value in column.to_pylist()]
    rows = np.flatnonzero(np.array(values) == split)
    if not rows.size:
        known = sorted(set(values))
        raise ValueError(
            f"split: got {split!r}, expected one of {listed(known)}, the values of "
            f"column {SPLIT!r}"
        )
    return rows


def ids_of_rows(
    columns: dict[str, Any], identity: str | None, neutralised: bool, rows: np.ndarray
) -> np.ndarray:
    """The ids of some rows (M,): those of a column, or else the rows' numbers.

    Raises:
      ValueError: a column that lacks one.
    """
    if identity is None:
        return rows
    return _ids(columns[identity], identity, neutralised)[rows]


def _ids(column: Any, name: str, neutralised: bool) -> np.ndarray:
    """Ids as text or integers; `ValueError` where one is missing."""
    values = column.to_pylist()
    missing = next(
        (row for row, value in enumerate(values) if value in (None, "")), None
    )
    if missing is not None:
        raise ValueError(f"id_column: row {missing} (from 0) has nothing in {name!r}")
    if neutralised:
        values = [original_cell(value) for value in values]
    return np.array(values)


def named_column(
    argument: str, given: str | None, usual: str, columns: dict[str, Any]
) -> str | None:
    """The column that was asked for, or the usual one where there is one.

    Args:
      argument: that asks for it, for errors.
      given: its name, if it was said.
      usual: the name that it has otherwise.
      columns: of the table.

    Raises:
      ValueError: an unknown name.
    """
    if given is None:
        return usual if usual in columns else None
    if given not in columns:
        raise ValueError(
            f"{argument}: got {given!r}, expected one of {listed(columns)}"
        )
    return given


def listed(columns: Any, most: int = 12) -> str:
    """Names for an error, so many at most."""
    names = [repr(key) for key in columns]
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
