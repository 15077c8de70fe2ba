"""Copies, outliers and rare classes: scikit-learn as the reference, and the corners."""

from __future__ import annotations

import re

import jax
import numpy as np
import pytest
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from robustjax import graph, scores


@pytest.fixture
def points(rng):
    """Two clusters, the second a hundred times as wide, and a point far from both."""
    narrow, wide = rng.normal(size=(40, 3)), 100 * rng.normal(size=(40, 3)) + 1000
    return np.concatenate([narrow, wide, [[400.0, -900.0, 300.0]]])


def test_the_local_outlier_factor_is_scikit_learns(points):
    found = graph.nearest_neighbors(points, 7)
    ours = scores.local_outlier_factor(*found)
    theirs = -LocalOutlierFactor(7).fit(points).negative_outlier_factor_
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_density_sees_a_thin_cluster_as_one(points):
    found = graph.nearest_neighbors(points, 7)
    factor = scores.local_outlier_factor(*found)
    assert factor.argmax() == len(points) - 1
    assert factor[40:80].max() < factor[-1] / 2
    distance = scores.mean_neighbor_distance(found.distances)
    assert distance[40:80].min() > 20 * distance[:40].max()


def test_one_cloud_has_few_outliers_and_a_far_point_is_one(rng):
    cloud = rng.normal(size=(300, 8))
    before = scores.find_outliers(graph.nearest_neighbors(cloud, 10).distances)
    assert before.is_outlier.mean() < 0.03
    cloud[17] += 10
    found = scores.find_outliers(graph.nearest_neighbors(cloud, 10).distances)
    assert found.scores.argmax() == 17
    assert found.scores[17] > 3 * before.scores.max()
    strict = graph.nearest_neighbors(cloud, 10).distances
    strict = scores.find_outliers(strict, threshold=3.5)
    assert np.flatnonzero(strict.is_outlier).tolist() == [17]


def test_points_of_a_grid_are_all_alike():
    ring = np.exp(2j * np.pi * np.arange(50) / 50)
    neighbors = graph.nearest_neighbors(np.stack([ring.real, ring.imag], 1), 2)
    found = scores.find_outliers(neighbors.distances)
    np.testing.assert_allclose(found.scores, 0, atol=1)
    assert not found.is_outlier.any()


def test_many_copies_are_no_outliers_and_leave_the_rest_comparable(rng):
    points = np.concatenate(
        [np.zeros((20, 4)), rng.normal(size=(60, 4)) + 5, [[60] * 4]]
    )
    found = graph.nearest_neighbors(points, 5)
    outliers = scores.find_outliers(found.distances)
    assert (outliers.scores[:20] == -np.inf).all()
    assert outliers.scores.argmax() == 80
    assert outliers.is_outlier[80]
    np.testing.assert_array_equal(scores.local_outlier_factor(*found)[:20], 1)
    near = scores.near_duplicates(*found)
    # Each has five neighbours of twenty copies: the lists alone do not name them all.
    np.testing.assert_array_equal(near.first[:20], 0)
    np.testing.assert_array_equal(near.first[20:], np.arange(20, 81))
    same = np.ones((9, 2))
    found = graph.nearest_neighbors(same, 3)
    assert (scores.near_duplicates(*found).first == 0).all()
    assert not scores.find_outliers(found.distances).is_outlier.any()


def test_near_duplicates_are_found_in_both_metrics(rng):
    points = rng.normal(size=(80, 16)) + 1
    points[50] = points[3] + 0.01 * rng.normal(size=16)
    points[51] = points[50] + 0.01 * rng.normal(size=16)
    for metric in ("euclidean", "cosine"):
        indices, distances = graph.nearest_neighbors(points, 5, metric=metric)
        if metric == "cosine":
            distances = np.sqrt(2 * np.asarray(distances))
        found = scores.near_duplicates(indices, distances)
        assert np.flatnonzero(found.first != np.arange(80)).tolist() == [50, 51]
        assert found.first[50] == found.first[51] == 3
        assert (found.ratios[[3, 50, 51]] < 0.05).all()
        assert np.sort(found.ratios)[3] > 0.3
    none = scores.near_duplicates(indices, distances, ratio=0)
    np.testing.assert_array_equal(none.first, np.arange(80))


def test_exact_duplicates_are_of_any_shape_and_sign_of_zero():
    images = np.zeros((4, 2, 2, 1), np.float32)
    images[1] = 1
    images[2, 0] = -0.0
    assert scores.exact_duplicates(images).tolist() == [0, 1, 0, 0]
    assert scores.exact_duplicates([3, 4, 3]).tolist() == [0, 1, 0]


def test_classes_below_a_tenth_of_their_share_are_rare():
    labels = [0] * 60 + [1] * 38 + [2] * 2
    found = scores.class_balance(labels, 4)
    np.testing.assert_array_equal(found.counts, [60, 38, 2, 0])
    np.testing.assert_allclose(found.relative, [2.4, 1.52, 0.08, 0])
    np.testing.assert_array_equal(found.is_rare, [False, False, True, True])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distances": [[-1.0], [1.0]]}, "distances: got -1, expected none below 0"),
        ({"distances": [[1.0, 2.0]] * 2}, "indices: got shape (2, 1), expected that"),
        ({"distances": np.zeros((2, 0))}, "distances: got shape (2, 0), expected some"),
        ({"indices": [[1], [2]]}, "indices: got 2, expected 0 … 1"),
        ({"indices": [[-1], [0]]}, "indices: got -1, expected 0 … 1"),
        ({"indices": [[1.0], [0.0]]}, "indices: got float64, expected integers"),
        ({"ratio": -1}, "ratio: got -1, expected a number in [0, inf]"),
    ],
)
def test_bad_arguments_are_named(changes, message):
    fine = {"indices": [[1], [0]], "distances": [[1.0], [1.0]]}
    with pytest.raises(ValueError, match=re.escape(message)):
        scores.near_duplicates(**fine | changes)


def test_nobody_is_its_own_neighbour(rng):
    """As in the lists of scikit-learn's `kneighbors` of the points it was fitted to."""
    points = rng.normal(size=(20, 3))
    distances, indices = NearestNeighbors(n_neighbors=4).fit(points).kneighbors(points)
    for score in (scores.near_duplicates, scores.local_outlier_factor):
        with pytest.raises(ValueError, match="indices: row 0 is among its own neighb"):
            score(indices, distances)
    with pytest.raises(ValueError, match=r"neighbours \(20 of 20 are\)"):
        scores.row_order(indices, key=jax.random.key(0))
    scores.near_duplicates(indices[:, 1:], distances[:, 1:])


def test_neighbours_come_nearest_first():
    indices, distances = np.array([[1, 2], [0, 2], [1, 0]]), np.array([[2.0, 1.0]] * 3)
    with pytest.raises(ValueError, match="distances: got some that fall"):
        scores.near_duplicates(indices, distances)


def test_a_threshold_is_positive():
    with pytest.raises(ValueError, match=r"threshold: got 0, expected a number in \(0"):
        scores.find_outliers([[1.0], [1.0]], threshold=0)


def test_an_order_is_told_from_none_and_from_that_of_classes(rng):
    labels = rng.integers(0, 3, 240)
    cloud = rng.normal(size=(240, 5)) + 6 * np.eye(3, 5)[labels]
    key = jax.random.key(0)

    def order(rows, **more):
        found = graph.nearest_neighbors(cloud[rows], 5).indices
        return scores.row_order(found, key=key, permutations=199, **more)

    whole = order(np.arange(240))
    assert whole.p_value > 0.05
    assert whole.ratio == pytest.approx(1, abs=0.1)
    assert whole.gaps.mean() == pytest.approx(1, abs=0.1)
    by_class = np.argsort(labels, kind="stable")
    sorted_ones = order(by_class)
    assert sorted_ones.p_value == 1 / 200
    assert sorted_ones.ratio < 0.5
    within = order(by_class, groups=labels[by_class])
    assert within.p_value > 0.05
    drifting = np.lexsort((cloud[:, 3] + rng.normal(size=240) / 4, labels))
    assert order(drifting, groups=labels[drifting]).p_value == 1 / 200


def test_the_order_counts_what_a_permutation_does():
    ring = np.stack([np.roll(np.arange(8), 1), np.roll(np.arange(8), -1)], 1)
    found = scores.row_order(ring, key=jax.random.key(1), permutations=999)
    # Inside 1 row apart; at the seam 1 and 7; the mean of random pairs is 3.
    assert found.gaps.tolist() == [4 / 3] + 6 * [1 / 3] + [4 / 3]
    assert found.ratio == pytest.approx(14 / 8 / 3, rel=0.02)
    with pytest.raises(ValueError, match="groups"):
        scores.row_order(ring, key=jax.random.key(1), groups=[0, 1])
    with pytest.raises(ValueError, match="permutations: got 0"):
        scores.row_order(ring, key=jax.random.key(1), permutations=0)
    with pytest.raises(ValueError, match="indices: got 9"):
        scores.row_order(ring + 2, key=jax.random.key(1))
