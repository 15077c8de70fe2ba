"""What every greedy selection returns, and the checks they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from robustjax import checks

# Called with the number of picks made and to be made.
Progress = Callable[[int, int], None]


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


def check_features(name: str, features: Any, *, nonzero: bool = False) -> None:
    """Raises `ValueError` unless `features` are finite rows (of positive norm)."""
    checks.rank(name, features, 2)
    checks.finite(name, features)
    if nonzero:
        empty = np.flatnonzero(~np.asarray(features).any(axis=1))
        if empty.size:
            raise ValueError(
                f"{name}: {empty.size} row(s) are zero (first: row {int(empty[0])}) "
                "and have no cosine similarity, expected non-zero rows"
            )


def check_budget(budget: int, available: int) -> None:
    """Raises `ValueError` unless 1 <= budget <= the number that can be picked."""
    checks.at_least("budget", budget, 1)
    if budget > available:
        raise ValueError(
            f"budget: got {budget}, expected at most the {available} examples that "
            "can be picked"
        )
