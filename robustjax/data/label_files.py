"""Labels in CSV files, joined to a data set by id."""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from robustjax.data.dataset import Dataset, rows_of


def read_csv(path: str | pathlib.Path, *, name: str) -> list[dict[str, str]]:
    """Reads a CSV file with a header into one dict per row.

    Args:
      path: the file.
      name: what to call it in an error.

    Raises:
      ValueError: a file that cannot be read, or a row with more cells than columns.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ValueError(f"{name}: cannot read {str(path)!r}: {reason}") from None
    for number, row in enumerate(rows):
        if None in row:
            raise ValueError(
                f"{name}: line {number + 2} of {str(path)!r} has more cells than the "
                "header has columns"
            )
    return rows


def need_columns(
    rows: Sequence[Mapping[str, str]],
    columns: Sequence[str],
    *,
    path: str | pathlib.Path,
    name: str,
) -> None:
    """Raises `ValueError` naming the columns that a file lacks."""
    present = list(rows[0]) if rows else []
    missing = [column for column in columns if column not in present]
    if missing:
        raise ValueError(
            f"{name}: {str(path)!r} lacks the column(s) {', '.join(missing)}; it has "
            f"{', '.join(present) or 'no rows'}"
        )


def parse_labels(
    values: Sequence[str], class_names: Sequence[str], *, name: str
) -> np.ndarray:
    """Turns class names, or class indices, into int32 class indices.

    Names win where a name looks like an index.

    Raises:
      ValueError: a value that is no class.
    """
    known = {str(number): number for number in range(len(class_names))}
    known |= {label: number for number, label in enumerate(class_names)}
    unknown = [value for value in values if value.strip() not in known]
    if unknown:
        shown = ", ".join(class_names[:5]) + (" …" if len(class_names) > 5 else "")
        raise ValueError(
            f"{name}: {len(unknown)} value(s) are no class (first: {unknown[0]!r}), "
            f"expected a name or an index of: {shown}"
        )
    return np.array([known[value.strip()] for value in values], np.int32)


def read_labels(
    path: str | pathlib.Path, dataset: Dataset, column: str, *, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Reads one label column by id, leaving out rows where it is blank.

    Args:
      path: a CSV file with the columns `id` and `column`.
      dataset: whose ids and class names are meant.
      column: the label column.
      name: what to call the file in an error.

    Returns:
      (M,) row numbers of the data set and (M,) int32 labels.

    Raises:
      ValueError: a file that cannot be read or lacks a column, unknown or repeated
        ids, values that are no class.
    """
    rows = read_csv(path, name=name)
    need_columns(rows, ("id", column), path=path, name=name)
    filled = [row for row in rows if (row[column] or "").strip()]
    labels = parse_labels(
        [row[column] for row in filled], dataset.class_names, name=f"{name}[{column}]"
    )
    ids = np.array([row["id"] for row in filled], dtype=str)
    return rows_of(dataset, ids, name=f"{name}[id]"), labels
