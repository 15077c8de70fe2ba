"""Exact neighbours against scikit-learn, ties, memory and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics
from sklearn.neighbors import NearestNeighbors

from robustjax import graph
from robustjax.graph import _neighbor_search as search
from robustjax.placement import Placement


def sklearn_neighbors(points, k, metric):
    search = NearestNeighbors(n_neighbors=k, algorithm="brute", metric=metric)
    return search.fit(points.astype(np.float64)).kneighbors()


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize(
    ("n", "d", "k", "block_rows"),
    [(30, 3, 1, None), (30, 5, 29, 7), (700, 8, 10, 64), (5000, 16, 10, None)],
)
def test_equals_scikit_learn(metric, n, d, k, block_rows, rng):
    # An offset is what makes expanded squares lose digits.
    points = rng.normal(size=(n, d)).astype(np.float32) + 3
    distances, indices = sklearn_neighbors(points, k, metric)
    got = graph.nearest_neighbors(points, k, metric=metric, block_rows=block_rows)
    np.testing.assert_allclose(got.distances, distances, rtol=1e-4, atol=1e-6)
    # Ranks may only differ where float32 cannot tell the distances apart.
    differ = np.asarray(got.indices) != indices
    assert differ.mean() < 1e-3
    assert got.indices.dtype == jnp.int32


def test_far_offset_does_not_spoil_the_order(rng):
    points = rng.normal(size=(400, 4))
    want = sklearn_neighbors(points, 5, "euclidean")[1]
    got = graph.nearest_neighbors(points + 1000.0, 5)
    assert (np.asarray(got.indices) == want).mean() > 0.99


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_tight_clusters_far_apart_are_found_in_double(metric, rng):
    centers = rng.choice([-100.0, 100.0], (600, 1)) * np.array([[1.0, -1.0, 1.0, 1.0]])
    points = (centers + 0.01 * rng.normal(size=(600, 4))).astype(np.float32)
    got = graph.nearest_neighbors(points, 5, metric=metric)
    if metric == "euclidean":
        want = sklearn_neighbors(points, 5, metric)[1]
        assert (np.asarray(got.indices) == want).mean() > 0.99
    else:
        # Unit vectors have been rounded to float32, which is what there is to find.
        unit = points / np.linalg.norm(points, axis=1, keepdims=True)
        chosen = unit[np.asarray(got.indices)].astype(np.float64)
        square = ((chosen - unit[:, None]) ** 2).sum(-1)
        best = sklearn_neighbors(unit, 5, "euclidean")[0] ** 2
        np.testing.assert_allclose(square, best, rtol=0.3, atol=1e-13)


def test_duplicates_are_neighbours_and_ties_go_to_the_lowest_index():
    points = np.zeros((9, 2), np.float32)
    points[8] = 5
    got = graph.nearest_neighbors(points, 3)
    np.testing.assert_array_equal(got.indices[0], [1, 2, 3])
    np.testing.assert_array_equal(got.indices[5], [0, 1, 2])
    np.testing.assert_array_equal(got.distances[:8], 0)
    np.testing.assert_array_equal(got.indices[8], [0, 1, 2])


def test_two_level_search_equals_top_k(rng):
    values = rng.integers(0, 50, (20, 64 * 40)).astype(np.float32)
    got = search.largest_columns(jnp.asarray(values), 16)
    np.testing.assert_array_equal(got, jax.lax.top_k(values, 16)[1])


def test_memory_stays_linear_at_100_000_points():
    """Compiled, not run: what XLA reserves for N = 100,000, d = 512."""
    points = jax.ShapeDtypeStruct((100_000, 512), jnp.float32)
    some = jax.ShapeDtypeStruct((8_000, 512), jnp.float32)
    number = jax.ShapeDtypeStruct((), jnp.int32)
    compiled = search.search.lower(
        search.Part(points, points, number, number),
        search.Asked(some, some, jax.ShapeDtypeStruct((8_000,), jnp.int32)),
        jax.ShapeDtypeStruct((), jnp.float32),
        place=Placement(),
        count=16,
        block_rows=40,
        metric="euclidean",
    ).compile()
    temporary = compiled.memory_analysis().temp_size_in_bytes
    assert temporary < 1e9  # The N×N matrix would take 40e9.


@pytest.mark.parametrize("n", [50, 500])
def test_mean_pairwise_distance(n, rng):
    points = rng.normal(size=(n, 6)) + 10
    exact = metrics.pairwise_distances(points)[np.triu_indices(n, 1)].mean()
    got = graph.mean_pairwise_distance(points)
    np.testing.assert_allclose(got, exact, rtol=1e-4)
    sampled = graph.mean_pairwise_distance(points, max_points=n // 2)
    np.testing.assert_allclose(sampled, exact, rtol=0.1)


@pytest.mark.parametrize(
    ("points", "arguments", "message"),
    [
        (np.zeros((5, 2)), {"k": 5}, "k: got 5 for N = 5 points, expected 1 … 4"),
        (np.zeros((5, 2)), {"k": 0}, "k: got 0"),
        (np.zeros(5), {"k": 1}, r"points: got shape \(5,\)"),
        (np.array([[0, 1], [np.inf, 0], [1, 1]]), {"k": 1}, "first: row 1"),
        (np.zeros((5, 2)), {"k": 1, "metric": "l1"}, "metric: unknown 'l1'; known"),
        (
            np.array([[0, 1], [0, 0], [1, 1.0]]),
            {"k": 1, "metric": "cosine"},
            "points: row 1 is zero",
        ),
    ],
)
def test_bad_arguments(points, arguments, message):
    with pytest.raises(ValueError, match=message):
        graph.nearest_neighbors(points, **arguments)
