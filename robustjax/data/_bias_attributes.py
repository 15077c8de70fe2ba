"""Bias attributes of one's own data, in a CSV file by id."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from robustjax import checks
from robustjax.data._biased import BiasedDataset, make_biased
from robustjax.data._dataset import Dataset, join
from robustjax.data._label_files import need_columns, parse_labels, read_csv


def read_bias(
    path: str | pathlib.Path,
    dataset: Dataset,
    column: str = "bias",
    *,
    bias_names: Sequence[str] | None = None,
    name: str = "path",
) -> BiasedDataset:
    """Joins a column of attributes to a data set by id.

    Args:
      path: a CSV file with the columns `id` and `column`, one row for every example, in
        any order.
      dataset: whose ids are meant.
      column: the attribute: a name of `bias_names`, or its place among them from 0.
      bias_names: C names, the k-th of the value that goes with class k; by default
        the classes' own.
      name: what to call the file in an error.

    Raises:
      ValueError: a file that cannot be read or lacks a column, unknown, repeated or
        missing ids, blank cells, values that are none of the names, or another number
        of names than classes.
    """
    rows = read_csv(path, name=name)
    need_columns(rows, ("id", column), path=path, name=name)
    blank = [row["id"] for row in rows if not row[column].strip()]
    if blank:
        raise ValueError(
            f"{name}[{column}]: {len(blank)} cell(s) are blank (first: id "
            f"{blank[0]!r}), expected an attribute for every example"
        )
    names = dataset.class_names if bias_names is None else bias_names
    values = parse_labels(
        [row[column] for row in rows], names, name=f"{name}[{column}]"
    )
    ids = [row["id"] for row in rows]
    with checks.errors_name(ids=f"{name}[id]"):
        bias = join(dataset, ids, values, name=f"{name}[{column}]")
    return make_biased(dataset, bias, bias_names=bias_names)
