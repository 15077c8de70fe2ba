"""k-means with clusters of limited size, against independent exact solutions."""

from __future__ import annotations

import itertools

import jax
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from robustjax import selection
from robustjax.selection._capacity_exchange import exchange, greedy_assignment
from robustjax.selection._cluster_moves import shrunk_costs

KEY = jax.random.key(0)


def everything(size, centres):
    return np.tile(np.arange(centres), (size, 1))


def cost_of(costs, assigned):
    return costs[np.arange(len(costs)), assigned].sum()


def optimal_cost(costs, capacity):
    """Every centre once for each place that it has: an assignment problem."""
    rows, columns = linear_sum_assignment(np.repeat(costs, capacity, axis=1))
    return costs[rows, columns // capacity].sum()


@pytest.mark.parametrize("seed", range(40))
def test_the_assignment_is_optimal(seed):
    rng = np.random.default_rng(seed)
    size, capacity = int(rng.integers(2, 61)), int(rng.integers(1, 9))
    centres = -(-size // capacity) + int(rng.integers(0, 6))
    costs = rng.normal(size=(size, 1)) + rng.exponential(size=(size, centres))
    if seed % 3 == 0:
        costs = np.round(costs)  # Many equal costs.
    candidates = everything(size, centres)
    start = greedy_assignment(candidates, costs, capacity, centres)
    assert (start >= 0).all()
    assert np.bincount(start, minlength=centres).max() <= capacity
    found = exchange(candidates, costs, start, capacity, centres)
    assert np.bincount(found, minlength=centres).max() <= capacity
    assert cost_of(costs, found) == pytest.approx(optimal_cost(costs, capacity))
    short = exchange(candidates, costs, start, capacity, centres, rounds=2)
    assert cost_of(costs, found) <= cost_of(costs, short) + 1e-9
    assert cost_of(costs, short) <= cost_of(costs, start) + 1e-9


def test_all_move_together_in_a_ring():
    """Every point wants the next centre, and every centre has one place."""
    size = 40
    costs = np.full((size, size), 9.0)
    costs[np.arange(size), np.arange(size)] = 1.0
    costs[np.arange(size), (np.arange(size) + 1) % size] = 0.0
    found = exchange(everything(size, size), costs, np.arange(size), 1, size)
    assert found.tolist() == [*range(1, size), 0]


def test_one_gain_pays_for_a_long_way():
    """Point 0 gains ten where eight others have to give way at a cost of one each."""
    size = 9
    costs = np.full((size, size + 1), 99.0)
    costs[np.arange(size), np.arange(size)] = 0.0
    costs[np.arange(size), np.arange(size) + 1] = 1.0
    costs[0, :2] = 10.0, 0.0
    given = everything(size, size + 1), costs, np.arange(size), 1, size + 1
    assert exchange(*given).tolist() == list(range(1, size + 1))
    assert exchange(*given, rounds=4).tolist() == list(range(size))


def test_squared_and_plain_distances_have_different_optima():
    points = np.array([[0.0, 0.0], [1.6, -0.6]])
    centres = np.array([[2.0, 0.0], [2.6, 1.5]])
    distance = np.linalg.norm(points[:, None] - centres[None], axis=-1)
    squared = exchange(everything(2, 2), distance**2, np.array([1, 0]), 1, 2)
    plain = exchange(everything(2, 2), distance, np.array([0, 1]), 1, 2)
    assert squared.tolist() == [0, 1]
    assert plain.tolist() == [1, 0]


def test_points_whose_candidates_are_full_are_told():
    candidates = np.zeros((3, 1), int)
    assigned = greedy_assignment(candidates, np.array([[3.0], [1.0], [2.0]]), 2, 4)
    assert (assigned == -1).sum() == 1
    assert (assigned == 0).sum() == 2


def inertia_of(points, assignments):
    """By the definition."""
    total = 0.0
    for cluster in np.unique(assignments):
        inside = points[assignments == cluster]
        total += ((inside - inside.mean(axis=0)) ** 2).sum()
    return total


@pytest.mark.parametrize(
    ("size", "clusters", "max_size"),
    [(120, 30, 4), (120, 20, 12), (121, 7, 18), (40, 40, 1), (30, 1, 30), (90, 50, 6)],
)
def test_invariants(size, clusters, max_size):
    points = np.random.default_rng(size).normal(size=(size, 5)).astype(np.float32)
    found = selection.size_constrained_kmeans(
        points, clusters, max_size, key=KEY, neighbors=8
    )
    assert found.assignments.shape == (size,)
    assert found.assignments.min() >= 0
    counts = np.bincount(found.assignments, minlength=clusters)
    assert counts.tolist() == found.sizes.tolist()
    assert counts.max() <= max_size
    assert counts.min() >= 1
    assert found.inertia == pytest.approx(inertia_of(points, found.assignments), 1e-5)
    assert (np.diff(found.history) <= 0).all()
    assert found.history[-1] == found.inertia
    for cluster in range(clusters):
        mean = points[found.assignments == cluster].mean(axis=0)
        np.testing.assert_allclose(found.centres[cluster], mean, rtol=1e-4, atol=1e-5)


def test_nothing_is_left_to_gain_at_the_end():
    """Neither an assignment to the means, nor a single move or swap, by definition."""
    points = np.random.default_rng(3).normal(size=(60, 3)).astype(np.float32)
    clusters, max_size = 14, 5
    found = selection.size_constrained_kmeans(points, clusters, max_size, key=KEY)
    squares = ((points[:, None] - found.centres[None]) ** 2).sum(-1)
    assert found.inertia <= optimal_cost(squares, max_size) * (1 + 1e-5)
    best = found.inertia * (1 - 1e-4)
    for point, cluster in itertools.product(range(60), range(clusters)):
        moved = found.assignments.copy()
        moved[point] = cluster
        if found.sizes[cluster] < max_size:
            assert inertia_of(points, moved) >= best


def test_one_start_is_near_the_best_of_all_partitions():
    """Nine points in three clusters of at most three, by brute force."""
    points = np.random.default_rng(5).normal(size=(9, 2))
    best = min(
        inertia_of(points, np.array(labels))
        for labels in itertools.product(range(3), repeat=9)
        if max(np.bincount(labels)) <= 3
    )
    found = [
        selection.size_constrained_kmeans(points, 3, 3, key=jax.random.key(i)).inertia
        for i in range(5)
    ]
    assert min(found) == pytest.approx(best, rel=1e-5)


def test_same_key_same_clusters_and_an_offset_changes_none():
    points = np.random.default_rng(0).normal(size=(80, 4))
    one = selection.size_constrained_kmeans(points, 20, 6, key=KEY)
    same = selection.size_constrained_kmeans(points, 20, 6, key=KEY)
    far = selection.size_constrained_kmeans(points + 1e6, 20, 6, key=KEY)
    np.testing.assert_array_equal(one.assignments, same.assignments)
    np.testing.assert_array_equal(one.assignments, far.assignments)
    assert far.inertia == pytest.approx(one.inertia, rel=1e-4)


def test_equal_points_leave_clusters_empty_only_where_they_must():
    points = np.repeat(np.eye(3), 4, axis=0)
    found = selection.size_constrained_kmeans(points, 6, 4, key=KEY)
    assert found.inertia == pytest.approx(0, abs=1e-9)
    assert (found.sizes > 0).sum() >= 3
    assert found.sizes.max() <= 4
    # Nowhere is not the origin.
    empty = found.sizes == 0
    assert empty.any()
    np.testing.assert_array_equal(np.isnan(found.centres).any(axis=1), empty)


def test_costs_foresee_single_moves():
    """Against the inertia before and after every possible move."""
    rng = np.random.default_rng(2)
    points, assigned = rng.normal(size=(12, 3)), np.repeat(np.arange(4), 3)
    means = np.stack([points[assigned == c].mean(axis=0) for c in range(4)])
    squares = ((points[:, None] - means[None]) ** 2).sum(-1)
    costs = shrunk_costs(squares, everything(12, 4), assigned, np.full(4, 3))
    before = inertia_of(points, assigned)
    for point, cluster in itertools.product(range(12), range(4)):
        moved = assigned.copy()
        moved[point] = cluster
        change = costs[point, cluster] - costs[point, assigned[point]]
        assert inertia_of(points, moved) - before == pytest.approx(change)


@pytest.mark.parametrize(
    ("clusters", "max_size", "message"),
    [
        (3, 3, "max_size: got 3: 3 clusters of at most 3 hold 9 of 10 points"),
        (3, 0, "max_size: got 0"),
        (0, 3, "clusters: got 0"),
        (11, 3, "clusters: got 11 for 10 points"),
    ],
)
def test_too_little_room_is_refused(clusters, max_size, message):
    with pytest.raises(ValueError, match=message):
        selection.size_constrained_kmeans(
            np.zeros((10, 2)), clusters, max_size, key=KEY
        )


@pytest.mark.slow
def test_bad_points_are_refused():
    with pytest.raises(ValueError, match="points: .*NaN"):
        selection.size_constrained_kmeans([[np.nan], [1.0]], 1, 2, key=KEY)
    with pytest.raises(ValueError, match="points: got shape"):
        selection.size_constrained_kmeans([1.0, 2.0], 1, 2, key=KEY)
