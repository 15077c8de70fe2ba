"""Neighbours of points that are kept in two bytes a number, against plain NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors

from robustjax import graph
from tests.array_inputs.rounding import UNITS, rounded
from tests.scores.test_issues_by_blocks import Rows

NARROW = tuple(UNITS)
SIZE, WIDTH, K = 150, 12, 5


def plain(points, k):
    """Indices and distances in float64, ties to the lowest index."""
    square = ((points[:, None] - points[None]) ** 2).sum(-1)
    np.fill_diagonal(square, np.inf)
    order = np.argsort(square, axis=1, kind="stable")[:, :k]
    return order, np.sqrt(np.take_along_axis(square, order, axis=1))


def apart(points, indices):
    """Distances of the exact points (N, d) to those of some indices (N, k)."""
    return np.linalg.norm(points[indices] - points[:, None], axis=-1)


def unit(points):
    return points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.mark.parametrize("storage", NARROW)
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_are_those_of_the_rounded_points_and_off_by_no_more_than_stated(
    storage, metric, rng
):
    # An offset would be all that is left of numbers that are rounded before it is out.
    points = rng.normal(size=(SIZE, WIDTH)) + 300
    if metric == "cosine":
        points = unit(points - 299)
    got = graph.nearest_neighbors(points, K, metric=metric, storage=storage)
    want, distances = plain(rounded(points, storage), K)
    np.testing.assert_array_equal(got.indices, want)
    found = np.asarray(got.distances, np.float64)
    if metric == "cosine":
        found = np.sqrt(2 * found)
    np.testing.assert_allclose(found, distances, rtol=1e-5)
    assert got.indices.dtype == jnp.int32
    assert got.distances.dtype == jnp.float32
    # The stated bound, on the points as they were given.
    norms = np.linalg.norm(points - points.mean(axis=0), axis=1)
    bound = UNITS[storage] * (norms[:, None] + norms[np.asarray(got.indices)]) + 1e-6
    off = np.abs(found - apart(points, np.asarray(got.indices)))
    assert (off <= bound).all()
    assert off.max() > bound.mean() / 50
    missed = apart(points, np.asarray(got.indices)).max(axis=1) - apart(
        points, plain(points, K)[0]
    ).max(axis=1)
    assert (missed <= 4 * UNITS[storage] * norms.max() + 1e-6).all()


@pytest.mark.parametrize("storage", NARROW)
@pytest.mark.parametrize("power", [-100, 100])
def test_points_of_any_size_are_in_range(storage, power, rng):
    points = (rng.normal(size=(SIZE, WIDTH)) * 2.0**power).astype(np.float32)
    got = graph.nearest_neighbors(points, K, storage=storage)
    want, distances = plain(rounded(points, storage) / 2.0**power, K)
    np.testing.assert_array_equal(got.indices, want)
    np.testing.assert_allclose(np.asarray(got.distances) / 2.0**power, distances, 1e-5)


@pytest.mark.parametrize("storage", NARROW)
def test_recall_on_digits(storage):
    points = load_digits().data
    got = np.asarray(graph.nearest_neighbors(points, 10, storage=storage).indices)
    search = NearestNeighbors(n_neighbors=10, algorithm="brute").fit(points)
    nearest = search.kneighbors()[0][:, -1]
    # Integers have ties: what is as near as the tenth is as good.
    slack = 4 * UNITS[storage] / 100 * nearest
    recall = (apart(points, got) <= (nearest + slack)[:, None]).mean()
    assert recall > 0.99
    assert all(len(set(row)) == 10 for row in got.tolist())
    assert not (got == np.arange(len(got))[:, None]).any()


@pytest.mark.parametrize("storage", NARROW)
def test_points_that_become_equal_are_copies(storage, rng):
    centres = np.array([[-100.0] * WIDTH, [100.0] * WIDTH])[rng.integers(2, size=SIZE)]
    points = centres + 1e-4 * rng.normal(size=centres.shape)
    got = graph.nearest_neighbors(points, K, storage=storage)
    np.testing.assert_array_equal(got.indices, plain(rounded(points, storage), K)[0])
    assert (np.asarray(got.distances) == 0).any()


def test_some_rows_are_those_of_all(rng):
    points, rows = rng.normal(size=(SIZE, WIDTH)), np.array([7, 3, 149])
    every = graph.nearest_neighbors(points, K, storage="bfloat16")
    some = graph.nearest_neighbors(points, K, rows=rows, storage=jnp.bfloat16)
    np.testing.assert_array_equal(some.indices, every.indices[rows])


def test_refusals(rng):
    points = rng.normal(size=(8, 2))
    with pytest.raises(ValueError, match="storage: got 'int8', expected one of"):
        graph.nearest_neighbors(points, 2, storage="int8")
    with pytest.raises(ValueError, match="storage: got 'float16' for rows that stay"):
        graph.nearest_neighbors(Rows(points), 2, storage="float16")
