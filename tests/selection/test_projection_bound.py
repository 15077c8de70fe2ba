"""Excluding pairs by a projection never loses a neighbour, nor changes a pick."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustjax import selection
from robustjax.selection import _own_gain, _projection_bound

N, D = 400, 128


def features(seed, kind):
    rng = np.random.default_rng(seed)
    if kind == "clusters":
        points = rng.normal(size=(100, D))[rng.integers(100, size=N)]
        points += rng.uniform(0.05, 0.3, (N, 1)) * rng.normal(size=(N, D))
    elif kind == "low rank":
        points = rng.normal(size=(N, 9)) @ rng.normal(size=(9, D))
    else:
        points = np.abs(rng.normal(size=(N, D))) ** 3
    return points.astype(np.float32)


def unit(points):
    points = points.astype(np.float64)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def coarse_of(points, cosine):
    inverse = jnp.asarray(1 / np.linalg.norm(points, axis=1), jnp.float32)
    return _projection_bound.coarse_rows(jnp.asarray(points), inverse, cosine)


def found(coarse, picked, cosine):
    """The examples within reach, as the rule asks for them."""
    reach = _projection_bound.within_reach(coarse, picked, jnp.float32(cosine))
    rows = np.asarray(_projection_bound.members(reach, 0, N, N))
    count = int(reach.ends[-1])
    assert (rows[count:] == N).all()
    return rows[:count].tolist()


@pytest.fixture(autouse=True)
def _small_samples(monkeypatch):
    """So that few examples are enough."""
    monkeypatch.setattr(_projection_bound, "_SAMPLE", 200)
    monkeypatch.setattr(_projection_bound, "_TRIED", 8)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["clusters", "low rank", "positive"]),
    st.sampled_from([0.6, 0.9, 0.99]),
)
def test_no_neighbour_is_excluded(seed, kind, cosine):
    points = features(seed, kind)
    coarse = coarse_of(points, cosine)
    if coarse is None:
        return
    near = np.flatnonzero((unit(points) @ unit(points)[:8].T > cosine).any(axis=1))
    assert set(near) <= set(found(coarse, coarse[:8], cosine))


@pytest.mark.parametrize("size", [1, 63, 64, 65, 130, N])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.6, 1.0])
def test_members_are_those_within_reach_in_order(size, share):
    near = np.random.default_rng(size).random(size) < share
    held = np.pad(near, (0, -size % 64)).reshape(-1, 64)
    reach = _projection_bound.Reach(
        jnp.asarray(held), jnp.asarray(np.cumsum(held.sum(axis=1)), jnp.int32)
    )
    want = np.flatnonzero(near)
    for start in (0, 5, 64, size):
        got = np.asarray(_projection_bound.members(reach, start, 16, size))
        here = want[start : start + 16]
        np.testing.assert_array_equal(got[: len(here)], here)
        assert (got[len(here) :] == size).all()


def test_most_are_excluded_where_clusters_are_tight():
    coarse = coarse_of(features(0, "clusters"), 0.95)
    assert 8 <= len(found(coarse, coarse[:8], 0.95)) < N / 4


def test_rows_of_low_rank_need_few_numbers():
    assert coarse_of(features(0, "low rank"), 0.95).shape == (N, 16)


def test_no_projection_where_it_would_not_pay():
    assert coarse_of(features(0, "positive"), 0.1) is None
    assert coarse_of(features(0, "clusters")[:, :64], 0.95) is None
    assert coarse_of(features(0, "clusters")[:150], 0.95) is None


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("kind", ["clusters", "low rank"])
def test_picks_are_those_of_all_products(kind, labels, monkeypatch):
    points = features(3, kind)
    rng = np.random.default_rng(4)
    confidence = rng.beta(4, 1, N).astype(np.float32)
    classes = rng.integers(3, size=N) if labels else None

    def picked():
        return selection.prune4rel(
            points, confidence, 150, threshold=0.95, labels=classes
        )

    calls = []

    def counted(*arguments):
        calls.append(_projection_bound.coarse_rows(*arguments))
        return calls[-1]

    monkeypatch.setattr(_own_gain, "coarse_rows", counted)
    fast = picked()
    assert calls[0] is not None
    monkeypatch.setattr(_own_gain, "coarse_rows", lambda *_: None)
    plain = picked()
    np.testing.assert_array_equal(fast.indices, plain.indices)
    np.testing.assert_allclose(fast.gains, plain.gains, rtol=1e-6)
    np.testing.assert_allclose(fast.objective, plain.objective, rtol=1e-6)
