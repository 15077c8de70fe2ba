"""What every greedy selection returns, and the checks they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from robustjax import arrays, checks
from robustjax.row_source import RowSource, check_source

Progress = Callable[[int, int], None]
"""Called with the number of picks made and to be made."""


class Selection(NamedTuple):
    """Examples in the order in which they were picked.

    Attributes:
      indices: (budget,) int32, distinct.
      gains: (budget,) float32, what each pick was worth when it was picked; the
        function that made the selection says in which unit.
      objective: the value that the whole selection reaches; see there too.
    """

    indices: np.ndarray
    gains: np.ndarray
    objective: float


def budget_from_fraction(fraction: float, examples: int) -> int:
    """The number of examples in a fraction of them, rounded.

    Args:
      fraction: in (0, 1].
      examples: N.

    Raises:
      ValueError: a fraction outside its range, or so small that nothing is left.
    """
    checks.in_range("fraction", fraction, 0, 1, low_open=True)
    budget = round(examples * fraction)
    if budget < 1:
        raise ValueError(
            f"fraction: got {fraction:g} of {examples} examples, which rounds to none"
        )
    return budget


def check_picks(picks: Any, examples: int) -> np.ndarray:
    """Returns picks as int32 after checking what holds for every selection.

    Whatever went wrong before, inputs that float32 cannot tell apart or hold among
    it: an example that is picked twice, or none, must not reach a table.

    Args:
      picks: (budget,) integers.
      examples: N.

    Raises:
      ValueError: an index outside 0 … N-1, or one that is there twice.
    """
    indices = np.asarray(picks)
    outside = np.flatnonzero((indices < 0) | (indices >= examples))
    if outside.size:
        raise ValueError(
            f"selection: got index {indices[outside[0]]} as pick {int(outside[0])}, "
            f"expected 0 … {examples - 1}; are all inputs finite and of usual size?"
        )
    values, counts = np.unique(indices, return_counts=True)
    if values.size < indices.size:
        worst = int(counts.argmax())
        raise ValueError(
            f"selection: index {values[worst]} was picked {counts[worst]} times of "
            f"{indices.size}, expected different ones; are all inputs finite and of "
            "usual size?"
        )
    return indices.astype(np.int32)


def selection(picks: Any, gains: Any, objective: float, examples: int) -> Selection:
    """The one way in which a `Selection` is made.

    Args:
      picks: (budget,) integers.
      gains: (budget,) numbers.
      objective: its value.
      examples: N.

    Raises:
      ValueError: see `check_picks`; a gain or an objective that is NaN.
    """
    indices, gains = check_picks(picks, examples), np.asarray(gains)
    wrong = np.flatnonzero(np.isnan(gains))
    if wrong.size or np.isnan(objective):
        what = f"gain of pick {int(wrong[0])}" if wrong.size else "objective"
        raise ValueError(
            f"selection: the {what} is NaN, expected a number; are all inputs finite "
            "and of usual size?"
        )
    return Selection(indices, gains, objective)


def check_rows(
    name: str, features: Any, *, nonzero: bool = False
) -> np.ndarray | RowSource:
    """As `check_features`, but rows of a file stay there."""
    if isinstance(features, RowSource):
        return check_source(name, features, nonzero=nonzero)
    return check_features(name, features, nonzero=nonzero)


def check_features(name: str, features: Any, *, nonzero: bool = False) -> np.ndarray:
    """Returns finite rows (of positive norm) as a NumPy array, see `arrays.numbers`.

    Raises:
      ValueError: another rank, something else than numbers, NaN or infinity, a zero
        row where there must not be any.
    """
    array = arrays.numbers(name, features, 2)
    checks.finite(name, array)
    if nonzero:
        empty = np.flatnonzero(~array.any(axis=1))
        if empty.size:
            raise ValueError(
                f"{name}: {empty.size} row(s) are zero (first: row {int(empty[0])}) "
                "and have no cosine similarity, expected non-zero rows"
            )
    return array


def check_budget(budget: int, available: int) -> None:
    """Raises `ValueError` unless 1 <= budget <= the number that can be picked."""
    checks.at_least("budget", budget, 1)
    if budget > available:
        raise ValueError(
            f"budget: got {budget}, expected at most the {available} examples that "
            "can be picked"
        )
