"""Records of a run, and rows of them as CSV."""

from __future__ import annotations

import csv
import io
import itertools
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from robustjax.files import atomic_file, safe_cell

Record = dict[str, Any]
"""A line of a file of JSON lines."""


def write_csv(
    path: str | pathlib.Path,
    rows: Iterable[Mapping[str, Any]],
    columns: Sequence[str] | None = None,
) -> None:
    """Writes rows as CSV, one after another where the columns are given.

    Text that a spreadsheet would compute is written as `files.safe_cell` says, which
    `data.read_csv` undoes.

    Args:
      path: of the file, which appears when it is complete.
      rows: column -> cell; what a row does not have stays empty.
      columns: of the file; by default all keys in order of first appearance, for
        which all rows are held.
    """
    if columns is None:
        rows = list(rows)
        columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO(newline="")
    # Only what is part of its line end makes a writer quote a cell.
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\r\n")
    with atomic_file(path) as file:
        for row in itertools.chain([{column: column for column in columns}], rows):
            writer.writerow({key: safe_cell(value) for key, value in row.items()})
            line = text.getvalue().removesuffix("\r\n")
            file.write(f"{line}\n".encode())
            text.seek(0)
            text.truncate()
