"""Selections and neighbours on many devices are those of one."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType

from robustjax import graph, selection
from robustjax import storage as stored
from tests.scores.test_issues_by_blocks import Rows

SIZE = 102  # No multiple of the devices.


def devices(count, kind=AxisType.Auto):
    return jax.make_mesh(
        (count,), ("data",), axis_types=(kind,), devices=jax.devices()[:count]
    )


def points(seed, size):
    """Sums of few bits, and a mean of 0: exact in whatever order they are added."""
    rng = np.random.default_rng(seed)
    half = rng.integers(-8, 9, size=(-(-size // 2), 6)).astype(np.float32) + 0.5
    return rng.permutation(np.concatenate([half, -half]))[:size]


def check_covered_alike(many, one):
    """Of sums in another order, which may swap picks that gain the same."""
    np.testing.assert_allclose(many.gains, one.gains, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(many.objective, one.objective, rtol=1e-5)
    apart = np.abs(np.diff(one.gains, append=-1)) > 1e-5 * one.gains[0]
    sure = int(np.argmin(apart)) if not apart.all() else len(apart)
    np.testing.assert_array_equal(many.indices[:sure], one.indices[:sure])


def check_k_means(seed, how, size, held=lambda x: x, **where):
    # No ties: a point between two centres would go to either.
    x = np.random.default_rng(seed).normal(size=(size, 6)).astype(np.float32)
    metric, sample = how
    one, many = (
        selection.prototype_distances(
            rows, 5, jax.random.key(seed), metric=metric, sample=sample, **lies
        )
        for rows, lies in ((x, {}), (held(x), where))
    )
    np.testing.assert_allclose(many, one, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_k_center(seed):
    x = points(seed, SIZE)
    initial = [3, 11] if seed % 2 else None
    one = selection.k_center(x, 20, initial=initial)
    many = selection.k_center(x, 20, initial=initial, mesh=devices(8))
    np.testing.assert_array_equal(many.indices, one.indices)
    np.testing.assert_allclose(many.gains, one.gains, rtol=1e-6)
    np.testing.assert_allclose(many.objective, one.objective, rtol=1e-6)


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_prune4rel(seed, by_class):
    rng = np.random.default_rng(seed)
    confidence = rng.integers(1, 16, SIZE) / 16.0
    labels = rng.integers(3, size=SIZE) if by_class else None

    def picked(**where):
        return selection.prune4rel(
            points(seed, SIZE), confidence, 25, threshold=0.8, labels=labels, **where
        )

    one, many = picked(), picked(mesh=devices(8))
    np.testing.assert_array_equal(many.indices, one.indices)
    np.testing.assert_allclose(many.gains, one.gains, rtol=1e-5)
    np.testing.assert_allclose(many.objective, one.objective, rtol=1e-6)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_prune4rel_by_coverage(seed):
    x = points(seed, SIZE)
    confidence = np.random.default_rng(seed).integers(1, 16, SIZE) / 16.0

    def picked(**where):
        return selection.prune4rel(
            x, confidence, 25, threshold=0.8, objective="coverage", **where
        )

    one, many = picked(), picked(mesh=devices(8))
    np.testing.assert_array_equal(many.indices, one.indices)
    np.testing.assert_allclose(many.gains, one.gains, rtol=1e-6)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["cmi", "cg", "qmi"]))
def test_facility_location(seed, kind):
    rng = np.random.default_rng(seed)
    pool, asked, hidden = (rng.normal(size=(n, 6)) for n in (SIZE, 9, 5))

    def picked(**more):
        if kind == "cmi":
            call = selection.facility_location_cmi
            return call(pool, asked, hidden, 15, candidates=8, **more)
        if kind == "qmi":
            call = selection.facility_location_qmi
            return call(pool, asked, 15, candidates=8, **more)
        call = selection.facility_location_cg
        return call(pool, None, 15, candidates=8, **more)

    one, many = picked(keep_bytes=0), picked(mesh=devices(8))
    check_covered_alike(many, one)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(
    st.integers(0, 2**31 - 1), st.sampled_from([("euclidean", 60), ("cosine", SIZE)])
)
def test_k_means(seed, how):
    check_k_means(seed, how, SIZE, mesh=devices(8))


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_neighborhood_confidence(seed):
    x, rng = points(seed, SIZE), np.random.default_rng(seed)
    confidence, subset = rng.uniform(size=SIZE), rng.permutation(SIZE)[:30]
    one, many = (
        selection.neighborhood_confidence(x, confidence, subset, threshold=0.7, **where)
        for where in ({}, {"mesh": devices(8)})
    )
    np.testing.assert_allclose(many, one, rtol=1e-6)


@pytest.mark.slow
def test_pruning_methods_share_their_work():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), size=SIZE)
    for method in ("k_center", "ssp", "prune4rel"):
        one, many = (
            selection.select(
                points(0, SIZE),
                probabilities,
                None,
                0.2,
                method,
                key=jax.random.key(0),
                **where,
            )
            for where in ({}, {"mesh": devices(8)})
        )
        np.testing.assert_array_equal(many.indices, one.indices)


def test_each_device_gets_its_rows_from_the_host_and_no_others(monkeypatch):
    sent = []
    put = jax.make_array_from_callback

    def noted(shape, sharding, part, **more):
        def one(at):
            found = part(at)
            sent.append(found.shape)
            return found

        return put(shape, sharding, one, **more)

    monkeypatch.setattr(jax, "make_array_from_callback", noted)
    monkeypatch.setattr(jax, "device_put", None)
    selection.k_center(points(0, SIZE), 3, mesh=devices(8))
    assert {shape for shape in sent if len(shape) == 2} == {(13, 6)}


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["euclidean", "cosine"]))
def test_nearest_neighbors(seed, metric):
    x = points(seed, SIZE)
    one = graph.nearest_neighbors(x, 7, metric=metric, block_rows=9)
    many = graph.nearest_neighbors(x, 7, metric=metric, block_rows=9, mesh=devices(8))
    np.testing.assert_array_equal(many.indices, one.indices)
    np.testing.assert_array_equal(many.distances, one.distances)


@pytest.mark.parametrize("storage", ["bfloat16", "float16"])
def test_narrow_storage(storage, monkeypatch):
    monkeypatch.setattr(stored, "_BLOCK_NUMBERS", 30)  # Five rows: a device has more.
    x = np.random.default_rng(0).normal(size=(SIZE, 6))
    for call in (
        lambda **where: graph.nearest_neighbors(x, 7, storage=storage, **where),
        lambda **where: selection.k_center(x, 20, storage=storage, **where),
    ):
        one, many = call(), call(mesh=devices(8))
        np.testing.assert_array_equal(many.indices, one.indices)
    read = selection.k_center(Rows(x), 20, storage=storage, mesh=devices(8))
    np.testing.assert_array_equal(read.indices, one.indices)
    np.testing.assert_allclose(read.gains, one.gains, rtol=1e-5)


def test_everything_can_be_picked_although_copies_fill_up():
    got = selection.k_center(points(0, 13), 13, mesh=devices(8))
    assert sorted(got.indices) == list(range(13))


def test_bad_meshes():
    with pytest.raises(ValueError, match="mesh: got axes .*Explicit.*, expected one"):
        selection.k_center(points(0, 16), 2, mesh=devices(8, AxisType.Explicit))
    two = jax.make_mesh((4, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
    with pytest.raises(ValueError, match=r"mesh: got axes \('a', 'b'\)"):
        graph.nearest_neighbors(points(0, 16), 2, mesh=two)
    with pytest.raises(ValueError, match="mesh: got one with method='margin', expec"):
        selection.select(
            None, np.full((16, 2), 0.5), None, 0.5, "margin", mesh=devices(8)
        )
