"""Selections and neighbours of rows of a file are those of an array."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustjax import arrays, data, graph, row_source, selection
from robustjax.graph import _neighbors
from robustjax.selection import _equal_rows
from tests.scores.test_issues_by_blocks import Rows

SIZE = 90


@pytest.fixture(autouse=True, scope="module")
def small_blocks():
    """Blocks of eleven rows: no multiple of anything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_source, "_BLOCK_BYTES", 11 * 6 * 4)
        patch.setattr(arrays, "_BLOCK_VALUES", 11 * 6)
        patch.setattr(_equal_rows, "_BLOCK_NUMBERS", 11 * 6)
        yield


def points(seed):
    """Of a mean of 0 and few bits; some are copies."""
    rng = np.random.default_rng(seed)
    half = rng.integers(-4, 5, size=(SIZE // 2, 6)).astype(np.float32) + 0.5
    half[:5] = half[5:10]
    return rng.permutation(np.concatenate([half, -half]))


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_k_center(seed, some):
    x, initial = points(seed), [3, 11] if some else None
    one = selection.k_center(x, 20, initial=initial)
    read = selection.k_center(Rows(x), 20, initial=initial)
    np.testing.assert_array_equal(read.indices, one.indices)
    np.testing.assert_allclose(read.gains, one.gains, rtol=1e-6)
    np.testing.assert_allclose(read.objective, one.objective, rtol=1e-6)


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_prune4rel(seed, by_class):
    rng, x = np.random.default_rng(seed), points(seed)
    confidence = rng.integers(1, 16, SIZE) / 16.0
    labels = rng.integers(3, size=SIZE) if by_class else None
    one, read = (
        selection.prune4rel(each, confidence, 25, threshold=0.8, labels=labels)
        for each in (x, Rows(x))
    )
    np.testing.assert_array_equal(read.indices, one.indices)
    np.testing.assert_allclose(read.gains, one.gains, rtol=1e-5)
    np.testing.assert_allclose(read.objective, one.objective, rtol=1e-6)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["euclidean", "cosine"]),
    st.sampled_from([np.float32, np.float64]),
)
def test_nearest_neighbors(seed, metric, dtype):
    # Parts of eleven rows and a last one of two: blocks of rows must not follow that.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_neighbors, "_BLOCK_NUMBERS", 44)
        patch.setattr(_neighbors, "_MIN_BLOCK_ROWS", 1)
        check_neighbors(seed, metric, dtype)


def check_neighbors(seed, metric, dtype):
    x = points(seed).astype(dtype)
    rows = np.random.default_rng(seed).permutation(SIZE)[:13]
    one = graph.nearest_neighbors(x, 7, metric=metric)
    for found in (
        graph.nearest_neighbors(x, 7, metric=metric, rows=rows),
        graph.nearest_neighbors(Rows(x), 7, metric=metric, rows=rows),
    ):
        np.testing.assert_array_equal(found.indices, one.indices[rows])
        np.testing.assert_allclose(
            found.distances, one.distances[rows], rtol=1e-6, atol=1e-7
        )


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_k_means(metric):
    x = np.random.default_rng(0).normal(size=(SIZE, 6)).astype(np.float32)
    one, read = (
        selection.prototype_distances(
            each, 5, jax.random.key(1), metric=metric, sample=50
        )
        for each in (x, Rows(x))
    )
    np.testing.assert_allclose(read, one, rtol=1e-5)


def sets(seed):
    """Rows of no special kind, so that no two gain the same."""
    rng = np.random.default_rng(seed)
    sizes = (SIZE, 9, 5)
    return [rng.normal(size=(size, 6)).astype(np.float32) for size in sizes]


def facility_location(kind, pool, query, private, **more):
    if kind == "cg":
        return selection.facility_location_cg(pool, private, 15, **more)
    if kind == "qmi":
        return selection.facility_location_qmi(pool, query, 15, eta=0.5, **more)
    return selection.facility_location_cmi(pool, query, private, 15, nu=0.7, **more)


@pytest.mark.parametrize(
    ("kind", "similarity"),
    [("cg", "shifted"), ("cmi", "cosine"), ("qmi", "shifted")],
)
def test_facility_location(kind, similarity):
    more = {"similarity": similarity, "candidates": 4}
    for seed in range(4):
        x, query, private = sets(seed)
        rows = Rows(x)
        one = facility_location(kind, x, query, private, keep_bytes=0, **more)
        found = facility_location(kind, rows, query, private, **more)
        assert rows.most <= 11
        np.testing.assert_allclose(found.gains, one.gains, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found.objective, one.objective, rtol=1e-5)
        np.testing.assert_array_equal(found.indices, one.indices)


def test_facility_location_of_factors():
    parts = [(each[:, :3], each[:, 3:]) for each in sets(5)]
    one = facility_location("cmi", *parts)
    pool = (Rows(parts[0][0]), parts[0][1])
    found = facility_location("cmi", pool, *parts[1:], candidates=4)
    np.testing.assert_array_equal(found.indices, one.indices)


def test_facility_location_of_copies_takes_the_first():
    x = np.random.default_rng(0).normal(size=(SIZE // 3, 6)).astype(np.float32)
    seen = []
    found = selection.facility_location_cg(
        Rows(np.concatenate([x, x, x])),
        None,
        12,
        candidates=4,
        on_progress=lambda *at: seen.append(at),
    )
    one = selection.facility_location_cg(x, None, 12)
    np.testing.assert_array_equal(found.indices, one.indices)
    assert seen == [(made, 12) for made in range(1, 13)]


def test_devices_read_their_rows_of_facility_location(mesh):
    x, query, private = sets(6)
    rows = Rows(x)
    found = facility_location("cmi", rows, query, private, candidates=8, mesh=mesh)
    one = facility_location("cmi", x, query, private)
    np.testing.assert_array_equal(found.indices, one.indices)
    # Of those that can be covered, which are filled up to 256, a device has 32.
    assert rows.most <= 32


def test_devices_read_their_own_rows(mesh):
    x = points(0)
    rows = Rows(x)
    found = selection.k_center(rows, 10, mesh=mesh)
    np.testing.assert_array_equal(found.indices, selection.k_center(x, 10).indices)
    assert rows.most <= -(-SIZE // 8)


def test_no_more_than_a_block_is_read_at_once(tmp_path):
    np.save(tmp_path / "x.npy", points(0))
    found = selection.k_center(data.open_rows(tmp_path / "x.npy"), 5)
    np.testing.assert_array_equal(
        found.indices, selection.k_center(points(0), 5).indices
    )
    rows = Rows(points(0))
    selection.k_center(rows, 5, candidates=4)
    assert rows.most <= 11


def test_bad_rows_are_named():
    x = points(0)
    x[70, 2] = np.inf
    with pytest.raises(ValueError, match="features: row 70 holds NaN or infinity"):
        selection.k_center(Rows(x), 3)
    x[70] = 0
    with pytest.raises(ValueError, match="points: row 70 is zero, expected a vector"):
        graph.nearest_neighbors(Rows(x), 3, metric="cosine")
    with pytest.raises(ValueError, match="rows of a file with objective='coverage'"):
        selection.prune4rel(
            Rows(points(0)), np.ones(SIZE), 2, objective="coverage", max_bytes=9
        )
