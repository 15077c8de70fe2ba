"""Rows that devices hold in parts are used where they lie: the picks of one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from robustjax import graph, selection
from robustjax.sharded_rows import ShardedRows, placed
from tests.selection.test_over_devices import (
    check_covered_alike,
    check_k_means,
    devices,
    points,
)

SIZE = 104


def sharded(array, order=slice(None), kind=AxisType.Auto):
    """As a jitted forward pass leaves it: a part of the rows on every device."""
    mesh = Mesh(np.array(jax.devices())[order], ("rows",), axis_types=(kind,))
    return jax.device_put(array, NamedSharding(mesh, PartitionSpec("rows")))


def tied(seed):
    """Few distances, sums that are exact in any order, and copies in several parts."""
    found = points(seed, SIZE)
    found[[SIZE // 2, SIZE - 1]] = found[3]
    found[[SIZE // 2 + 1, SIZE - 2]] = -found[3]
    return found


ORDERS = st.sampled_from([slice(None), slice(None, None, -1)])


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32 - 1), ORDERS)
def test_k_center(seed, order):
    x = tied(seed)
    one, many = (selection.k_center(rows, 20) for rows in (x, sharded(x, order)))
    np.testing.assert_array_equal(many.indices, one.indices)
    np.testing.assert_allclose(many.gains, one.gains, rtol=1e-6)
    np.testing.assert_allclose(many.objective, one.objective, rtol=1e-6)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["euclidean", "cosine"]), ORDERS)
def test_nearest_neighbors(seed, metric, order):
    x = tied(seed)
    asked = {"metric": metric, "block_rows": 9}
    one, many = (
        graph.nearest_neighbors(rows, 7, **asked) for rows in (x, sharded(x, order))
    )
    np.testing.assert_array_equal(many.indices, one.indices)
    np.testing.assert_array_equal(many.distances, one.distances)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["own", "coverage"]))
def test_prune4rel(seed, objective):
    x = tied(seed)
    confidence = np.random.default_rng(seed).integers(1, 16, SIZE) / np.float32(16)
    one, many = (
        selection.prune4rel(rows, sure, 25, threshold=0.8, objective=objective)
        for rows, sure in ((x, confidence), (sharded(x), sharded(confidence)))
    )
    np.testing.assert_array_equal(many.indices, one.indices)
    np.testing.assert_allclose(many.gains, one.gains, rtol=1e-5)


@settings(max_examples=6, deadline=None)
@given(
    st.integers(0, 2**31 - 1), st.sampled_from([("euclidean", 60), ("cosine", SIZE)])
)
def test_k_means(seed, how):
    check_k_means(seed, how, SIZE, sharded)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_neighborhood_confidence(seed):
    x, rng = tied(seed), np.random.default_rng(seed)
    confidence, subset = rng.uniform(size=SIZE), rng.permutation(SIZE)[:30]
    one, many = (
        selection.neighborhood_confidence(rows, confidence, subset, threshold=0.7)
        for rows in (x, sharded(x))
    )
    np.testing.assert_allclose(many, one, rtol=1e-6)


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["cmi", "cg", "factors", "qmi"]))
def test_facility_location(seed, kind):
    rng = np.random.default_rng(seed)
    pool, asked, hidden = (
        rng.normal(size=(n, 6)).astype(np.float32) for n in (SIZE, 16, 5)
    )

    def picked(pool, asked, **more):
        if kind == "cmi":
            call = selection.facility_location_cmi
            # Examples that are nothing like the query take no part.
            return call(pool, asked, hidden, 15, candidates=8, **more)
        if kind == "qmi":
            call = selection.facility_location_qmi
            return call(pool, asked, 15, candidates=8, **more)
        if kind == "factors":
            pool = (pool, np.abs(hidden[np.arange(SIZE) % 5]))
        call = selection.facility_location_cg
        return call(pool, None, 15, candidates=8, **more)

    one = picked(pool, asked, keep_bytes=0)
    many = picked(sharded(pool), sharded(asked))
    check_covered_alike(many, one)


def test_pruning_methods():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), size=SIZE).astype(np.float32)
    labels = rng.integers(3, size=SIZE)
    for method in ("k_center", "prune4rel", "moderate"):
        one, many = (
            selection.select(rows, sure, given, 0.2, method, balance="none")
            for rows, sure, given in (
                (tied(0), probabilities, labels),
                (sharded(tied(0)), sharded(probabilities), sharded(labels)),
            )
        )
        np.testing.assert_array_equal(many.indices, one.indices)


@pytest.mark.parametrize("storage", ["bfloat16", "float16"])
def test_narrow_storage(storage):
    x = tied(1) + np.float32(0.3) * tied(2)
    for call in (graph.nearest_neighbors, selection.k_center):
        one, many = (call(rows, 7, storage=storage) for rows in (x, sharded(x)))
        np.testing.assert_array_equal(many.indices, one.indices)


def test_parts_stay_where_they_are():
    x = tied(0)
    for array in (sharded(x), sharded(x, kind=AxisType.Explicit)):
        place, rows = placed("features", array, None)
        assert isinstance(rows, ShardedRows)
        assert place.devices == 8
        before, after = (
            {part.device: part.data.unsafe_buffer_pointer() for part in parts}
            for parts in (array.addressable_shards, rows.array.addressable_shards)
        )
        assert before == after
    again = placed("features", sharded(x), devices(8))[1]
    assert again.array.sharding.mesh == devices(8)


@pytest.mark.parametrize("call", [selection.k_center, graph.nearest_neighbors])
def test_no_rows_pass_through_the_host(call, monkeypatch):
    brought, sent = [], []
    read, put = ShardedRows.__getitem__, jax.make_array_from_callback

    def noted(rows, which):
        brought.append(len(found := read(rows, which)))
        return found

    def noted_put(shape, *rest, **more):
        sent.append(shape)
        return put(shape, *rest, **more)

    # Distances that float32 tells apart: what it cannot is looked up again.
    x = np.random.default_rng(0).normal(size=(SIZE, 6)).astype(np.float32)
    rows = sharded(x)
    monkeypatch.setattr(ShardedRows, "__getitem__", noted)
    monkeypatch.setattr(jax, "make_array_from_callback", noted_put)
    found = call(rows, 3)
    monkeypatch.undo()
    # The first row is what is taken from all.
    assert sum(brought) <= 2
    assert all(len(shape) < 2 for shape in sent)
    np.testing.assert_array_equal(found[0], call(x, 3)[0])


def test_rows_that_several_devices_hold():
    x = tied(0)
    two = jax.make_mesh((4, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
    one = selection.k_center(x, 20)
    for spec in (PartitionSpec("a"), PartitionSpec(("b", "a"))):
        array = jax.device_put(x, NamedSharding(two, spec))
        np.testing.assert_array_equal(
            selection.k_center(array, 20).indices, one.indices
        )
    odd = jax.device_put(x[:20], NamedSharding(two, PartitionSpec("a")))
    with pytest.raises(ValueError, match="features: got parts of 5 rows that 2 device"):
        selection.k_center(odd, 2)


def test_other_divisions():
    x = np.tile(tied(0), (1, 4))
    columns = jax.device_put(x, NamedSharding(devices(8), PartitionSpec(None, "data")))
    everywhere = jax.device_put(x, NamedSharding(devices(8), PartitionSpec()))
    for array in (columns, everywhere):
        assert placed("points", array, None)[1] is array
    # All of it is within reach of the host.
    one, many = (graph.nearest_neighbors(rows, 3) for rows in (x, columns))
    np.testing.assert_array_equal(many.indices, one.indices)
    for mesh in (devices(4), Mesh(devices(8).devices[::-1], ("data",))):
        with pytest.raises(ValueError, match=r"mesh: got devices \[.*\], expected tho"):
            graph.nearest_neighbors(sharded(x), 3, mesh=mesh)


def test_rows_that_cannot_be():
    for value, call, message in (
        (np.nan, graph.nearest_neighbors, "points: row 90 holds NaN or infinity, exp"),
        (np.inf, selection.k_center, "features: row 90 holds NaN or infinity, expect"),
    ):
        x = tied(0)
        x[90, 2] = value
        with pytest.raises(ValueError, match=message):
            call(sharded(x), 3)
    x = tied(0)
    x[[40, 99]] = -0.0
    with pytest.raises(ValueError, match="features: row 40 is zero, expected a vector"):
        selection.prune4rel(sharded(x), np.ones(SIZE), 3)
    with pytest.raises(ValueError, match="features: got complex64, expected integers"):
        selection.k_center(sharded(x).astype(jnp.complex64), 3)
