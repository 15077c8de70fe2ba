"""Results by name, and the cells that are made of them."""

from __future__ import annotations

import csv
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

ROOT = pathlib.Path(__file__).parents[2]
RESULTS = ROOT / "experiments" / "results"

Table = list[list[str]]


class Files:
    """Reads results, and remembers which."""

    def __init__(self) -> None:
        self.read: set[str] = set()

    def rows(self, path: str) -> list[dict[str, str]]:
        self.read.add(path)
        with open(RESULTS / path, newline="") as file:
            return list(csv.DictReader(file))

    def row(self, path: str, **where: object) -> dict[str, str]:
        (found,) = self.where(path, **where)
        return found

    def where(self, path: str, **where: object) -> list[dict[str, str]]:
        return [
            row
            for row in self.rows(path)
            if all(row[key] == str(value) for key, value in where.items())
        ]

    def repeats(self, path: str, measure: str, **where: object) -> np.ndarray:
        """The values (R,) of one measure, in order of the repeats."""
        rows = self.where(path, measure=measure, **where)
        assert [int(row["repeat"]) for row in rows] == list(range(len(rows))), path
        return np.array([float(row["value"]) for row in rows])

    def ratio(self, name: str, case: str) -> float:
        """How many times as fast as the baseline."""
        record = self._benchmark(name)
        times = {c: np.asarray(t) for c, t in record["milliseconds"].items()}
        found = float(np.median(times[record["baseline"]] / times[case]))
        np.testing.assert_allclose(found, record["speed_against_baseline"][case])
        return found

    def milliseconds(self, name: str, case: str) -> float:
        """The median of one case."""
        return float(np.median(self._benchmark(name)["milliseconds"][case]))

    def baseline_milliseconds(self, name: str) -> float:
        """That of what the others are compared with."""
        return self.milliseconds(name, self._benchmark(name)["baseline"])

    def json(self, path: str) -> dict[str, Any]:
        """A record."""
        self.read.add(path)
        record: dict[str, Any] = json.loads((RESULTS / path).read_text())
        return record

    def _benchmark(self, name: str) -> dict[str, Any]:
        return self.json(f"benchmarks/{name}.json")


BUILDERS: dict[str, Callable[[Files], Table]] = {}


def builder(function: Callable[[Files], Table]) -> Callable[[Files], Table]:
    BUILDERS[function.__name__] = function
    return function


def number(row: Mapping[str, str], name: str, digits: int = 1) -> str:
    return f"{float(row[f'{name}_mean']):.{digits}f}"


def spread(row: Mapping[str, str], name: str) -> str:
    return f"{number(row, name)} ±{float(row[f'{name}_std']):.1f}"


def signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")


def paired(one: np.ndarray, other: np.ndarray) -> str:
    """The mean difference, ± its standard error over repeats."""
    difference = one - other
    error = difference.std(ddof=1) / len(difference) ** 0.5
    return f"{signed(difference.mean())} ±{error:.1f}"


def of_repeats(values: np.ndarray) -> str:
    return f"{values.mean():.1f} ±{values.std(ddof=1):.1f}"


def with_best(table: Table, columns: Mapping[int, slice | None]) -> Table:
    """Sets the largest number of a column (or of a part of it) in bold."""
    for column, part in columns.items():
        rows = [row for row in table[1:][part or slice(None)] if row[column]]
        values = [float(row[column].split(" ")[0].replace(",", "")) for row in rows]
        for row, value in zip(rows, values):
            if value == max(values):
                row[column] = f"**{row[column]}**"
    return table
