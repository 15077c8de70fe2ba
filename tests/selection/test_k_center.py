"""k-center against plain NumPy, its guarantees, and its errors."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustjax import selection

N, D, BUDGET = 150, 5, 30
INITIAL = 7


def naive(x, budget, chosen, first=None):
    """Farthest-first in float64, a row of distances per pick; ties to the lowest."""
    x = x.astype(np.float64)
    nearest = np.full(len(x), np.inf)
    taken = np.zeros(len(x), bool)

    def add(i):
        nonlocal nearest
        nearest = np.minimum(nearest, np.sqrt(((x - x[i]) ** 2).sum(axis=1)))
        taken[i] = True

    for i in chosen:
        add(i)
    picks, gains = [], []
    while len(picks) < budget:
        i = int(np.argmax(np.where(taken, -1, nearest))) if picks or chosen else first
        picks.append(i)
        gains.append(nearest[i])
        add(i)
    return picks, gains, nearest.max()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_equals_numpy(seed, clustered):
    """Of whole numbers around 0, float32 makes exact distances: ties are the same."""
    rng = np.random.default_rng(seed)
    x = 10 * rng.normal(size=(N // 2, D))
    if clustered:
        # Clusters far apart and tight: the candidates of a round are soon covered.
        x = 5 * x[rng.integers(6, size=N // 2)] + 2 * rng.normal(size=(N // 2, D))
    x = np.round(np.concatenate([x, -x])).astype(np.float32)
    got = selection.k_center(x, BUDGET, candidates=16)
    picks, gains, radius = naive(x, BUDGET, [], first=0)
    np.testing.assert_array_equal(got.indices, picks)
    np.testing.assert_allclose(got.gains, gains, rtol=1e-3)
    np.testing.assert_allclose(got.objective, radius, rtol=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_equals_numpy_after_initial_examples(seed):
    rng = np.random.default_rng(seed)
    x = np.round(10 * rng.normal(size=(N // 2, D))).astype(np.float32)
    x = np.concatenate([x, -x])
    initial = rng.choice(N, INITIAL, replace=False)
    got = selection.k_center(x, BUDGET, initial=initial, candidates=16)
    picks, gains, radius = naive(x, BUDGET, list(initial))
    np.testing.assert_array_equal(got.indices, picks)
    np.testing.assert_allclose(got.gains, gains, rtol=1e-3)
    np.testing.assert_allclose(got.objective, radius, rtol=1e-3)
    assert not set(got.indices) & set(initial)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_ties_go_to_the_lowest_index(seed):
    """Few distinct points: ties abound."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, size=(N // 2, 2)).astype(np.float32)
    x = rng.permutation(np.concatenate([x, -x]))
    got = selection.k_center(x, BUDGET, candidates=16)
    np.testing.assert_array_equal(got.indices, naive(x, BUDGET, [], first=0)[0])


def test_radius_never_increases_and_is_at_most_twice_the_best(rng):
    centres = 50 * rng.normal(size=(5, D))
    x = np.concatenate([c + rng.uniform(-1, 1, size=(30, D)) for c in centres])
    got = selection.k_center(x, 40, candidates=32)
    assert got.gains[0] == np.inf
    assert (np.diff(got.gains[1:]) <= 0).all()
    assert got.objective <= got.gains[-1]
    # Five balls around the centres have this radius; five picks do at most twice it.
    best = max(
        np.linalg.norm(x[30 * i : 30 * (i + 1)] - c, axis=1).max()
        for i, c in enumerate(centres)
    )
    assert selection.k_center(x, 5, candidates=32).objective <= 2 * best


def test_number_of_candidates_progress_and_key(rng):
    x = rng.normal(size=(N, D)).astype(np.float32)
    seen = []
    want = selection.k_center(x, BUDGET, candidates=16)
    for candidates in (2, 256):
        got = selection.k_center(
            x,
            BUDGET,
            candidates=candidates,
            on_progress=lambda made, total: seen.append((made, total)),
        )
        np.testing.assert_array_equal(got.indices, want.indices)
    assert seen[-1] == (BUDGET, BUDGET)
    assert len(seen) > 10
    firsts = {
        int(selection.k_center(x, 1, key=jax.random.key(i)).indices[0])
        for i in range(8)
    }
    assert len(firsts) > 4


def test_everything_is_picked(rng):
    x = np.concatenate([rng.normal(size=(20, D)), np.ones((10, D))])
    got = selection.k_center(x, 30, candidates=8)
    assert sorted(got.indices) == list(range(30))
    assert got.objective == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": 0}, "budget: got 0"),
        ({"budget": 11}, "budget: got 11, expected at most the 10"),
        ({"initial": [0, 1], "budget": 9}, "budget: got 9, expected at most the 8"),
        ({"initial": [0, 10]}, "initial: 1 label"),
        ({"initial": [3, 3]}, "initial: got an index twice"),
        ({"features": np.full((10, 2), np.nan)}, "features: 10 row"),
        ({"features": np.ones(10)}, "features: got shape"),
        ({"candidates": 1}, "candidates: got 1"),
    ],
)
def test_bad_arguments(arguments, message):
    arguments = {"features": np.eye(10), "budget": 3, **arguments}
    with pytest.raises(ValueError, match=message):
        selection.k_center(**arguments)
