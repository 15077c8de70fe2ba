"""Selections and neighbours on many devices are those of one."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType

from robustjax import graph, selection

SIZE = 101  # No multiple of the devices.


def devices(count, kind=AxisType.Auto):
    return jax.make_mesh(
        (count,), ("data",), axis_types=(kind,), devices=jax.devices()[:count]
    )


def points(seed, size):
    """Small integers: products are exact in whatever order they are added."""
    rng = np.random.default_rng(seed)
    return rng.integers(-8, 9, size=(size, 6)).astype(np.float32) + 0.5


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


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["euclidean", "cosine"]))
def test_nearest_neighbors(seed, metric):
    x = points(seed, SIZE)
    one = graph.nearest_neighbors(x, 7, metric=metric, block_rows=9)
    many = graph.nearest_neighbors(x, 7, metric=metric, block_rows=9, mesh=devices(8))
    np.testing.assert_array_equal(many.indices, one.indices)
    np.testing.assert_array_equal(many.distances, one.distances)


def test_everything_can_be_picked_although_copies_fill_up():
    got = selection.k_center(points(0, 13), 13, mesh=devices(8))
    assert sorted(got.indices) == list(range(13))


def test_bad_meshes():
    with pytest.raises(ValueError, match="mesh: got axes .*Explicit.*, expected one"):
        selection.k_center(points(0, 16), 2, mesh=devices(8, AxisType.Explicit))
    two = jax.make_mesh((4, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
    with pytest.raises(ValueError, match=r"mesh: got axes \('a', 'b'\)"):
        graph.nearest_neighbors(points(0, 16), 2, mesh=two)
    with pytest.raises(ValueError, match="mesh: got one with objective 'coverage'"):
        selection.prune4rel(
            points(0, 16), np.ones(16), 2, objective="coverage", mesh=devices(8)
        )
