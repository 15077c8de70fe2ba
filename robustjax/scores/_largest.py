"""The largest values of an array, the first of equal ones."""

from __future__ import annotations

import numpy as np


def largest(values: np.ndarray, count: int) -> np.ndarray:
    """A mask of the `count` largest values; among equal ones, the first."""
    if count <= 0:
        return np.zeros(len(values), bool)
    if count >= len(values):
        return np.ones(len(values), bool)
    last = np.partition(values, len(values) - count)[len(values) - count]
    chosen = values > last
    level = np.flatnonzero(values == last)
    chosen[level[: count - np.count_nonzero(chosen)]] = True
    return chosen


class Largest:
    """The rows of the largest of many values that come by and by, in order of rows."""

    def __init__(self, count: int):
        """Of at most `count` >= 1 values, the first of equal ones."""
        self._count = count
        self._values: list[np.ndarray] = []
        self._rows: list[np.ndarray] = []
        self._held = 0
        self._floor = -np.inf

    def add(self, values: np.ndarray, rows: np.ndarray) -> None:
        """Looks at the values of rows behind all those that came before."""
        # As large as the last of those kept is not enough: it came first.
        able = values > self._floor
        self._values.append(values[able])
        self._rows.append(rows[able])
        self._held += len(self._rows[-1])
        if self._held > 2 * self._count + 2**12:
            self._settle()

    def kept(self) -> tuple[np.ndarray, np.ndarray]:
        """The largest values, and their rows in order."""
        self._settle()
        return self._values[0], self._rows[0]

    def _settle(self) -> None:
        values = np.concatenate([np.zeros(0), *self._values])
        rows = np.concatenate([np.zeros(0, np.int64), *self._rows])
        kept = largest(values, self._count)
        self._values, self._rows = [values[kept]], [rows[kept]]
        self._held = len(self._rows[0])
        if self._held == self._count:
            self._floor = float(self._values[0].min())
