"""Labels in CSV files, joined to a data set by id."""

from __future__ import annotations

import csv
import math
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from robustjax.data._dataset import Dataset, rows_of
from robustjax.data._names import check_class_names, plain_name
from robustjax.files import check_readable, original_cell

_DELIMITERS = ",;\t"


def read_csv(path: str | pathlib.Path, *, name: str) -> list[dict[str, str]]:
    """Reads a CSV file with a header into one dict per row.

    Columns are parted by what the header has most of: commas, semicolons or tabs.
    Cells that a row lacks at its end are empty: spreadsheets leave them out where
    they are blank.

    Args:
      path: the file.
      name: what to call it in an error.

    Raises:
      ValueError: a file that cannot be read or is no CSV (a quote that is not closed,
        a cell of more than 131,072 characters), two columns of one name, or a row with
        more cells than columns.
    """
    return [row for _, row in read_numbered_csv(path, name=name)]


def read_numbered_csv(
    path: str | pathlib.Path, *, name: str
) -> list[tuple[int, dict[str, str]]]:
    """As `read_csv`, every row with the number of the line that it ends in, from 1.

    Args and errors are those of `read_csv`.
    """
    try:
        check_readable(path)
        with open(path, newline="", encoding="utf-8-sig") as file:
            delimiter = delimiter_of(file.readline())
            file.seek(0)
            # Strict: a quote left open would take the rest of the file into one cell.
            reader = csv.DictReader(file, restval="", strict=True, delimiter=delimiter)
            return _rows(reader, path, name)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ValueError(f"{name}: cannot read {str(path)!r}: {reason}") from None


def delimiter_of(header: str) -> str:
    """The comma, semicolon or tab: what a header has most of."""
    return max(_DELIMITERS, key=header.count)


def _rows(
    reader: csv.DictReader[str], path: str | pathlib.Path, name: str
) -> list[tuple[int, dict[str, str]]]:
    rows = []
    line = 1
    try:
        _check_header(reader.fieldnames or (), path, name)
        line = reader.line_num + 1
        for row in reader:
            if None in row:
                raise ValueError(
                    f"{name}: line {reader.line_num} of {str(path)!r} has more cells "
                    "than the header has columns"
                )
            cells = {key: original_cell(cell) for key, cell in row.items()}
            rows.append((reader.line_num, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{name}: cannot read {str(path)!r} from line {line} on: {error}"
        ) from None
    return rows


def _check_header(columns: Sequence[str], path: str | pathlib.Path, name: str) -> None:
    # Spreadsheets export columns without a name, which nobody asks for.
    named = [column.strip() for column in columns if column.strip()]
    twice = sorted({column for column in named if named.count(column) > 1})
    if twice:
        raise ValueError(
            f"{name}: {str(path)!r} has {named.count(twice[0])} columns called "
            f"{twice[0]!r}, expected one"
        )


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


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def parse_labels(
    values: Sequence[str], class_names: Sequence[str], *, name: str
) -> np.ndarray:
    """Turns class names, or class indices, into int32 class indices.

    Names win where a name looks like an index, and where several names are numbers, or
    one is that cannot be an index, indices do not count at all: class "1" of "1", "2",
    "3" is meant by "1" alone, never by "0", and so is "-1" of "-1", "1". An index that
    is a name but for its zeros is neither: 1 of "01", "owl".

    Raises:
      ValueError: a value that is no class, or class names that are not unique.
    """
    names = [plain_name(label) for label in check_class_names(class_names)]
    known = {label: number for number, label in enumerate(names)}
    numbers = [label for label in names if _is_number(label)]
    if len(numbers) < 2 and all(float(x) >= 0 and not float(x) % 1 for x in numbers):
        # Of "01" and "owl", 1 may be the name without its zero, or the second class.
        taken = {int(float(label)) for label in numbers} - {known[x] for x in numbers}
        free = [number for number in range(len(names)) if number not in taken]
        known = {str(number): number for number in free} | known
    wanted = [plain_name(value) for value in values]
    unknown = [value for value, plain in zip(values, wanted) if plain not in known]
    if unknown:
        shown = ", ".join(class_names[:5]) + (" …" if len(class_names) > 5 else "")
        raise ValueError(
            f"{name}: {len(unknown)} value(s) are no class (first: {unknown[0]!r}), "
            f"expected a name or an index of: {shown}"
        )
    return np.array([known[plain] for plain in wanted], np.int32)


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
    filled = [row for row in rows if row[column].strip()]
    labels = parse_labels(
        [row[column] for row in filled], dataset.class_names, name=f"{name}[{column}]"
    )
    ids = np.array([row["id"] for row in filled], dtype=str)
    return rows_of(dataset, ids, name=f"{name}[id]"), labels
