"""Prune4ReL against plain NumPy loops in float64, its limits, and its errors."""

import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustjax import selection
from robustjax.selection import even_turns
from robustjax.selection._class_turns import authors_turns

N, D, CLASSES, BUDGET = 150, 4, 5, 60


def similarities(x, threshold, similarity="shifted"):
    x = x.astype(np.float64)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    s = x @ x.T
    s = (1 + s) / 2 if similarity == "shifted" else s
    return np.where(s > threshold, s, 0)


def log_cosh(x):
    return np.logaddexp(x, -x) - np.log(2)


def naive(kernel, confidence, budget, *, eta, objective, turns=None, labels=None):
    """One row of the kernel per pick, all gains each time; ties to the lowest."""
    c = confidence.astype(np.float64)
    nn = np.zeros(len(c))
    free = np.ones(len(c), bool)
    picks, gains = [], []
    for step in range(budget):
        if objective == "own":
            rank = (
                np.log(np.sinh(c / eta)) - log_cosh((nn + c) / eta) - log_cosh(nn / eta)
            )
        else:
            after = np.tanh((nn[:, None] + kernel * c[None]) / eta)
            rank = (after - np.tanh(nn / eta)[:, None]).sum(axis=0)
        may = free.copy()
        if turns is not None and step < len(turns):
            may &= labels == turns[step]
        i = int(np.argmax(np.where(may, rank, -np.inf)))
        picks.append(i)
        gains.append(np.exp(rank[i]) if objective == "own" else rank[i])
        nn = nn + kernel[:, i] * c[i]
        free[i] = False
    return picks, gains, np.tanh(nn / eta).sum()


def draw(seed, threshold):
    """Features without a pair on the threshold, and separated confidences."""
    rng = np.random.default_rng(seed)
    while True:
        x = rng.normal(size=(N, D)).astype(np.float32)
        s = similarities(x, -1)
        if np.abs(s - threshold).min() > 2e-6:
            break
    confidence = (rng.permutation(N) + 1) / N
    return x, confidence.astype(np.float32), rng.integers(CLASSES, size=N)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 3.0]))
def test_own_equals_numpy(seed, eta):
    x, confidence, _ = draw(seed, 0.9)
    got = selection.prune4rel(
        x, confidence, BUDGET, threshold=0.9, temperature=eta, candidates=16
    )
    kernel = similarities(x, 0.9)
    picks, gains, value = naive(kernel, confidence, BUDGET, eta=eta, objective="own")
    np.testing.assert_array_equal(got.indices, picks)
    np.testing.assert_allclose(got.gains, gains, rtol=1e-3)
    np.testing.assert_allclose(got.objective, value, rtol=1e-4)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["even", "authors"]))
def test_balanced_equals_numpy(seed, balance):
    x, confidence, labels = draw(seed, 0.9)
    # Fixed, skewed sizes: classes run out, and the shapes stay the same.
    labels = np.sort(labels)
    labels[:] = np.repeat(np.arange(CLASSES), [4, 9, 17, 50, 70])
    sizes = np.bincount(labels)
    turns = {"even": even_turns, "authors": authors_turns}[balance](sizes, BUDGET)
    got = selection.prune4rel(
        x,
        confidence,
        BUDGET,
        threshold=0.9,
        labels=labels,
        balance=balance,
        candidates=24,
    )
    picks, gains, _ = naive(
        similarities(x, 0.9),
        confidence,
        BUDGET,
        eta=1.0,
        objective="own",
        turns=turns,
        labels=labels,
    )
    np.testing.assert_array_equal(got.indices, picks)
    np.testing.assert_allclose(got.gains, gains, rtol=1e-3)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.7, 4.0]))
def test_coverage_equals_numpy(seed, eta):
    x, confidence, _ = draw(seed, 0.8)
    got = selection.prune4rel(
        x, confidence, 20, threshold=0.8, temperature=eta, objective="coverage"
    )
    kernel = similarities(x, 0.8)
    picks, gains, value = naive(kernel, confidence, 20, eta=eta, objective="coverage")
    np.testing.assert_array_equal(got.indices, picks)
    np.testing.assert_allclose(got.gains, gains, rtol=1e-4)
    np.testing.assert_allclose(got.objective, value, rtol=1e-5)
    np.testing.assert_allclose(got.gains.sum(), value, rtol=1e-4)
    assert (np.diff(got.gains) <= 1e-5).all()


def test_coverage_is_balanced_too():
    x, confidence, labels = draw(3, 0.8)
    turns = even_turns(np.bincount(labels), 20)
    got = selection.prune4rel(
        x, confidence, 20, threshold=0.8, objective="coverage", labels=labels
    )
    picks, _, _ = naive(
        similarities(x, 0.8),
        confidence,
        20,
        eta=1.0,
        objective="coverage",
        turns=turns,
        labels=labels,
    )
    np.testing.assert_array_equal(got.indices, picks)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_objective_is_monotone_and_submodular(seed):
    """Of the function that "coverage" maximises, which lazy evaluation needs."""
    x, confidence, _ = draw(seed, 0.8)
    kernel = similarities(x, 0.8)
    rng = np.random.default_rng(seed)

    def value(chosen):
        return np.tanh(kernel[:, chosen] @ confidence[chosen].astype(float)).sum()

    order = list(rng.permutation(N)[:30])
    small, large, new = order[:8], order[:25], order[29]
    assert value(large) >= value(small)
    gain_small = value([*small, new]) - value(small)
    gain_large = value([*large, new]) - value(large)
    assert gain_small >= gain_large - 1e-12
    assert gain_large >= 0


@pytest.mark.parametrize("seed", range(3))
def test_coverage_reaches_more_of_the_objective(seed):
    x, confidence, _ = draw(seed, 0.8)
    own, cover = (
        selection.prune4rel(x, confidence, 20, threshold=0.8, objective=objective)
        for objective in ("own", "coverage")
    )
    assert cover.objective > own.objective
    kernel = similarities(x, 0.8)
    _, _, reached = naive(kernel, confidence, 20, eta=1.0, objective="coverage")
    np.testing.assert_allclose(cover.objective, reached, rtol=1e-5)
    # The 20 largest gains left bound what any 20 examples could add (submodularity).
    level = kernel[:, cover.indices] @ confidence[cover.indices].astype(float)
    left = np.tanh(level[:, None] + kernel * confidence[None].astype(float))
    gains = np.sort((left - np.tanh(level)[:, None]).sum(axis=0))[-20:]
    assert cover.objective >= (1 - 1 / np.e) * (reached + gains.sum())


def test_coverage_keeps_its_guarantee_where_the_published_rule_does_not():
    """The best four of 16 by trying them all: hubs, not confident loners."""
    rng = np.random.default_rng(0)
    hubs = np.repeat(np.eye(8)[:4], 3, axis=0) + 1e-3 * rng.normal(size=(12, 8))
    x = np.concatenate([np.eye(8)[4:], hubs]).astype(np.float32)
    confidence = np.repeat(np.float32([1.0, 0.9]), [4, 12])
    kernel = similarities(x, 0.975)
    chosen = np.array(list(itertools.combinations(range(16), 4)))
    levels = (kernel * confidence.astype(float))[:, chosen].sum(axis=2)
    best = np.tanh(levels).sum(axis=0).max()
    np.testing.assert_allclose(best, 12 * np.tanh(0.9), rtol=1e-4)
    own, cover = (
        selection.prune4rel(x, confidence, 4, objective=objective)
        for objective in ("own", "coverage")
    )
    assert cover.objective >= (1 - 1 / np.e) * best
    assert own.objective < (1 - 1 / np.e) * best
    assert sorted(own.indices) == [0, 1, 2, 3]


def test_limits_are_selections_by_confidence():
    x, confidence, _ = draw(0, 0.9)
    best = np.argsort(-confidence)[:BUDGET]
    for limit in ({"threshold": 1.0}, {"temperature": 1e5}):
        for ranking in ("stable", "float32"):
            got = selection.prune4rel(
                x, confidence, BUDGET, ranking=ranking, candidates=16, **limit
            )
            np.testing.assert_array_equal(got.indices, best)


def test_shifted_similarity_is_cosine_with_another_threshold():
    x, confidence, _ = draw(1, 0.9)
    # The same neighbours, other weights: equal where confidences are all one.
    shifted, cosine = (
        selection.prune4rel(
            x, np.ones(N), 40, threshold=t, similarity=s, objective="coverage"
        )
        for t, s in ((0.9, "shifted"), (0.8, "cosine"))
    )
    assert shifted.indices[0] == cosine.indices[0]
    kernel = similarities(x, 0.8, "cosine")
    got = selection.prune4rel(
        x, confidence, BUDGET, threshold=0.8, similarity="cosine", candidates=16
    )
    picks, _, _ = naive(kernel, confidence, BUDGET, eta=1.0, objective="own")
    np.testing.assert_array_equal(got.indices, picks)


@pytest.mark.parametrize(("ranking", "copies"), [("stable", 15), ("float32", 4)])
def test_ties_go_to_the_lowest_index_or_by_key(ranking, copies):
    """Equal confidences and copies of rows, far apart from the others.

    The norms of these rows are rounded, as those of unit vectors are not. (More copies
    would leave gains of float32 at zero.)
    """
    groups = 15
    x = np.random.default_rng(0).normal(size=(groups, 64)).astype(np.float32)
    x = np.repeat(x, copies, axis=0)
    size, budget = len(x), groups * copies - 3
    arguments = {"threshold": 0.975, "ranking": ranking, "candidates": 16}
    got = selection.prune4rel(x, np.ones(size), budget, **arguments)
    # One of each group first, then the next of each from the start again.
    want = np.arange(size).reshape(groups, copies).T.ravel()[:budget]
    np.testing.assert_array_equal(got.indices, want)
    other = selection.prune4rel(
        x, np.ones(size), budget, key=jax.random.key(0), **arguments
    )
    assert sorted(other.indices[:groups] // copies) == list(range(groups))
    assert (other.indices[:groups] != want[:groups]).any()


def test_saturation_is_where_the_rankings_differ():
    """All are neighbours: float32 gains are soon zero, the exact ones are not."""
    rng = np.random.default_rng(0)
    x = np.ones((N, D)) + 1e-3 * rng.normal(size=(N, D))
    confidence = rng.permutation(np.linspace(0.5, 1, N))
    exact, rounded = (
        selection.prune4rel(x, confidence, BUDGET, ranking=ranking, candidates=16)
        for ranking in ("stable", "float32")
    )
    assert (exact.gains[:40] > 0).all()
    # In exact arithmetic the most confident are always worth most.
    best = np.argsort(-confidence)[:BUDGET]
    np.testing.assert_array_equal(exact.indices, best)
    # Zeros, and differences of the last digit that tanh happens to be off.
    assert (np.abs(rounded.gains[20:]) < 1e-6).all()
    assert (rounded.gains[20:] == 0).sum() > 20
    assert len(set(rounded.indices) & set(best)) < BUDGET - 5


def test_float32_ranking_equals_the_loop_in_float32():
    """Where rounding decides: the loop over single picks, with the same tanh."""
    x, confidence, _ = draw(2, 0.5)
    got = selection.prune4rel(
        x, confidence, BUDGET, threshold=0.5, ranking="float32", candidates=16
    )
    one = selection.prune4rel(
        x, confidence, BUDGET, threshold=0.5, ranking="float32", candidates=2
    )
    np.testing.assert_array_equal(got.indices, one.indices)
    assert (got.gains[-5:] < 1e-6).all()


def test_turns():
    np.testing.assert_array_equal(
        even_turns(np.array([1, 3, 0, 2]), 6), [0, 1, 3, 1, 3, 1]
    )
    # Turn 3 finds class 0 gone; place 3 mod 2 of the rest is class 2, which has given
    # one: not more than 1.5. Turn 4 is that of place 0.
    np.testing.assert_array_equal(
        authors_turns(np.array([1, 9, 9]), 5), [0, 1, 2, 2, 1]
    )
    # Class 1 is found gone at turn 8, when class 2 has given 4 > 1.5: balance ends.
    np.testing.assert_array_equal(
        authors_turns(np.array([1, 3, 9]), 12), [0, 1, 2, 2, 1, 2, 1, 2, 2]
    )


def test_balanced_counts_and_many_classes():
    """More classes than a round has picks; counts differ by one at most."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(30), 5))
    x = rng.normal(size=(N, D)).astype(np.float32)
    confidence = ((rng.permutation(N) + 1) / N).astype(np.float32)
    got = selection.prune4rel(
        x, confidence, 100, threshold=0.9, labels=labels, candidates=16
    )
    counts = np.bincount(labels[got.indices], minlength=30)
    assert counts.max() - counts.min() <= 1
    picks, _, _ = naive(
        similarities(x, 0.9),
        confidence,
        100,
        eta=1.0,
        objective="own",
        turns=even_turns(np.bincount(labels), 100),
        labels=labels,
    )
    np.testing.assert_array_equal(got.indices, picks)


@pytest.mark.parametrize("objective", ["own", "coverage"])
def test_everything_zero_confidence_and_progress(objective, rng):
    x = rng.normal(size=(40, D))
    confidence = np.where(np.arange(40) < 10, 0.0, 0.5)
    seen = []
    got = selection.prune4rel(
        x,
        confidence,
        40,
        threshold=0.9,
        objective=objective,
        candidates=8,
        on_progress=lambda made, total: seen.append((made, total)),
    )
    assert sorted(got.indices) == list(range(40))
    np.testing.assert_array_equal(got.indices[30:], np.arange(10))
    assert (got.gains[30:] == 0).all()
    assert seen[-1] == (40, 40)


def test_estimate(rng):
    x = rng.normal(size=(N, D)).astype(np.float32)
    got = selection.prune4rel_estimate(
        x, np.linspace(0.1, 1, N), 100, threshold=0.9, candidates=16
    )
    assert 0 < got.seconds < 60
    assert got.bytes > x.nbytes
    # A million examples of 512 numbers are well within 8 GB.
    assert 2e9 < selection.prune4rel_bytes(1_000_000, 512) < 4e9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"objective": "covrage"}, r"objective: unknown 'covrage' \(did you mean"),
        ({"similarity": "dot"}, "similarity: unknown"),
        ({"ranking": "half"}, "ranking: unknown"),
        ({"balance": "odd"}, "balance: unknown"),
        ({"budget": 0}, "budget: got 0"),
        ({"budget": 9}, "budget: got 9, expected at most the 8"),
        ({"threshold": 1.5}, "threshold: got 1.5"),
        ({"temperature": 0.0}, "temperature: got 0"),
        ({"temperature": 1e-20}, "temperature: got 1e-20 for confidences up to"),
        ({"temperature": np.inf}, "temperature: got inf for confidences up to"),
        ({"confidence": np.full(8, -0.1)}, "confidence: got -0.1 at row 0"),
        ({"confidence": np.full(8, np.nan)}, "confidence: 8 row"),
        ({"confidence": np.ones(7)}, "features: lengths differ"),
        ({"features": np.eye(8) * (np.arange(8) != 3)}, "features: 1 row.*row 3"),
        ({"features": np.full((8, 8), np.inf)}, "features: 8 row"),
        ({"labels": np.full(8, -1)}, "labels: 8 label"),
        ({"labels": np.ones(7, int)}, "features: lengths differ"),
        ({"objective": "coverage", "max_bytes": 8}, "max_bytes: 8 of 8 examples"),
    ],
)
def test_bad_arguments(arguments, message):
    arguments = {
        "features": np.eye(8),
        "confidence": np.ones(8),
        "budget": 3,
        **arguments,
    }
    with pytest.raises(ValueError, match=message):
        selection.prune4rel(**arguments)
