"""Facility location and log-determinants against plain NumPy, and their limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustjax import selection

N, D, Q, P, BUDGET = 140, 6, 9, 11, 15


def kernel(a, b, similarity="shifted"):
    a, b = (z.astype(np.float64) for z in (a, b))
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    return (1 + a @ b.T) / 2 if similarity == "shifted" else a @ b.T


def sets(seed):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, D)).astype(np.float32) for n in (N, Q, P)]


def cmi(s, q, p, chosen, eta=1.0, nu=1.0):
    """FLCMI of a chosen set as written; q = inf is FLCG."""
    best = s[:, chosen].max(axis=1, initial=0)
    return np.maximum(np.minimum(best, eta * q) - nu * p, 0).sum()


def naive(value, budget, size=N):
    """Plain greedy on a set function, ties to the lowest index."""
    chosen, gains = [], []
    for _ in range(budget):
        before = value(chosen)
        gain = [
            -np.inf if j in chosen else value([*chosen, j]) - before
            for j in range(size)
        ]
        chosen.append(int(np.argmax(gain)))
        gains.append(gain[chosen[-1]])
    return chosen, gains


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([(1.0, 0.8), (0.9, 0.5)]),
    st.sampled_from([0, 2**20]),
)
def test_cmi_equals_numpy(seed, weights, keep_bytes):
    eta, nu = weights
    pool, query, private = sets(seed)
    s = kernel(pool, pool)
    q, p = kernel(pool, query).max(axis=1), kernel(pool, private).max(axis=1)
    got = selection.facility_location_cmi(
        pool,
        query,
        private,
        BUDGET,
        eta=eta,
        nu=nu,
        candidates=8,
        keep_bytes=keep_bytes,
    )
    picks, gains = naive(lambda a: cmi(s, q, p, a, eta, nu), BUDGET)
    separate = np.asarray(gains) > 1e-4
    np.testing.assert_array_equal(got.indices[separate], np.array(picks)[separate])
    np.testing.assert_allclose(got.gains, gains, atol=1e-4)
    want = cmi(s, q, p, list(got.indices), eta, nu)
    np.testing.assert_allclose(got.objective, want, rtol=1e-4)
    assert (np.diff(got.gains) <= 1e-4).all()


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["shifted", "cosine"]),
    st.sampled_from([0, 2**20]),
)
def test_cg_equals_numpy(seed, similarity, keep_bytes):
    pool, _, private = sets(seed)
    s = kernel(pool, pool, similarity)
    p = np.maximum(kernel(pool, private, similarity).max(axis=1), 0)
    got = selection.facility_location_cg(
        pool,
        private,
        BUDGET,
        nu=0.7,
        similarity=similarity,
        candidates=8,
        keep_bytes=keep_bytes,
    )
    picks, gains = naive(lambda a: cmi(s, np.inf, p, a, 1.0, 0.7), BUDGET)
    np.testing.assert_array_equal(got.indices, picks)
    np.testing.assert_allclose(got.gains, gains, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.sampled_from([0, 2**20]),
)
def test_qmi_equals_numpy(seed, eta, keep_bytes):
    pool, query, _ = sets(seed)
    s = kernel(query, pool)

    def value(chosen):
        like = s[:, chosen].max(axis=0).sum() if chosen else 0.0
        return s[:, chosen].max(axis=1, initial=0).sum() + eta * like

    got = selection.facility_location_qmi(
        pool, query, BUDGET, eta=eta, candidates=8, keep_bytes=keep_bytes
    )
    picks, gains = naive(value, BUDGET)
    separate = np.asarray(gains) > 1e-5
    np.testing.assert_array_equal(got.indices[separate], np.array(picks)[separate])
    np.testing.assert_allclose(got.gains, gains, atol=1e-5)
    np.testing.assert_allclose(got.objective, value(list(got.indices)), rtol=1e-5)


def test_kept_gains_do_not_drift(rng):
    """The last of 400 picks are worth a thousandth of the first."""
    centres = 3 * rng.normal(size=(30, D))
    pool = (centres[rng.integers(30, size=600)] + rng.normal(size=(600, D))).astype(
        np.float32
    )
    s = kernel(pool, pool)
    got = selection.facility_location_cg(pool, None, 400)
    covered = np.zeros(600)
    for pick, gain in zip(got.indices, got.gains):
        gains = np.maximum(s - covered[:, None], 0).sum(axis=0)
        assert gains[pick] >= gains.max() * (1 - 1e-4) - 1e-5
        np.testing.assert_allclose(gain, gains[pick], rtol=1e-4, atol=1e-5)
        covered = np.maximum(covered, s[:, pick])
    assert got.gains[-1] < got.gains[0] / 1_000


def test_number_of_candidates_is_of_no_influence():
    pool, query, private = sets(0)
    one, many = (
        selection.facility_location_cmi(
            pool, query, private, BUDGET, nu=0.5, candidates=candidates, keep_bytes=0
        )
        for candidates in (1, 1000)
    )
    np.testing.assert_array_equal(one.indices, many.indices)


@pytest.mark.parametrize("similarity", ["shifted", "cosine"])
def test_bounds_leave_no_pick_out(rng, similarity):
    """Few candidates by their bounds pick what all of them do, copies included."""
    centres = 2 * rng.normal(size=(12, D))
    pool = centres[rng.integers(12, size=300)] + rng.normal(size=(300, D))
    pool = pool[rng.integers(300, size=500)].astype(np.float32)
    few, every = (
        selection.facility_location_cg(
            pool, None, 60, similarity=similarity, candidates=candidates, keep_bytes=0
        )
        for candidates in (4, 500)
    )
    np.testing.assert_array_equal(few.indices, every.indices)
    np.testing.assert_allclose(few.gains, every.gains, rtol=1e-5, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_monotone_submodular_and_cmi_at_most_cg(seed):
    pool, query, private = sets(seed)
    s = kernel(pool, pool)
    q, p = kernel(pool, query).max(axis=1), kernel(pool, private).max(axis=1)
    order = list(np.random.default_rng(seed).permutation(N)[:20])
    small, large, new = order[:4], order[:15], order[19]
    for high in (q, np.inf):
        values = [cmi(s, high, p, a) for a in (small, large)]
        more = [cmi(s, high, p, [*a, new]) for a in (small, large)]
        assert values[0] <= values[1] + 1e-12
        assert more[0] - values[0] >= more[1] - values[1] - 1e-12
        assert more[1] >= values[1] - 1e-12
    cmi_value = selection.facility_location_cmi(pool, query, private, 5).objective
    cg_value = selection.facility_location_cg(pool, private, 5).objective
    assert cmi_value <= cg_value + 1e-4


def test_nothing_to_gain_where_the_query_is_private():
    pool, query, private = sets(1)
    private = np.concatenate([private, query])
    got = selection.facility_location_cmi(pool, query, private, BUDGET, nu=1.2)
    assert got.objective == 0
    np.testing.assert_array_equal(got.indices, np.arange(BUDGET))
    # The same with equal weights, but for the rounding of two products.
    got = selection.facility_location_cmi(pool, query, private, BUDGET)
    assert got.objective < 1e-4
    assert len(set(got.indices)) == BUDGET


def test_everything_is_picked_without_private_examples():
    pool, query, _ = sets(2)
    seen = []
    got = selection.facility_location_cmi(
        pool[:30],
        query,
        None,
        30,
        candidates=7,
        on_progress=lambda made, total: seen.append((made, total)),
    )
    assert sorted(got.indices) == list(range(30))
    assert seen[-1] == (30, 30)
    # All are covered as far as the query set allows.
    want = kernel(pool[:30], query).max(axis=1).sum()
    np.testing.assert_allclose(got.objective, want, rtol=1e-5)


def test_factors_are_outer_products(rng):
    parts = [[rng.normal(size=(n, d)) for d in (3, 4)] for n in (N, Q, P)]
    outer = [
        np.einsum("ni,nj->nij", a, b).reshape(len(a), -1).astype(np.float32)
        for a, b in parts
    ]
    got = selection.facility_location_cmi(*map(tuple, parts), BUDGET, nu=0.6)
    want = selection.facility_location_cmi(*outer, BUDGET, nu=0.6)
    np.testing.assert_array_equal(got.indices, want.indices)


def log_det_value(pool, query, private, noise):
    """LogDetCMI as four log-determinants."""
    every = np.concatenate([pool, query, private])
    s = kernel(every, every) + noise * np.eye(len(every))
    q = list(range(N, N + Q))
    p = list(range(N + Q, N + Q + P))

    def f(rows):
        return np.linalg.slogdet(s[np.ix_(rows, rows)])[1]

    return lambda a: f(a + p) + f(q + p) - f(a + q + p) - f(p)


@pytest.mark.parametrize("seed", range(3))
def test_log_det_equals_numpy(seed):
    pool, query, private = sets(seed)
    value = log_det_value(pool, query, private, 0.5)
    got = selection.log_det_cmi(pool, query, private, 8, noise=0.5)
    picks, gains = naive(value, 8)
    np.testing.assert_array_equal(got.indices, picks)
    np.testing.assert_allclose(got.gains, gains, atol=1e-4)
    np.testing.assert_allclose(got.objective, value(picks), atol=1e-3)
    assert (got.gains >= 0).all()


def test_log_det_likes_the_query_and_not_the_private_set(rng):
    directions = np.eye(D)[:3]
    groups = rng.integers(3, size=N)
    pool = directions[groups] + 0.1 * rng.normal(size=(N, D))
    query, private = (directions[i] + 0.1 * rng.normal(size=(8, D)) for i in (0, 1))
    got = selection.log_det_cmi(pool, query, private, 10)
    assert (groups[got.indices] == 0).all()
    alone = selection.log_det_cmi(pool, private, None, 10)
    assert (groups[alone.indices] == 1).all()


FUNCTIONS = {
    "cmi": lambda a, q, p, b, **rest: selection.facility_location_cmi(
        a, q, p, b, **rest
    ),
    "qmi": lambda a, q, p, b, **rest: selection.facility_location_qmi(a, q, b, **rest),
    "log_det": lambda a, q, p, b, **rest: selection.log_det_cmi(a, q, p, b, **rest),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"b": 0}, "budget: got 0"),
        ({"b": 9}, "budget: got 9, expected at most the 8"),
        ({"a": np.zeros((8, 8))}, "pool.*: 8 row"),
        ({"q": np.full((2, 8), np.nan)}, "query.*: 2 row"),
        ({"q": np.ones((0, 8))}, "query: got no rows, expected at least one"),
        ({"p": np.ones((0, 8))}, "private: got no rows, expected at least one"),
        ({"p": np.ones((2, 7))}, "private: got rows of width .*7"),
        ({"q": np.ones((2, 7))}, "query: got rows of width .*7"),
    ],
)
def test_bad_features(name, arguments, message):
    if name == "qmi" and "p" in arguments:
        return  # It has no private set.
    given_ = {"a": np.eye(8), "q": np.ones((2, 8)), "p": np.ones((2, 8)), "b": 3}
    with pytest.raises(ValueError, match=message):
        FUNCTIONS[name](**{**given_, **arguments})


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("cmi", {"eta": -1.0}, "eta: got -1"),
        ("qmi", {"eta": -1.0}, "eta: got -1"),
        ("cmi", {"nu": np.inf}, "nu: got inf"),
        ("cmi", {"similarity": "dot"}, "similarity: unknown"),
        ("cmi", {"candidates": 0}, "candidates: got 0"),
        ("log_det", {"noise": 0.0}, "noise: got 0"),
        # All gains would be zero, and the picks the first ones.
        ("log_det", {"noise": 1e9}, "noise: got 1000000000.0, expected .*10000"),
    ],
)
def test_bad_numbers(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        FUNCTIONS[name](np.eye(8), np.ones((2, 8)), np.ones((2, 8)), 3, **arguments)
