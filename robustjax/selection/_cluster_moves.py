"""Single points that change cluster, or places, where that lowers the inertia.

Hartigan and Wong, "A k-means clustering algorithm" (Applied Statistics, 1979): moving
a point also moves both means, which Lloyd's rule does not see. In clusters of a few
points that is most of the way to a good clustering.
"""

from __future__ import annotations

import numpy as np

_BLOCK_NUMBERS = 4_000_000
# Full clusters in which a point looks for one to change places with.
_SWAP_TARGETS = 4
# Relative to the inertia; sums of float32 squares are not exact.
_WORTH = 1e-9


def cluster_means(
    points: np.ndarray, assigned: np.ndarray, centres: np.ndarray
) -> np.ndarray:
    """Means (k, d) of the clusters; an empty one keeps its centre."""
    sizes = np.bincount(assigned, minlength=len(centres))
    order = np.argsort(assigned, kind="stable")
    filled = np.flatnonzero(sizes)
    first = (np.cumsum(sizes) - sizes)[filled]
    means = centres.copy()
    means[filled] = np.add.reduceat(points[order], first, axis=0)
    means[filled] /= sizes[filled, None]
    return means


def pair_squares(
    points: np.ndarray, centres: np.ndarray, rows: np.ndarray, chosen: np.ndarray
) -> np.ndarray:
    """Squared distances of some points to a centre each, in float64."""
    found = np.empty(len(rows))
    step = max(1, _BLOCK_NUMBERS // points.shape[1])
    for start in range(0, len(rows), step):
        here = slice(start, start + step)
        difference = points[rows[here]] - centres[chosen[here]]
        found[here] = np.einsum("nd,nd->n", difference, difference)
    return found


def shrunk_costs(
    costs: np.ndarray, candidates: np.ndarray, assigned: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    """What each point costs where it is, and would cost elsewhere, means moved along.

    Args:
      costs: (N, m) squared distances to `candidates`.
      candidates: (N, m) clusters.
      assigned: (N,) clusters.
      sizes: (k,) points of each.
    """
    own = candidates == assigned[:, None]
    around = sizes[candidates].astype(np.float64)
    out = np.divide(around, around - 1, out=np.zeros_like(around), where=around > 1)
    return costs * np.where(own, out, around / (around + 1))


def improve_by_moves(
    points: np.ndarray,
    assigned: np.ndarray,
    centres: np.ndarray,
    candidates: np.ndarray,
    costs: np.ndarray,
    capacity: int,
    *,
    passes: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Moves and swaps points until none lowers the inertia, or for so many passes.

    In a pass every cluster takes part in one change at most, the best of its own and
    its partner's, so that each change lowers the inertia by what was computed for it.

    Args:
      points: (N, d) float32.
      assigned: (N,) clusters.
      centres: (k, d), their means.
      candidates: (N, m) clusters that a point may move to, its own among them.
      costs: (N, m) squared distances to them.
      capacity: points of a cluster at most.
      passes: at most.

    Returns:
      (N,) clusters and (k, d) means.
    """
    assigned, costs, candidates = assigned.copy(), costs.copy(), candidates.copy()
    clusters, rows = len(centres), np.arange(len(points))
    touched = np.ones(clusters, bool)
    worth = _WORTH * max(float(costs.min(axis=1).sum()), np.finfo(float).tiny)
    for _ in range(passes):
        sizes = np.bincount(assigned, minlength=clusters)
        own = candidates == assigned[:, None]
        change = shrunk_costs(costs, candidates, assigned, sizes)
        leave = change[own]
        change[own | (sizes[candidates] >= capacity)] = np.inf
        best = change.argmin(axis=1)
        gain = leave - change[rows, best]
        mover = np.flatnonzero(gain > worth)
        target, partner = candidates[mover, best[mover]], np.full(mover.size, -1)
        gain = gain[mover]
        if mover.size < _few(clusters):
            swap = _swaps(
                points, assigned, centres, candidates, costs, sizes, capacity, touched
            )
            good = swap[3] > worth
            mover = np.concatenate([mover, swap[0][good]])
            target = np.concatenate([target, swap[1][good]])
            partner = np.concatenate([partner, swap[2][good]])
            gain = np.concatenate([gain, swap[3][good]])
            touched[:] = False
        if not mover.size:
            break
        source = assigned[mover]
        rank = np.empty(mover.size, np.int64)
        rank[np.argsort(-gain, kind="stable")] = np.arange(mover.size)
        lowest = np.full(clusters, mover.size)
        np.minimum.at(lowest, source, rank)
        np.minimum.at(lowest, target, rank)
        chosen = (lowest[source] == rank) & (lowest[target] == rank)
        source, target = source[chosen], target[chosen]
        mover, partner = mover[chosen], partner[chosen]
        assigned[mover] = target
        swapped = partner[partner >= 0]
        assigned[swapped] = source[partner >= 0]
        # Whoever gave way may not have thought of the place that was left.
        known = candidates[swapped] == assigned[swapped][:, None]
        strange = swapped[~known.any(axis=1)]
        candidates[strange, -1] = assigned[strange]
        now = np.zeros(clusters, bool)
        now[source] = now[target] = True
        touched |= now
        centres = _means_of(points, assigned, centres, now)
        row, column = np.nonzero(now[candidates])
        costs[row, column] = pair_squares(points, centres, row, candidates[row, column])
    return assigned, centres


def _few(clusters: int) -> int:
    """Moves that are so few that swaps are worth a look, which takes longer."""
    return max(1, clusters // 100)


def _means_of(
    points: np.ndarray, assigned: np.ndarray, centres: np.ndarray, which: np.ndarray
) -> np.ndarray:
    members = np.flatnonzero(which[assigned])
    number = np.cumsum(which) - 1
    means = centres.copy()
    means[which] = cluster_means(
        points[members], number[assigned[members]], centres[which]
    )
    return means


def _swaps(
    points: np.ndarray,
    assigned: np.ndarray,
    centres: np.ndarray,
    candidates: np.ndarray,
    costs: np.ndarray,
    sizes: np.ndarray,
    capacity: int,
    touched: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For points near full clusters: the point, the cluster, whom to swap with, gain.

    With δ the difference of two points of clusters a and b, the inertia changes by
    −2 (μ_a − μ_b)·δ − |δ|² (1/n_a + 1/n_b).
    """
    full = (candidates != assigned[:, None]) & (sizes[candidates] >= capacity)
    near = np.where(full, costs, np.inf)
    count = min(_SWAP_TARGETS, near.shape[1])
    best = np.argpartition(near, count - 1, axis=1)[:, :count]
    mover = np.repeat(np.arange(len(points)), count)
    target = candidates[mover, best.reshape(-1)]
    known = np.isfinite(near[mover, best.reshape(-1)])
    known &= touched[assigned[mover]] | touched[target]
    mover, target = mover[known], target[known]
    members = _members(assigned, sizes, capacity)
    partner, gain = np.empty(len(mover), np.int64), np.empty(len(mover))
    step = max(1, _BLOCK_NUMBERS // (capacity * points.shape[1]))
    for start in range(0, len(mover), step):
        here = slice(start, start + step)
        others = members[target[here]]
        delta = points[others] - points[mover[here]][:, None]
        apart = centres[assigned[mover[here]]] - centres[target[here]]
        square = np.einsum("prd,prd->pr", delta, delta)
        weight = 1 / sizes[assigned[mover[here]]] + 1 / sizes[target[here]]
        change = 2 * np.einsum("prd,pd->pr", delta, apart) + square * weight[:, None]
        place = change.argmax(axis=1)
        row = np.arange(len(place))
        partner[here], gain[here] = others[row, place], change[row, place]
    return mover, target, partner, gain


def _members(assigned: np.ndarray, sizes: np.ndarray, capacity: int) -> np.ndarray:
    """(k, capacity) points of each full cluster; other rows mean nothing."""
    order = np.argsort(assigned, kind="stable")
    place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    members = np.zeros((len(sizes), capacity), np.int64)
    members[assigned[order], place] = order
    return members
