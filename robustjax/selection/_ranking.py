"""Keeping the examples with the largest scores, of all together or class by class."""

from __future__ import annotations

import numpy as np

from robustjax import arrays, checks
from robustjax.selection._greedy import check_budget, check_picks

BALANCES = ("none", "even", "proportional")


def rank_by_class(
    scores: np.ndarray,
    budget: int,
    *,
    labels: np.ndarray | None = None,
    balance: str = "none",
    ties: np.ndarray | None = None,
) -> np.ndarray:
    """The examples with the largest scores, in order of selection.

    Three ways to share the budget among the given classes:
      * "none": not at all, the largest scores of all are kept;
      * "even": one example per class and round. A class without examples left is
        passed over, so that what it cannot give is shared equally by the others;
        counts of classes with examples left differ by one at most;
      * "proportional": every class keeps its share. Class c gives `round(t n_c)` with
        one t for all, chosen so that the budget is met (the method of Webster and
        Sainte-Lague); t is the fraction up to rounding.

    In each, the selection at a smaller budget is the beginning of that at a larger
    one.

    Args:
      scores: (N,) numbers without NaN.
      budget: 1 … N.
      labels: (N,) int32 from 0; of no influence on "none".
      balance: one of `BALANCES`.
      ties: (N,) distinct numbers, smaller ones go first among equal scores; by
        default the index.

    Returns:
      (budget,) int32 distinct indices.

    Raises:
      ValueError: an unknown balance, or one that needs labels without them; NaN,
        lengths that differ, or a budget out of range.
    """
    checks.one_of("balance", balance, BALANCES)
    values = arrays.numbers("scores", scores, 1).astype(np.float64)
    missing = np.flatnonzero(np.isnan(values))
    if missing.size:
        raise ValueError(
            f"scores: {missing.size} are NaN (first: row {missing[0]}), expected none"
        )
    check_budget(budget, len(values))
    ties = np.arange(len(values)) if ties is None else arrays.numbers("ties", ties, 1)
    checks.same_length(scores=values, ties=ties)
    if balance == "none":
        picks = np.lexsort((ties, -values))[:budget]
        return check_picks(picks, len(values))
    if labels is None:
        raise ValueError(f"labels: got None, expected labels for balance={balance!r}")
    labels = checks.labels("labels", labels)
    checks.same_length(scores=values, labels=labels)
    by_class = np.lexsort((ties, -values, labels))
    classes = labels[by_class]
    sizes = np.bincount(labels)
    place = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    turn = place if balance == "even" else (place + 0.5) / sizes[classes]
    picks = by_class[np.lexsort((classes, turn))][:budget]
    return check_picks(picks, len(values))


def middle_scores(
    values: np.ndarray,
    *,
    labels: np.ndarray | None = None,
    ties: np.ndarray | None = None,
) -> np.ndarray:
    """How close to the middle of the sorted values each one stands; 0 is the middle.

    Args:
      values: (N,) numbers without NaN.
      labels: (N,) int32 from 0, to sort within every class; by default all together.
      ties: as for `rank_by_class`.

    Returns:
      (N,) int64, at most 0: minus twice the distance in places, where of n values
      the middle is at place `(n - 1) / 2`.
    """
    group = np.zeros(len(values), np.int32) if labels is None else labels
    ties = np.arange(len(values)) if ties is None else ties
    order = np.lexsort((ties, values, group))
    sizes = np.bincount(group)
    place = np.arange(len(values)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    scores = np.empty(len(values), np.int64)
    scores[order] = -np.abs(2 * place - (np.repeat(sizes, sizes) - 1))
    return scores
