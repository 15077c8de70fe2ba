"""Tables of which one column is the input, such as paths or texts."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustjax.data._table_columns import (
    SPLIT,
    id_column_of,
    ids_of_rows,
    label_column_of,
    named_column,
    open_table,
    table_columns,
)
from robustjax.data._tables import LabeledRows, labeled_rows
from robustjax.files import original_cell


def read_table_examples(
    source: Any,
    argument: str,
    column: str,
    split: str | None,
    *,
    label_column: str | None,
    id_column: str | None,
    skip_unlabeled: bool,
    names_rows: bool,
) -> tuple[LabeledRows, np.ndarray, list[Any]]:
    """Reads a table of which one column is the input: its rows, their ids and values.

    Args:
      source: see `load_table`.
      argument: what to call the column in an error.
      column: its name.
      split: see `load_table`.
      label_column: likewise.
      id_column: likewise.
      skip_unlabeled: likewise.
      names_rows: whether the column names the rows where nothing else does.

    Raises:
      ValueError: a table that cannot be read, a missing or unknown column, or a
        missing label.
      ImportError: pyarrow is not installed (extra `tools`).
    """
    texts = (label_column or "label", id_column or "id", SPLIT, column)
    table, name, neutralised = open_table(source, texts)
    columns = table_columns(table, name)
    named_column(argument, column, "", columns)
    label = label_column_of(label_column, columns, name)
    fallback = column if names_rows else None
    identity = id_column_of(id_column, columns, fallback=fallback)
    found = labeled_rows(
        columns,
        label,
        neutralised,
        split=split,
        count=table.num_rows,
        name=name,
        skip_unlabeled=skip_unlabeled,
    )
    values = columns[column].to_pylist()
    rows = found.rows.tolist()
    missing = next((row for row in rows if not values[row]), None)
    if missing is not None:
        raise ValueError(
            f"{argument}: row {missing} (from 0) has nothing in {column!r}"
        )
    ids = ids_of_rows(columns, identity, neutralised, found.rows)
    chosen = [values[row] for row in rows]
    return found, ids, list(map(original_cell, chosen)) if neutralised else chosen
