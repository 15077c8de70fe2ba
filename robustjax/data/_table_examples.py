"""What any table of examples has beside its inputs: labels, ids, splits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from robustjax.data._dataset import Dataset, make_dataset
from robustjax.data._table_labels import class_names_of, label_texts, unlabeled
from robustjax.data._tables import (
    SPLIT,
    id_column_of,
    ids_of,
    label_column_of,
    open_table,
    rows_of_split,
    table_columns,
)


class TableExamples(NamedTuple):
    """The rows of a split.

    Attributes:
      rows: (M,) their numbers.
      labels: (M,) int32.
      ids: (M,) of text or integers.
      class_names: of the labels of all splits.
      name: for reports.
      column: values of the column that is the input, of these rows.
    """

    rows: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    class_names: list[str]
    name: str
    column: list[Any]

    def with_inputs(self, inputs: np.ndarray) -> Dataset:
        """The data set of inputs (M, ...)."""
        return make_dataset(
            inputs,
            self.labels,
            ids=self.ids,
            class_names=self.class_names,
            name=self.name,
        )


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
) -> TableExamples:
    """Reads a table of which one column is the input.

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
    if column not in columns:
        raise ValueError(
            f"{argument}: got {column!r}, expected one of "
            f"{', '.join(map(repr, list(columns)[:12]))}"
        )
    label = label_column_of(label_column, columns, name)
    fallback = column if names_rows else None
    identity = id_column_of(id_column, columns, fallback=fallback)
    labeled = ~unlabeled(columns[label]) if skip_unlabeled else None
    of_row = label_texts(columns[label], label, neutralised, labeled)
    rows = rows_of_split(columns.get(SPLIT), split, table.num_rows, name)
    if labeled is not None:
        rows = rows[labeled[rows]]
    names = class_names_of(list(of_row.values()))
    place = {text: number for number, text in enumerate(names)}
    values = columns[column].to_pylist()
    missing = next((row for row in rows.tolist() if not values[row]), None)
    if missing is not None:
        raise ValueError(
            f"{argument}: row {missing} (from 0) has nothing in {column!r}"
        )
    ids = rows
    if identity is not None:
        ids = ids_of(columns[identity], identity, neutralised)[rows]
    return TableExamples(
        rows,
        np.array([place[of_row[row]] for row in rows.tolist()], np.int32),
        ids,
        names,
        name if split is None else f"{name}[{split}]",
        [values[row] for row in rows.tolist()],
    )
