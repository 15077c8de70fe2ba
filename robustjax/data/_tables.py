"""Tables of numbers with labels: a row is an example."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from robustjax.data._dataset import Dataset, make_dataset
from robustjax.data._names import plain_name
from robustjax.data._table_columns import (
    ID,
    LABEL,
    SPLIT,
    id_column_of,
    ids_of_rows,
    label_column_of,
    listed,
    named_column,
    open_table,
    rows_of_split,
    table_columns,
)
from robustjax.data._table_files import INDEX, is_list, number_lost
from robustjax.data._table_labels import class_names_of, label_texts, unlabeled
from robustjax.files import original_cell

_log = logging.getLogger(__name__)

# What spreadsheets and pandas call a column that has no name.
_UNNAMED = re.compile(r"\s*|Unnamed: \d+")
# Fewer rows may count by chance.
_COUNTED_ROWS = 10


def load_table(
    source: Any,
    split: str | None = None,
    *,
    label_column: str | None = None,
    id_column: str | None = None,
    feature_columns: Sequence[str] | None = None,
    text_column: str | None = None,
    skip_unlabeled: bool = False,
    report: Callable[[str], None] | None = None,
) -> Dataset:
    """Loads a table whose rows are examples, with labels of any kind.

    Args:
      source: the path of a `.csv`, `.tsv`, `.parquet` (`.pq`) or `.feather`
        (`.arrow`) file, or a data frame (pandas, polars, Arrow); or an export of CVAT
        (`.xml`) or Label Studio (`.json`), whose choices are the column "label".
      split: rows whose column "split" has this value, where there is such a column.
        Without one the whole table is "train" (or whatever is asked for but "test").
      label_column: by default "label". Labels may be text, integers or truths.
      id_column: by default "id", a data frame's index, or else the row's number.
      feature_columns: the inputs, in this order: numbers, truths, or lists of numbers
        (embeddings), which become a number each. By default all other columns.
      text_column: is for people, and no input; see `read_texts`.
      skip_unlabeled: leave out rows without a label (see `unlabeled_ids`), which are an
        error otherwise.
      report: called with a sentence about columns that are left out by themselves; by
        default a warning in the log. These are columns without a name, and integers
        that just count the rows.

    Returns:
      A `Dataset` with inputs (N, D), in float32 if that holds them exactly, else
      float64. Classes are the labels that occur (in all splits), in their order as
      integers if all are, else as text; so labels that count from 1 are fine.

    Raises:
      ValueError: a file that cannot be read, a missing or unknown column, a heading
        such as "ID" for "id" that would be an input, labels or inputs that are missing
        or not what they must be, ids that occur twice.
      ImportError: pyarrow is not installed (extra `tools`).

    Example:
      >>> from robustjax import data
      >>> import pyarrow
      >>> rows = {"label": ["owl", "cat"], "id": ["a", "b"], "size": [3.5, 1]}
      >>> owls = data.load_table(pyarrow.table(rows))
      >>> owls.class_names, owls.labels.tolist(), owls.inputs.tolist()
      (('cat', 'owl'), [1, 0], [[3.5], [1.0]])
    """
    texts = (label_column or LABEL, id_column or ID, SPLIT, text_column)
    table, name, neutralised = open_table(source, texts)
    columns = table_columns(table, name)
    named_column("text_column", text_column, "", columns)
    label = label_column_of(label_column, columns, name)
    identity = id_column_of(id_column, columns)
    taken = {label, identity, text_column, SPLIT if SPLIT in columns else None}
    if feature_columns is None:
        _check_headings(columns, taken, identity, name)
    features = _features(columns, feature_columns, taken, name, report)
    found = labeled_rows(
        columns,
        label,
        neutralised,
        split=split,
        count=table.num_rows,
        name=name,
        skip_unlabeled=skip_unlabeled,
    )
    ids = ids_of_rows(columns, identity, neutralised, found.rows)
    inputs = _inputs({key: columns[key] for key in features})[found.rows]
    return found.with_inputs(inputs, ids)


class LabeledRows(NamedTuple):
    """The rows of a split, and their labels.

    Attributes:
      rows: (M,) their numbers.
      labels: (M,) int32.
      class_names: of the labels of all splits.
      name: for reports.
    """

    rows: np.ndarray
    labels: np.ndarray
    class_names: list[str]
    name: str

    def with_inputs(self, inputs: np.ndarray, ids: np.ndarray) -> Dataset:
        """The data set of inputs (M, ...) and ids (M,)."""
        return make_dataset(
            inputs,
            self.labels,
            ids=ids,
            class_names=self.class_names,
            name=self.name,
        )


def labeled_rows(
    columns: dict[str, Any],
    label: str,
    neutralised: bool,
    *,
    split: str | None,
    count: int,
    name: str,
    skip_unlabeled: bool,
) -> LabeledRows:
    """The labels of a split's rows.

    Args:
      columns: of the table.
      label: the column of labels.
      neutralised: whether cells were made safe for spreadsheets.
      split: see `load_table`.
      count: rows of the table.
      name: of the table.
      skip_unlabeled: see `load_table`.

    Raises:
      ValueError: an unknown split, or a missing label.
    """
    labeled = ~unlabeled(columns[label]) if skip_unlabeled else None
    texts = label_texts(columns[label], label, neutralised, labeled)
    if split is not None:
        _check_split(columns, name)
    rows = rows_of_split(columns.get(SPLIT), split, count, name)
    if labeled is not None:
        rows = rows[labeled[rows]]
    names = class_names_of(list(texts.values()))
    place = {text: number for number, text in enumerate(names)}
    return LabeledRows(
        rows,
        np.array([place[texts[row]] for row in rows.tolist()], np.int32),
        names,
        name if split is None else f"{name}[{split}]",
    )


def read_texts(
    source: Any,
    column: str,
    split: str | None = None,
    *,
    labeled_by: str | None = None,
) -> list[str]:
    """Reads what a table has for people to read, in the order of `load_table`.

    Args:
      source: see `load_table`.
      column: of the texts; numbers are written out, and nothing is "".
      split: see `load_table`.
      labeled_by: a column of labels: rows without one are left out.

    Raises:
      ValueError: a file that cannot be read, or an unknown column.
      ImportError: pyarrow is not installed (extra `tools`).
    """
    table, name, neutralised = open_table(source, (column, SPLIT, labeled_by))
    columns = table_columns(table, name)
    named_column("column", column, "", columns)
    named_column("labeled_by", labeled_by, "", columns)
    rows = rows_of_split(columns.get(SPLIT), split, table.num_rows, name)
    if labeled_by is not None:
        rows = rows[~unlabeled(columns[labeled_by])[rows]]
    cells = columns[column].to_pylist()
    found = ["" if cells[row] is None else str(cells[row]) for row in rows.tolist()]
    return [original_cell(text) for text in found] if neutralised else found


def unlabeled_ids(
    source: Any,
    split: str | None = None,
    *,
    label_column: str | None = None,
    id_column: str | None = None,
    image_column: str | None = None,
) -> np.ndarray:
    """The ids of a table's rows without a label: nothing, NaN or blanks.

    Args:
      source: see `load_table`.
      split: likewise.
      label_column: likewise.
      id_column: likewise.
      image_column: see `load_picture_table`, if that loads it.

    Returns:
      (M,) ids, as `load_table` (or that) gives them.

    Raises:
      ValueError: a file that cannot be read, or an unknown column.
      ImportError: pyarrow is not installed (extra `tools`).
    """
    texts = (label_column or LABEL, id_column or ID, SPLIT, image_column)
    table, name, neutralised = open_table(source, texts)
    columns = table_columns(table, name)
    label = label_column_of(label_column, columns, name)
    rows = rows_of_split(columns.get(SPLIT), split, table.num_rows, name)
    rows = rows[unlabeled(columns[label])[rows]]
    identity = id_column_of(id_column, columns, fallback=image_column)
    return ids_of_rows(columns, identity, neutralised, rows)


def _check_split(columns: Collection[str], name: str) -> None:
    """Raises where splits have another heading: all rows would be of any of them."""
    for key in columns:
        if SPLIT not in columns and plain_name(key).casefold() == SPLIT:
            raise ValueError(
                f"split: {name!r} has a column {key!r}, expected {SPLIT!r} as it is "
                "written here"
            )


def _check_headings(
    columns: Collection[str], taken: set[str | None], identity: str | None, name: str
) -> None:
    """Raises where ids or splits, by their headings, would not be read as such."""
    free = [ID] if identity in (None, INDEX) else []
    free += [SPLIT] if SPLIT not in columns else []
    for key in columns:
        usual = plain_name(key).casefold()
        if usual in free and key != usual and key not in taken:
            advice = f" or id_column={key!r}" if usual == ID else ""
            raise ValueError(
                f"source: {name!r} has a column {key!r}, which is not read as "
                f"{usual!r}; expected another name, {usual!r} as it is written "
                f"here{advice}, or feature_columns"
            )


def _features(
    columns: dict[str, Any],
    given: Sequence[str] | None,
    taken: set[str | None],
    name: str,
    report: Callable[[str], None] | None,
) -> list[str]:
    """The columns that are inputs."""
    if given is not None:
        unknown = [key for key in given if key not in columns]
        if unknown or not given:
            got = repr(unknown[0]) if unknown else "none"
            raise ValueError(
                f"feature_columns: got {got}, expected any of {listed(columns)}"
            )
        return list(given)
    found: list[str] = []
    left_out: list[str] = []
    for key, column in columns.items():
        # An index names rows, under its own name, too.
        if key in taken or (INDEX in columns and column.equals(columns[INDEX])):
            continue
        if _UNNAMED.fullmatch(key) or _counts_rows(column):
            left_out.append(key)
        else:
            found.append(key)
    if not found:
        raise ValueError(
            f"feature_columns: {name!r} has none beside its labels and ids; its "
            f"columns are {listed(columns)}"
        )
    if left_out:
        (report or _log.warning)(
            f"table {name!r}: left out {listed(left_out)}, which has no name or just "
            "counts the rows"
        )
    return found


def _counts_rows(column: Any) -> bool:
    import pyarrow as pa

    if not pa.types.is_integer(column.type) or len(column) < _COUNTED_ROWS:
        return False
    if column.null_count:
        return False
    values = column.to_numpy(zero_copy_only=False).astype(np.int64)
    return bool((values - np.arange(len(values)) == values[0]).all()) and values[0] in (
        0,
        1,
    )


def _inputs(columns: dict[str, Any]) -> np.ndarray:
    """(N, D) numbers of the given columns."""
    parts = [_numbers(key, column) for key, column in columns.items()]
    inputs = np.concatenate(parts, axis=1)
    small = inputs.astype(np.float32)
    with np.errstate(invalid="ignore"):
        exact = np.array_equal(small.astype(np.float64), inputs, equal_nan=True)
    return small if exact else inputs


def _numbers(name: str, column: Any) -> np.ndarray:
    """A column as (N, d) float64."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise ValueError(
            f"feature_columns: row {row} (from 0) has nothing in {name!r}, expected a "
            "number; fill or drop what is missing"
        )
    if is_list(kind):
        flat = column.flatten()
        width, rest = divmod(len(flat), len(column))
        lengths = (
            set(column.value_lengths().to_pylist())
            if hasattr(column, "value_lengths")
            else {width}
        )
        if rest or len(lengths) > 1 or not width:
            raise ValueError(
                f"feature_columns: the lists of {name!r} have {min(lengths)} to "
                f"{max(lengths)} numbers, expected the same number in all"
            )
        return _numbers(name, flat).reshape(len(column), -1)
    if types.is_boolean(kind):
        column, kind = column.cast(pa.uint8()), pa.uint8()
    if not (
        types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    ):
        raise ValueError(
            f"feature_columns: {name!r} holds {kind}, expected numbers; name "
            "the inputs by feature_columns"
        )
    if number_lost(column):
        raise ValueError(
            f"feature_columns: {name!r} holds integers beyond 2^53, which float64 does "
            "not tell apart; is it a column of ids?"
        )
    values = np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False))
    return values[:, None]
