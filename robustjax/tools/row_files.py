"""Rows of a result as CSV, JSON lines or Parquet."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from robustjax.data._table_files import import_arrow
from robustjax.files import atomic_file
from robustjax.training import write_csv

_SUFFIXES = {".jsonl": "jsonl", ".parquet": "parquet", ".pq": "parquet"}


def check_format(path: str, given: str | None) -> str:
    """The format of a file that is to be written.

    Args:
      path: of the file.
      given: the format, or None for that of the suffix, or else CSV.

    Raises:
      ImportError: Parquet without pyarrow.
    """
    found = given or _SUFFIXES.get(pathlib.Path(path).suffix.lower(), "csv")
    if found == "parquet":
        import_arrow("format")
    return found


def write_rows(path: str, rows: Iterable[Mapping[str, Any]], form: str) -> None:
    """Writes a file, whole or not at all.

    Args:
      path: of the file.
      rows: column -> text, number or truth, the same columns in each. In CSV, numbers
        have nine digits, and text that a spreadsheet would compute is written as
        `files.safe_cell` says; the other two keep both as they are. What is not finite
        is null there.
      form: "csv", "jsonl" or "parquet".
    """
    if form == "csv":
        write_csv(path, ({k: _cell(v) for k, v in row.items()} for row in rows))
        return
    plain = ({name: _plain(value) for name, value in row.items()} for row in rows)
    with atomic_file(path) as file:
        if form == "jsonl":
            for row in plain:
                file.write(f"{json.dumps(row, ensure_ascii=False)}\n".encode())
            return
        arrow = import_arrow("format")
        from pyarrow import parquet

        parquet.write_table(arrow.Table.from_pylist(list(plain)), file)


def _cell(value: Any) -> Any:
    return f"{value:.9g}" if isinstance(value, float | np.floating) else value


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
