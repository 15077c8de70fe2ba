"""Measures, their means and deviations over repeats, and how people see them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Measure:
    """Something that is measured.

    Attributes:
      key: its name in records and files.
      title: for tables and plots.
      is_share: whether it is in [0, 1] and shown in percent.
      in_summary: whether `summary.csv` has it; `repeats.csv` has all.
      lowest_is_best: whether the smallest value is what a method is to reach.
    """

    key: str
    title: str
    is_share: bool = True
    in_summary: bool = True
    lowest_is_best: bool = False

    @property
    def scale(self) -> float:
        """What values are multiplied by for people."""
        return 100.0 if self.is_share else 1.0


def deviation(values: np.ndarray) -> np.ndarray:
    """The sample standard deviation (n - 1 in the denominator) over repeats.

    Args:
      values: (R, ...); NaN where a repeat was not measured, which leaves it out.

    Returns:
      (...) float64; NaN, and not 0, where fewer than two repeats were measured: one
      repeat says nothing of how far others lie. Plots then have no band, files an
      empty cell.
    """
    values = np.asarray(values, np.float64)
    there = np.isfinite(values)
    count = there.sum(axis=0)
    square = np.where(there, (values - mean(values)) ** 2, 0).sum(axis=0)
    return np.where(count > 1, np.sqrt(square / np.maximum(count - 1, 1)), np.nan)


def mean(values: np.ndarray) -> np.ndarray:
    """The mean over repeats (R, ...) that were measured; NaN where none was."""
    values = np.asarray(values, np.float64)
    there = np.isfinite(values)
    count = there.sum(axis=0)
    total = np.where(there, values, 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def in_cell(values: np.ndarray, measure: Measure) -> str:
    """Mean and `deviation` of repeats (R,) for people; "-" where there are none.

    Where only some of them were measured, it says how many.
    """
    count = np.size(values)
    values = measure.scale * np.asarray(values)[np.isfinite(values)]
    if not values.size:
        return "-"
    form = ".1f" if measure.is_share else ".3g"
    text = format(float(values.mean()), form)
    if values.size > 1:
        form = ".1f" if measure.is_share else ".2g"
        text += f" ±{format(float(deviation(values)), form)}"
    return text if values.size == count else f"{text} ({values.size} of {count})"


def in_words(differences: np.ndarray) -> str:
    """The mean of paired differences (R,), and its standard error if there is one."""
    error = float(deviation(differences)) / len(differences) ** 0.5
    text = f"{float(np.mean(differences)):+.1f}"
    return f"{text} ±{error:.1f}" if np.isfinite(error) else text


def shown(values: Sequence[Any], most: int = 9) -> list[Any]:
    """At most `most` of some columns, the first and the last included."""
    if len(values) <= most:
        return list(values)
    last = len(values) - 1
    return [
        values[i] for i in sorted({round(j * last / (most - 1)) for j in range(most)})
    ]
