"""Assigning points to centres that take a limited number each, at the lowest cost.

The problem is a min-cost flow: a point sends one unit to one of its candidate centres,
and a centre takes no more than its capacity. A greedy start is made feasible, then
improved along paths and cycles of centres in which each hands a point on to the next
(negative cycles of the residual graph, found by Bellman and Ford's labels); where there
is none left, the assignment is optimal among the candidates (Klein, 1967).
"""

from __future__ import annotations

import numpy as np

# Labels that differ by less, relative to the largest cost, are taken for equal: sums
# of rounded numbers would otherwise go round in circles.
_EQUAL = 1e-12


def greedy_assignment(
    candidates: np.ndarray, costs: np.ndarray, capacity: int, centres: int
) -> np.ndarray:
    """Points to their cheapest centre that has room, those with most to lose first.

    Each round every point left asks the cheapest of its candidates with room; a
    centre takes, as far as it has room, those whose second choice is dearest.

    Args:
      candidates: (N, m) distinct centres of each point.
      costs: (N, m) of them.
      capacity: points that a centre takes.
      centres: k.

    Returns:
      (N,) int64 centres; -1 for a point whose candidates are all full.
    """
    size = len(candidates)
    assigned = np.full(size, -1)
    room = np.full(centres, capacity)
    left = np.arange(size)
    while left.size:
        open_costs = np.where(room[candidates[left]] > 0, costs[left], np.inf)
        best = open_costs.argmin(axis=1)
        row = np.arange(left.size)
        lowest = open_costs[row, best]
        open_costs[row, best] = np.inf
        regret = open_costs.min(axis=1) - np.where(np.isinf(lowest), 0, lowest)
        able = np.flatnonzero(np.isfinite(lowest))
        if not able.size:
            break
        wanted = candidates[left, best][able]
        order = np.lexsort((-regret[able], wanted))
        ranked = wanted[order]
        first = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
        place = np.arange(ranked.size) - np.repeat(
            first, np.diff(np.r_[first, ranked.size])
        )
        taken = order[place < room[ranked]]
        assigned[left[able[taken]]] = wanted[taken]
        room -= np.bincount(wanted[taken], minlength=centres)
        left = left[able[np.isin(np.arange(able.size), taken, invert=True)]]
    return assigned


def exchange(
    candidates: np.ndarray,
    costs: np.ndarray,
    assigned: np.ndarray,
    capacity: int,
    centres: int,
    *,
    rounds: int | None = None,
) -> np.ndarray:
    """Lowers the cost of an assignment until no exchange of points does.

    Args:
      candidates: (N, m) distinct centres of each point, its own among them.
      costs: (N, m) finite costs.
      assigned: (N,) centres, none above its capacity.
      capacity: points that a centre takes.
      centres: k.
      rounds: of labels that are spread in search of an exchange; one that gains at
        each step is found in one. By default as many as it takes: the result is
        optimal.

    Returns:
      (N,) centres, none above its capacity, whose cost is not above the one before.
    """
    assigned = assigned.copy()
    column = (candidates == assigned[:, None]).argmax(axis=1)
    rows, cheapest = np.arange(len(costs)), costs.min(axis=1)
    tolerance = _EQUAL * max(float(np.abs(costs).max()), np.finfo(float).tiny)
    spread = 4 if rounds is None else rounds
    sizes = np.bincount(assigned, minlength=centres)
    while True:
        own = costs[rows, column]
        labels = _Labels(candidates, costs, assigned, own, cheapest, centres, tolerance)
        converged = labels.spread(spread)
        moved = 0
        for chain in labels.chains(sizes < capacity):
            for point, target in chain:
                sizes[assigned[point]] -= 1
                sizes[target] += 1
                assigned[point] = target
                column[point] = np.flatnonzero(candidates[point] == target)[0]
            moved += len(chain)
        if moved:
            continue
        if converged or rounds is not None:
            return assigned
        spread *= 2


class _Labels:
    """The cheapest way to bring a point to each centre, by handing points on."""

    def __init__(
        self,
        candidates: np.ndarray,
        costs: np.ndarray,
        assigned: np.ndarray,
        own: np.ndarray,
        cheapest: np.ndarray,
        centres: int,
        tolerance: float,
    ) -> None:
        self._candidates, self._costs = candidates, costs
        self._assigned, self._tolerance = assigned, tolerance
        self._own, self._cheapest = own, cheapest
        self._label = np.zeros(centres)
        self._before = np.full(centres, -1)
        self._point = np.full(centres, -1)

    def spread(self, rounds: int) -> bool:
        """Improves labels; returns whether they came to rest within the rounds."""
        front = np.ones(len(self._label), bool)
        for _ in range(rounds):
            base = self._label[self._assigned] - self._own
            # No label is above zero: others have nothing to offer.
            useful = base + self._cheapest < -self._tolerance
            points = np.flatnonzero(useful & front[self._assigned])
            base = base[points]
            offered = self._costs[points] + base[:, None]
            targets = self._candidates[points]
            row, col = np.nonzero(offered < self._label[targets] - self._tolerance)
            front[:] = False
            if not row.size:
                return True
            value, target = offered[row, col], targets[row, col]
            order = np.lexsort((value, target))
            first = order[np.r_[True, np.diff(target[order]) > 0]]
            reached = target[first]
            self._label[reached] = value[first]
            self._point[reached] = points[row[first]]
            self._before[reached] = self._assigned[points[row[first]]]
            front[reached] = True
            if self._round_trips().size:
                return False
        return False

    def chains(self, has_room: np.ndarray) -> list[list[tuple[int, int]]]:
        """Exchanges (point, its new centre) that touch no centre twice, best first."""
        on_cycle = self._round_trips()
        ends = np.flatnonzero(has_room & (self._label < -self._tolerance))
        ends = np.concatenate([on_cycle, ends[np.argsort(self._label[ends])]])
        before, points = self._before.tolist(), self._point.tolist()
        used = [False] * len(before)
        cyclic = np.isin(np.arange(len(before)), on_cycle).tolist()
        found = []
        for end in ends.tolist():
            way = _way_back(end, before, used, cyclic)
            if not way:
                continue
            chain = [(points[here], here) for here in way]
            if self._change(chain) < -self._tolerance:
                found.append(chain)
                for here in way:
                    used[here] = used[before[here]] = True
        return found

    def _change(self, chain: list[tuple[int, int]]) -> float:
        total = 0.0
        for point, target in chain:
            place = np.flatnonzero(self._candidates[point] == target)[0]
            total += self._costs[point, place] - self._own[point]
        return total

    def _round_trips(self) -> np.ndarray:
        """Centres on cycles of the way back."""
        root = len(self._before)
        back = np.append(np.where(self._before < 0, root, self._before), root)
        for _ in range(root.bit_length()):
            back = back[back]
        return np.unique(back[back != root])


def _way_back(
    end: int, before: list[int], used: list[bool], cyclic: list[bool]
) -> list[int]:
    """Centres that gain a point, from one back to where its label began, or round.

    Empty where the way touches a used centre, or leads into a cycle, which is found
    from its own centres.
    """
    way: list[int] = []
    here = end
    while not used[here] and cyclic[here] == cyclic[end]:
        if before[here] < 0:
            return way
        way.append(here)
        here = before[here]
        if here == end:
            return way
    return []
