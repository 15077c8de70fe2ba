"""Plain variants of what `robustjax.selection` takes within a budget of cost."""

from __future__ import annotations

import numpy as np

from robustjax import selection

from .variants import Row

_RNG = np.random.default_rng(5)
_SCORES = _RNG.integers(-64, 64, 12) / 16.0
# Powers of two: a score per cost is exact.
_COSTS = 2.0 ** _RNG.integers(0, 5, 12)
_BUDGET = 40.0


def _walk(
    scores: np.ndarray, costs: np.ndarray, available: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    worth = np.where(scores >= 0, scores / costs, scores * costs)
    left, picks = _BUDGET, []
    for row in np.argsort(-worth, kind="stable"):
        if available[row] and costs[row] <= left:
            picks.append(row)
            left -= costs[row]
    filled = np.array(picks + [-1] * (12 - len(picks)))
    return filled, filled >= 0


ROWS = {
    "top_within_budget": Row(
        lambda scores, costs, available: selection.top_within_budget(
            scores, costs, available, _BUDGET, count=12
        ),
        _walk,
        {"scores": _SCORES},
        {"costs": _COSTS, "available": np.arange(12) % 3 != 1},
        must_refuse=("nan", "inf", "empty", "one_row"),
        names=("count",),
    ),
    "most_within_budget": Row(
        lambda costs: selection.most_within_budget(costs, _BUDGET),
        lambda costs: np.array(np.sum(np.cumsum(np.sort(costs)) <= _BUDGET)),
        {"costs": _COSTS},
        must_refuse=("nan", "inf", "empty", "up", "offset"),
    ),
}
