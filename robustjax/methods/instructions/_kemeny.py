"""The ranking that disagrees least with several: Kemeny's.

Kemeny, "Mathematics without Numbers", Daedalus 1959. It is the centre under Kendall's
distance that permutation self-consistency looks for (Tang, Zhang, Ma, Lin, Ture,
"Found in the Middle: Permutation Self-Consistency Improves Listwise Ranking in Large
Language Models", NAACL 2024).
"""

from __future__ import annotations

import functools
import itertools

import numpy as np

from robustjax import checks

# Beyond, the 2^n subsets take longer than a language model does to answer.
MOST_ITEMS = 14
# Up to so many items it is quicker to look at all orders.
_MOST_LISTED = 5
# Sums of weights in another order differ in their last bits.
_TOLERANCE = 1e-9


def kemeny_order(preferred: np.ndarray) -> tuple[int, ...]:
    """An order that the fewest preferences contradict, exactly.

    Up to five items all orders are looked at. More are ordered by dynamic programming
    over subsets: the cheapest order of a set begins with some item, which is paid for
    once against the rest. Of equally good orders the one
    is returned that is smallest as a list of positions: shuffle the items beforehand
    where their positions should not count.

    Args:
      preferred: (n, n) how often, or with what weight, row is preferred to column;
        finite and not negative; n at most `MOST_ITEMS`.

    Returns:
      All positions, best first.

    Raises:
      ValueError: another shape or another number.
    """
    preferred = np.asarray(preferred, float)
    checks.rank("preferred", preferred, 2)
    checks.finite("preferred", preferred)
    n = len(preferred)
    if preferred.shape != (n, n) or n > MOST_ITEMS or (preferred < 0).any():
        raise ValueError(
            f"preferred: got shape {preferred.shape} and least entry "
            f"{preferred.min(initial=0):g}, expected (n, n) with n <= {MOST_ITEMS} and "
            "no negative entry"
        )
    if n <= _MOST_LISTED:
        orders, above, below = _listed(n)
        costs = preferred[below, above].sum(1)
        return orders[int(np.argmax(costs <= costs.min() * (1 + _TOLERANCE)))]
    return _ordered_by_subsets(preferred)


@functools.cache
def _listed(n: int) -> tuple[list[tuple[int, ...]], np.ndarray, np.ndarray]:
    """All orders, ascending, and of each the items above and below of all pairs."""
    orders = list(itertools.permutations(range(n)))
    pairs = np.array(list(itertools.combinations(range(n), 2)), int).reshape(-1, 2).T
    above, below = (np.array(orders, int)[:, places] for places in pairs)
    return orders, above, below


def _ordered_by_subsets(preferred: np.ndarray) -> tuple[int, ...]:
    n = len(preferred)
    # against[item, members]: preferences of the members over the item.
    members = np.arange(1 << n)[:, None] >> np.arange(n) & 1
    against = preferred.T @ members.T - np.diag(preferred)[:, None] * members.T
    cost = np.zeros(1 << n)
    first = np.zeros(1 << n, int)
    # A subset's number is larger than its own subsets'; one size at a time.
    for size in range(1, n + 1):
        sets = np.flatnonzero(members.sum(1) == size)
        without = sets[:, None] & ~(1 << np.arange(n))
        total = against[:, sets].T + cost[without]
        total = np.where(members[sets] == 1, total, np.inf)
        best = total.min(1, keepdims=True)
        first[sets] = (total <= best * (1 + _TOLERANCE)).argmax(1)
        cost[sets] = best[:, 0]
    order = []
    rest = (1 << n) - 1
    while rest:
        order.append(int(first[rest]))
        rest &= ~(1 << order[-1])
    return tuple(order)
