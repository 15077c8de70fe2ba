"""Files of tables, exports of annotation tools and data frames, as Arrow tables."""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Collection
from typing import Any

from robustjax.data._annotation_exports import EXPORT_SUFFIXES, export_columns
from robustjax.data._label_files import delimiter_of
from robustjax.files import check_readable

CSV_SUFFIXES = (".csv", ".tsv")
PARQUET_SUFFIXES = (".parquet", ".pq")
FEATHER_SUFFIXES = (".feather", ".arrow")
TABLE_SUFFIXES = (
    *CSV_SUFFIXES,
    *PARQUET_SUFFIXES,
    *FEATHER_SUFFIXES,
    *EXPORT_SUFFIXES,
)


INDEX = "__index_level_0__"
"""What Arrow calls the index of a pandas frame."""


def import_arrow(name: str) -> Any:
    """The module pyarrow.

    Raises:
      ImportError: it is not installed, with how to.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError(
            f"{name}: tables need pyarrow; pip install 'robustjax[tools]'"
        ) from error
    return pyarrow


def is_list(kind: Any) -> bool:
    """Whether a column of this type holds a list in every row."""
    from pyarrow import types

    return bool(
        types.is_list(kind)
        or types.is_large_list(kind)
        or types.is_fixed_size_list(kind)
    )


def number_lost(column: Any) -> bool:
    """Whether a column has integers that float64 does not hold."""
    import pyarrow as pa
    from pyarrow import types

    if not types.is_integer(column.type) or column.type.bit_width <= 32:
        return False
    try:
        column.cast(pa.float64())
    except pa.ArrowInvalid:
        return True
    return False


def read_table(path: pathlib.Path, *, texts: Collection[str | None], name: str) -> Any:
    """Reads a file as an Arrow table.

    The delimiter of a CSV file is the comma, semicolon or tab that its header has most
    of. Beside semicolons, numbers may have decimal commas.

    Args:
      path: of a suffix among `TABLE_SUFFIXES`.
      texts: columns of a CSV file that stay text: "007" is no 7.
      name: what to call the file in an error.

    Raises:
      ValueError: a file that cannot be read or has no rows, or columns of one name.
      ImportError: pyarrow is not installed.
    """
    pa = import_arrow(name)
    try:
        check_readable(path)
        if path.suffix.lower() in CSV_SUFFIXES:
            table = _read_csv(path, texts)
        elif path.suffix.lower() in PARQUET_SUFFIXES:
            from pyarrow import parquet

            table = with_index(parquet.read_table(path))
        elif path.suffix.lower() in EXPORT_SUFFIXES:
            table = pa.table(export_columns(path, name=name))
        else:
            from pyarrow import feather

            table = with_index(feather.read_table(path))
    except (OSError, UnicodeDecodeError, pa.ArrowException, csv.Error) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise ValueError(f"{name}: cannot read {str(path)!r}: {reason[:200]}") from None
    if not table.num_rows:
        raise ValueError(f"{name}: {str(path)!r} has no rows")
    return table


def _read_csv(path: pathlib.Path, texts: Collection[str | None]) -> Any:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    header, delimiter = _header(path)
    _check_quotes(path, delimiter)
    # Whatever the columns are called, the names of the table are the header's.
    parse = arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    kept = {name: pa.string() for name in header if name in texts}

    def read(decimal_point: str) -> Any:
        convert = arrow_csv.ConvertOptions(
            column_types=kept, decimal_point=decimal_point, strings_can_be_null=False
        )
        return arrow_csv.read_csv(path, parse_options=parse, convert_options=convert)

    table = read(".")
    if delimiter != ";":
        return table
    other = read(",")
    return other if _numeric(other) > _numeric(table) else table


def _check_quotes(path: pathlib.Path, delimiter: str) -> None:
    """Raises `csv.Error` for a quote that never ends: it would swallow rows."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            for _ in rows:
                pass
        except csv.Error as error:
            # A long cell is none, but where a quote is missing at its end.
            if "field limit" in str(error) and _even_quotes(path):
                return
            raise csv.Error(f"line {rows.line_num}: {error}") from None


def _even_quotes(path: pathlib.Path) -> bool:
    with open(path, "rb") as file:
        return sum(line.count(b'"') for line in file) % 2 == 0


def _numeric(table: Any) -> int:
    from pyarrow import types

    return sum(
        types.is_floating(kind) or types.is_integer(kind) for kind in table.schema.types
    )


def _header(path: pathlib.Path) -> tuple[list[str], str]:
    """The names of a CSV file's columns, and its delimiter."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        line = file.readline()
        delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
        if delimiter == ",":
            delimiter = delimiter_of(line)
        file.seek(0)
        return next(csv.reader(file, delimiter=delimiter, strict=True), []), delimiter


def with_index(table: Any) -> Any:
    """A table in which pandas' index is the column `INDEX`, if it is no row numbers.

    As Arrow has it, an index with a name is a column like others, and one of numbers
    in a row, such as those of a slice, is a note alone.

    Args:
      table: of Arrow, maybe with pandas' notes.
    """
    import pyarrow as pa

    (found, *more) = (table.schema.pandas_metadata or {}).get("index_columns") or [None]
    if found is None or more:
        return table
    if isinstance(found, str):
        # Under its own name, too, by which it may be asked for.
        own = found in table.column_names and INDEX not in table.column_names
        return table.append_column(INDEX, table[found]) if own else table
    if (found.get("start"), found.get("step")) in ((0, 1), (None, None)):
        return table
    numbers = range(found["start"], found["stop"], found["step"])
    if len(numbers) != table.num_rows:
        return table
    return table.append_column(INDEX, pa.array(numbers, pa.int64()))


def as_table(frame: Any, *, name: str) -> Any:
    """A pandas, polars or other data frame as an Arrow table.

    The index of a pandas frame is a column where it is more than row numbers.

    Raises:
      ValueError: nothing that gives a table.
      ImportError: pyarrow is not installed.
    """
    pa = import_arrow(name)
    if isinstance(frame, pa.Table):
        return frame
    try:
        if type(frame).__module__.split(".")[0] == "pandas":
            return with_index(pa.Table.from_pandas(frame))
        return pa.table(frame)
    except (TypeError, ValueError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{name}: got {type(frame).__name__}, expected the path of a table or a "
            f"data frame: {reason}"
        ) from None
