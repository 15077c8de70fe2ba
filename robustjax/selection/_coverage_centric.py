"""Coverage-centric selection: hard and easy alike, but not the hardest.

Zheng, Liu, Lai, Prakash, "Coverage-centric Coreset Selection for High Pruning Rates"
(ICLR 2023), CCS.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from robustjax import arrays, checks
from robustjax.selection._class_turns import even_turns
from robustjax.selection._greedy import check_budget, check_picks


def stratum_budgets(sizes: np.ndarray, budget: int) -> np.ndarray:
    """Shares a budget equally among strata; what small ones lack goes to others.

    From the smallest stratum to the largest (equal ones in order), each gives its
    share of what is left, rounded down, or all it has (Algorithm 1 of the paper).

    Args:
      sizes: (K,) examples per stratum.
      budget: at most their sum.

    Returns:
      (K,) int64 with sum `budget`, at most `sizes`.
    """
    budgets = np.zeros(len(sizes), np.int64)
    left = budget
    for done, stratum in enumerate(np.argsort(sizes, kind="stable")):
        budgets[stratum] = min(int(sizes[stratum]), left // (len(sizes) - done))
        left -= int(budgets[stratum])
    return budgets


def coverage_centric(
    hardness: Any,
    budget: int,
    key: jax.Array,
    *,
    strata: int = 50,
    hard_cutoff: float = 0.1,
) -> np.ndarray:
    """Stratified sampling over the range of a score, without the hardest examples.

    First the hardest `floor(hard_cutoff N)` examples are dropped: they are outliers
    and wrong labels, so under label noise the cutoff should be about the noise rate.
    The range of the remaining scores is divided into strata of equal width, the
    budget is shared among these (`stratum_budgets`), and examples are drawn from each
    at random. The paper takes 50 strata, tunes the cutoff (beta) for every data set
    and pruning rate, and scores by the area under the margin; its code's example has
    a cutoff of 0.3 for a tenth of CIFAR-10.

    Args:
      hardness: (N,) finite numbers, high for hard examples: `scores.el2n`, forgetting
        events, or minus the recorded margin.
      budget: 1 … N - floor(hard_cutoff N).
      key: of the draws, and of ties at the cutoff.
      strata: k >= 1.
      hard_cutoff: beta in [0, 1).

    Returns:
      (budget,) int32 distinct indices: one of every stratum after the other.

    Raises:
      ValueError: scores that are not finite, or a number out of range; in particular
        a cutoff that leaves fewer examples than wanted.
    """
    values = arrays.numbers("hardness", hardness, 1).astype(np.float64)
    checks.finite("hardness", values)
    checks.at_least("strata", strata, 1)
    checks.in_range("hard_cutoff", hard_cutoff, 0, 1, high_open=True)
    check_budget(budget, len(values))
    # 0.29 of 100 is 28.999… in floats.
    kept = len(values) - int(hard_cutoff * len(values) + 1e-9)
    if budget > kept:
        raise ValueError(
            f"hard_cutoff: got {hard_cutoff:g}, which leaves {kept} of {len(values)} "
            f"examples, expected at least the budget, {budget}"
        )
    draws = np.asarray(jax.random.permutation(key, len(values)))
    rows = np.lexsort((draws, values))[:kept]
    low, high = values[rows[0]], values[rows[-1]]
    width = (high - low) / strata
    place = (values[rows] - low) / width if width > 0 else np.zeros(kept)
    # The largest score belongs to the last stratum.
    stratum = np.minimum(place.astype(np.int64), strata - 1)
    budgets = stratum_budgets(np.bincount(stratum, minlength=strata), budget)
    drawn = rows[np.lexsort((draws[rows], stratum))]
    classes = np.sort(stratum)
    starts = np.searchsorted(classes, np.arange(strata))
    # Round after round, as many rounds from a stratum as it has picks.
    turns = even_turns(budgets, budget)
    order = np.argsort(turns, kind="stable")
    within = np.arange(budget) - np.repeat(np.cumsum(budgets) - budgets, budgets)
    picks = np.empty(budget, np.int32)
    picks[order] = drawn[starts[turns[order]] + within]
    return check_picks(picks, len(values))
