"""k-means whose clusters hold no more than a given number of points."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks, conditioning
from robustjax.selection._capacity_exchange import exchange, greedy_assignment
from robustjax.selection._cluster_moves import (
    cluster_means,
    improve_by_moves,
    pair_squares,
    shrunk_costs,
)
from robustjax.selection._greedy import Progress, check_features
from robustjax.selection._nearest_centres import nearest_centres, squared_distances

# Rounds of labels; more are only spread at the very end.
_SHORT = 4
# Centres move less and less: nearest ones are found again in so many steps.
_RENEWED = 4
# Relative gains of less end an alternation.
_SETTLED = 1e-4
_MOVE_PASSES = 200
_ROUNDS = 4


class SizedClusters(NamedTuple):
    """A clustering into parts of limited size.

    Attributes:
      assignments: (N,) int32, the cluster of every point.
      centres: (k, d) float64, the clusters' means; NaN for an empty one.
      sizes: (k,) int32; a cluster is empty only where there are fewer distinct points.
      inertia: the sum of squared distances to the means.
      history: the inertia after every step, which never increases.
    """

    assignments: np.ndarray
    centres: np.ndarray
    sizes: np.ndarray
    inertia: float
    history: np.ndarray


def size_constrained_kmeans(
    points: Any,
    clusters: int,
    max_size: int,
    *,
    key: jax.Array,
    neighbors: int = 16,
    iterations: int = 50,
    refine: bool = True,
    on_progress: Progress | None = None,
) -> SizedClusters:
    """Clusters points so that no cluster holds more than `max_size`.

    The problem is that of Bradley, Bennett, Demiriz, "Constrained k-means clustering"
    (2000), with squared distances in the assignment as in the inertia, so that no step
    can raise it. Means and assignments alternate; a point looks at its nearest centres
    only, and changes where all can follow within the limits along paths and cycles of
    clusters (`exchange`). Then single points move or change places where that lowers
    the inertia with the means moved along (Hartigan, Wong, 1979), in turn with
    exchanges of any length among nearest centres, until these lower it by less than a
    ten-thousandth. Empty clusters take the farthest point of another.

    The first centres are points at random. There is no N × k array: memory is some
    `N × (d + 6 × neighbors)` numbers.

    Args:
      points: (N, d) finite numbers.
      clusters: k in 1 … N.
      max_size: r >= 1 with k × r >= N.
      key: PRNG key of the first centres.
      neighbors: m, the nearest centres that a point looks at; all if k is smaller.
      iterations: of means and assignments, at most.
      refine: whether moves, swaps and long exchanges follow; without them it is faster.
      on_progress: called with the iterations made and to be made.

    Returns:
      `SizedClusters`.

    Raises:
      ValueError: a number out of its range, too little room (k × r < N), points of a
        wrong rank, not finite, or of differences that float32 cannot hold.

    Example:
      >>> import jax
      >>> from robustjax import selection
      >>> found = selection.size_constrained_kmeans(
      ...     [[0.0], [1.0], [2.0], [9.0]], 2, 2, key=jax.random.key(0)
      ... )
      >>> found.sizes.tolist(), round(found.inertia, 3)
      ([2, 2], 25.0)
    """
    given = check_features("points", points)
    check_sizes(len(given), clusters, max_size)
    checks.at_least("neighbors", neighbors, 1)
    checks.at_least("iterations", iterations, 1)
    centred = conditioning.centred("points", given)
    rows = jax.random.choice(key, len(given), (clusters,), replace=False)
    state = _Alternation(
        np.asarray(centred.points, np.float32), np.asarray(rows), max_size, neighbors
    )
    for number in range(iterations):
        if on_progress is not None:
            on_progress(number, iterations)
        fresh = number < _RENEWED or number % _RENEWED == 0
        if not state.step(shrunk=number > 0, rounds=_SHORT, fresh=fresh):
            break
    for _ in range(_ROUNDS if refine else 0):
        if not state.refine():
            break
    # Moves look at single points, steps at long exchanges: in turn to a common rest.
    while refine and state.step(shrunk=False, rounds=None):
        state.refine()
    if on_progress is not None:
        on_progress(iterations, iterations)
    unit = centred.scale**2
    return SizedClusters(
        state.assigned.astype(np.int32),
        cluster_means(
            given.astype(np.float64),
            state.assigned,
            np.full((clusters, given.shape[1]), np.nan),
        ),
        np.bincount(state.assigned, minlength=clusters).astype(np.int32),
        state.history[-1] * unit,
        np.array(state.history) * unit,
    )


def check_sizes(size: int, clusters: int, max_size: int) -> None:
    """Raises `ValueError` where N points do not fit k clusters of r."""
    checks.at_least("max_size", max_size, 1)
    checks.at_least("clusters", clusters, 1)
    if clusters > size:
        raise ValueError(
            f"clusters: got {clusters} for {size} points, expected at most as many"
        )
    if clusters * max_size < size:
        raise ValueError(
            f"max_size: got {max_size}: {clusters} clusters of at most {max_size} hold "
            f"{clusters * max_size} of {size} points; expected at least "
            f"{-(-size // clusters)}"
        )


class _Alternation:
    """An assignment with its means, which each step leaves no worse."""

    def __init__(
        self, points: np.ndarray, first: np.ndarray, capacity: int, neighbors: int
    ) -> None:
        self._points, self._on_device = points, jnp.asarray(points)
        self._capacity, self._rows = capacity, np.arange(len(points))
        self._centres = points[first]
        self._neighbors = min(neighbors, len(first))
        self.history: list[float] = []
        candidates, costs = self._nearest(None)
        assigned = greedy_assignment(candidates, costs, capacity, len(first))
        self.assigned = self._placed(assigned)
        self._settle(self.assigned)

    def step(self, *, shrunk: bool, rounds: int | None, fresh: bool = True) -> bool:
        """Assigns anew and moves the means; returns whether that was worth it.

        Args:
          shrunk: whether costs foresee how the means will move, which holds for single
            moves only: with many at once the inertia may rise, and the step is undone.
          rounds: see `exchange`.
          fresh: whether nearest centres are found anew, or those of before do.
        """
        candidates, costs = self._nearest(self.assigned, fresh=fresh)
        if shrunk:
            sizes = np.bincount(self.assigned, minlength=len(self._centres))
            costs = shrunk_costs(costs, candidates, self.assigned, sizes)
        assigned = exchange(
            candidates,
            costs,
            self.assigned,
            self._capacity,
            len(self._centres),
            rounds=rounds,
        )
        if shrunk and not self._settle(assigned):
            return self.step(shrunk=False, rounds=rounds, fresh=False)
        return shrunk or self._settle(assigned)

    def refine(self) -> bool:
        """Single moves and swaps; returns whether they were worth it."""
        candidates, costs = self._nearest(self.assigned)
        assigned, _ = improve_by_moves(
            self._points,
            self.assigned,
            self._centres,
            candidates,
            costs,
            self._capacity,
            passes=_MOVE_PASSES,
        )
        return self._settle(assigned)

    def _nearest(
        self, assigned: np.ndarray | None, *, fresh: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Candidates of every point, its own cluster among them, and their costs."""
        centres = jnp.asarray(self._centres)
        if self._neighbors == len(centres):
            shape = len(self._points), len(centres)
            candidates = np.broadcast_to(np.arange(len(centres), dtype=np.int32), shape)
        else:
            if fresh:
                self._candidates = nearest_centres(
                    self._on_device, centres, self._neighbors
                )
            candidates = self._candidates
            if assigned is not None:
                missing = ~(candidates == assigned[:, None]).any(axis=1)
                candidates[missing, -1] = assigned[missing]
        return candidates, squared_distances(self._on_device, centres, candidates)

    def _placed(self, assigned: np.ndarray) -> np.ndarray:
        """Points whose candidates are full go to the nearest cluster with room."""
        room = self._capacity - np.bincount(
            assigned[assigned >= 0], minlength=len(self._centres)
        )
        for point in np.flatnonzero(assigned < 0):
            able = np.flatnonzero(room)
            difference = self._centres[able] - self._points[point]
            chosen = able[np.einsum("kd,kd->k", difference, difference).argmin()]
            assigned[point] = chosen
            room[chosen] -= 1
        return assigned

    def _settle(self, assigned: np.ndarray) -> bool:
        """Takes an assignment on unless it is worse; whether it is clearly better."""
        centres = cluster_means(self._points, assigned, self._centres)
        own = pair_squares(self._points, centres, self._rows, assigned)
        assigned, centres, own = self._filled(assigned, centres, own)
        inertia = float(own.sum())
        before = self.history[-1] if self.history else np.inf
        if inertia >= before:
            return False
        self.assigned, self._centres = assigned, centres
        self.history.append(inertia)
        return inertia < before * (1 - _SETTLED)

    def _filled(
        self, assigned: np.ndarray, centres: np.ndarray, own: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Every empty cluster gets the farthest point of a cluster of several."""
        sizes = np.bincount(assigned, minlength=len(centres))
        empty = np.flatnonzero(sizes == 0)
        while empty.size:
            distance = np.where(sizes[assigned] > 1, own, 0)
            order = np.argsort(-distance, kind="stable")
            _, first = np.unique(assigned[order], return_index=True)
            far = order[np.sort(first)][: empty.size]
            far = far[distance[far] > 0]
            if not far.size:
                break
            assigned = assigned.copy()
            assigned[far] = empty[: far.size]
            centres = cluster_means(self._points, assigned, centres)
            own = pair_squares(self._points, centres, self._rows, assigned)
            sizes = np.bincount(assigned, minlength=len(centres))
            empty = np.flatnonzero(sizes == 0)
        return assigned, centres, own
