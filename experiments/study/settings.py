"""The rows of a summary, joined from what cells have recorded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.study.records import RESULT
from robustjax.training import Record


class Setting(NamedTuple):
    """All repeats of one row of the summary.

    Attributes:
      columns: what tells the row from others, such as {"method": "ce", "labels": 50}.
      values: measure -> (R,) as recorded; NaN where it is undefined.
      repeats: (R,) their numbers, ascending.
      constants: further columns; text with both ends where repeats differ in one.
    """

    columns: Mapping[str, Any]
    values: Mapping[str, np.ndarray]
    repeats: tuple[int, ...]
    constants: Mapping[str, Any]


class Curve(NamedTuple):
    """A measure over the epochs of a method.

    Attributes:
      epochs: (E,) counted from 1.
      values: (R, E); NaN where it was not measured.
    """

    epochs: np.ndarray
    values: np.ndarray


def join_results(cells: Mapping[str, Sequence[Record]]) -> Iterator[Setting]:
    """Settings from results, of which each may hold some of the repeats."""
    parts: dict[str, list[Record]] = {}
    for records in cells.values():
        for record in records:
            if record["event"] == RESULT:
                key = repr(list(record["columns"].items()))
                parts.setdefault(key, []).append(record)
    for records in parts.values():
        repeats = [r for record in records for r in record["repeats"]]
        if len(set(repeats)) < len(repeats):
            raise ValueError(f"results: {records[0]['columns']} has a repeat twice")
        order = np.argsort(repeats, kind="stable")
        keys = dict.fromkeys(key for record in records for key in record["values"])
        values = {}
        for key in keys:
            each = [
                value
                for record in records
                for value in record["values"].get(key, [None] * len(record["repeats"]))
            ]
            found = [math.nan if value is None else value for value in each]
            values[key] = np.array(found, np.float64)[order]
        yield Setting(
            records[0]["columns"],
            values,
            tuple(sorted(repeats)),
            _constants([record["constants"] for record in records]),
        )


def _constants(each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all repeats agree in; both ends of what they do not."""
    found = {}
    for name in dict.fromkeys(name for one in each for name in one):
        values = [one.get(name) for one in each]
        if all(str(value) == str(values[0]) for value in values):
            found[name] = values[0]
        else:
            known = [value for value in values if value is not None]
            low, high = min(known), max(known)
            found[name] = f"{low} … {high}" if low != high else low
    return found
