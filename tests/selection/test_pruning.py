"""Data pruning by every method against plain NumPy; properties, and errors."""

import jax
import numpy as np
import pytest

from robustjax import selection
from robustjax.selection._coverage_centric import stratum_budgets
from robustjax.selection._ranking import middle_scores
from tests.selection.pruning_problem import KEY, C, N, chosen, first, problem

METHODS = tuple(selection.PRUNING_METHODS)


# Where a smaller selection is the beginning of a larger one by sorting.
RANKED = ("uniform", "small_loss", "margin", "forgetting", "grand", "el2n", "moderate")


@pytest.fixture(scope="module")
def given():
    return problem()


@pytest.fixture(scope="module")
def recorded():
    rng = np.random.default_rng(4)
    return {"forgetting": rng.integers(0, 5, N), "learned": rng.uniform(size=N) < 0.9}


def error_norms(given):
    p = given["probabilities"].astype(np.float64)
    return np.linalg.norm(p - np.eye(C)[given["labels"]], axis=1)


def naive_scores(given, method):
    """Large for what is kept, and the gains."""
    p = given["probabilities"].astype(np.float64)
    own = p[np.arange(N), given["labels"]]
    top = np.sort(p, axis=1)
    if method == "small_loss":
        return np.log(own), -np.log(own)
    if method == "margin":
        return top[:, -2] - top[:, -1], top[:, -1] - top[:, -2]
    error = error_norms(given)
    if method == "grand":
        length = (given["features"].astype(np.float64) ** 2).sum(1)
        error = error * np.sqrt(1 + length)
    return error, error


@pytest.mark.parametrize("method", ["small_loss", "margin", "el2n", "grand"])
def test_scores_of_predictions(given, method):
    got = chosen(given, method)
    order, gains = naive_scores(given, method)
    np.testing.assert_array_equal(got.indices, first(order, 15))
    np.testing.assert_allclose(got.gains, gains[got.indices], rtol=1e-5)
    np.testing.assert_allclose(got.objective, gains[got.indices].sum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("method", "name", "sign"),
    [("small_loss", "losses", -1), ("el2n", "el2n", 1), ("grand", "grand", 1)],
)
def test_recorded_scores_win_over_computed_ones(given, rng, method, name, sign):
    values = rng.permutation(N).astype(np.float32)
    got = chosen(given, method, **{name: values})
    np.testing.assert_array_equal(got.indices, first(sign * values, 15))
    np.testing.assert_array_equal(got.gains, values[got.indices])


def test_losses_of_impossible_labels_are_finite(given):
    p = np.eye(C)[(given["labels"] + 1) % C]
    got = chosen(given | {"probabilities": p}, "small_loss")
    assert np.isfinite(got.gains).all()


def test_forgetting_is_per_class(given, recorded):
    """Every class gives its rounded share, its most forgotten examples."""
    got = chosen(given, "forgetting", **recorded)
    labels = given["labels"]
    np.testing.assert_array_equal(np.bincount(labels[got.indices]), [2, 4, 9])
    top = recorded["forgetting"].max() + 1
    score = np.where(recorded["learned"], recorded["forgetting"], top)
    for label in range(C):
        own = got.indices[labels[got.indices] == label]
        wanted = first(np.where(labels == label, score, -1), len(own))
        np.testing.assert_array_equal(own, wanted)
    np.testing.assert_array_equal(got.gains, score[got.indices])
    # As in the published comparison: never learned, never forgotten.
    events = np.where(recorded["learned"], recorded["forgetting"], 0)
    got = chosen(
        given, "forgetting", forgetting=events, never_learned="least", balance="none"
    )
    np.testing.assert_array_equal(got.indices, first(events, 15))


@pytest.mark.parametrize("fraction", [0.25, 0.4, 1.0])
def test_moderate_is_the_middle(given, fraction):
    got = chosen(given, "moderate", fraction)
    f, y = given["features"], given["labels"]
    medians = np.stack([np.median(f[y == label], axis=0) for label in range(C)])
    distance = np.linalg.norm(f - medians[y], axis=1)
    cut = (N - len(got.indices)) / 2
    middle = np.argsort(distance)[int(np.floor(cut)) : N - int(np.ceil(cut))]
    if cut != int(cut):
        # One more on one side; the middle is the same up to it.
        assert len(set(got.indices) ^ set(middle)) in (0, 2)
    else:
        assert set(got.indices) == set(middle)
    np.testing.assert_allclose(got.gains, distance[got.indices], rtol=1e-5)


def test_middle_scores_are_symmetric(rng):
    values = rng.normal(size=11)
    score = middle_scores(values)
    np.testing.assert_array_equal(score, middle_scores(-values))
    assert values[np.argmax(score)] == np.median(values)
    assert sorted(score) == sorted([0, *([-2, -4, -6, -8, -10] * 2)])
    labels = np.arange(11) % 2
    per_class = middle_scores(values, labels=labels)
    np.testing.assert_array_equal(per_class[::2], middle_scores(values[::2]))
    np.testing.assert_array_equal(per_class[1::2], middle_scores(values[1::2]))


def naive_strata(hardness, budget, strata, cutoff):
    """How many examples of which stratum, by Algorithm 1 of the paper."""
    kept = np.sort(hardness)[: len(hardness) - int(cutoff * len(hardness))]
    edges = np.linspace(kept[0], kept[-1], strata + 1)
    sizes = np.histogram(kept, edges)[0]
    left, remaining = budget, dict(enumerate(sizes))
    budgets = np.zeros(strata, int)
    while remaining:
        smallest = min(remaining, key=lambda k: (remaining[k], k))
        share = left // len(remaining)
        budgets[smallest] = min(remaining.pop(smallest), share)
        left -= budgets[smallest]
    return edges, budgets


@pytest.mark.parametrize(("fraction", "cutoff"), [(0.3, 0.1), (0.5, 0.4), (0.6, 0.0)])
def test_ccs_counts_of_strata(given, rng, fraction, cutoff):
    hardness = rng.gamma(2, size=N)
    got = chosen(
        given, "ccs", fraction, key=KEY, hardness=hardness, strata=7, hard_cutoff=cutoff
    )
    edges, budgets = naive_strata(hardness, len(got.indices), 7, cutoff)
    picked = hardness[got.indices]
    assert len(set(got.indices)) == len(got.indices) == budgets.sum()
    np.testing.assert_array_equal(np.histogram(picked, edges)[0], budgets)
    assert picked.max() <= edges[-1]
    # One of every stratum before the second of any.
    stratum = np.minimum(np.searchsorted(edges, picked, "right") - 1, 6)
    there = np.flatnonzero(budgets)
    np.testing.assert_array_equal(stratum[: len(there)], there)
    other = chosen(
        given,
        "ccs",
        fraction,
        key=jax.random.key(1),
        hardness=hardness,
        strata=7,
        hard_cutoff=cutoff,
    )
    assert set(other.indices) != set(got.indices)


def test_ccs_of_equal_scores_and_by_default(given):
    got = chosen(given, "ccs", 0.9, key=KEY, hardness=np.ones(N))
    assert len(set(got.indices)) == 54
    got = chosen(given, "ccs", key=KEY)
    error = error_norms(given)
    assert error[got.indices].max() <= np.sort(error)[53] + 1e-6
    np.testing.assert_array_equal(stratum_budgets(np.array([9, 0, 2]), 8), [6, 0, 2])
    np.testing.assert_array_equal(stratum_budgets(np.array([9, 9, 9]), 8), [2, 3, 3])


@pytest.mark.parametrize("kind", ["max_prob", "diff_prob"])
def test_prune4rel_is_called_with_its_confidence(given, kind):
    x, p, y = given.values()
    top = np.sort(p, axis=1)
    confidence = top[:, -1] if kind == "max_prob" else top[:, -1] - top[:, -2]
    np.testing.assert_allclose(selection.confidence_of(p, kind), confidence, rtol=1e-6)
    got = chosen(given, "prune4rel", confidence=kind, threshold=0.8, temperature=2.0)
    direct = selection.prune4rel(x, confidence, 15, threshold=0.8, temperature=2.0)
    np.testing.assert_array_equal(got.indices, direct.indices)
    got = chosen(given, "prune4rel_balanced", 0.5, confidence=kind, threshold=0.8)
    direct = selection.prune4rel(x, confidence, 30, threshold=0.8, labels=y)
    np.testing.assert_array_equal(got.indices, direct.indices)
    # The smallest class has 6: the others share what it lacks.
    np.testing.assert_array_equal(np.bincount(y[got.indices]), [6, 12, 12])
    same = chosen(
        given, "prune4rel", 0.5, confidence=kind, threshold=0.8, balance="even"
    )
    np.testing.assert_array_equal(got.indices, same.indices)


def test_k_center_is_called(given):
    got = chosen(given, "k_center")
    direct = selection.k_center(given["features"], 15)
    np.testing.assert_array_equal(got.indices, direct.indices)


def test_uniform_is_random_and_reproducible(given):
    a, b = (chosen(given, "uniform", 0.5, key=KEY).indices for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert len(set(a)) == 30
    counts = np.zeros(N)
    for seed in range(200):
        counts[chosen(given, "uniform", 0.5, key=jax.random.key(seed)).indices] += 1
    # Binomial with mean 100 and deviation 7.
    assert counts.min() > 70
    assert counts.max() < 130


@pytest.mark.parametrize("method", RANKED)
def test_balances_and_beginnings(given, recorded, method):
    extra = {"key": KEY} | (recorded if method == "forgetting" else {})
    labels = given["labels"]
    for balance, counts in [("even", [6, 12, 12]), ("proportional", [3, 9, 18])]:
        half = chosen(given, method, 0.5, balance=balance, **extra)
        np.testing.assert_array_equal(np.bincount(labels[half.indices]), counts)
        some = chosen(given, method, 0.2, balance=balance, **extra)
        np.testing.assert_array_equal(some.indices, half.indices[:12])
    whole = chosen(given, method, 1.0, balance="none", **extra)
    np.testing.assert_array_equal(np.sort(whole.indices), np.arange(N))


def test_proportional_shares_are_rounded_ones(rng):
    """Of any sizes, every class gives about its share, and the budget is met."""
    for _ in range(20):
        sizes = rng.integers(1, 40, size=6)
        labels = np.repeat(np.arange(6), sizes)
        budget = int(rng.integers(1, sizes.sum() + 1))
        picks = selection.rank_by_class(
            rng.normal(size=len(labels)), budget, labels=labels, balance="proportional"
        )
        counts = np.bincount(labels[picks], minlength=6)
        assert counts.sum() == len(set(picks)) == budget
        assert np.abs(counts - budget * sizes / sizes.sum()).max() < 1.5


def test_ties_are_random_only_with_a_key(given):
    flat = given | {"probabilities": np.full((N, C), 1 / C)}
    np.testing.assert_array_equal(chosen(flat, "margin").indices, np.arange(15))
    a = chosen(flat, "margin", key=KEY).indices
    b = chosen(flat, "margin", key=jax.random.key(1)).indices
    assert list(a) != list(b)
    np.testing.assert_array_equal(a, chosen(flat, "margin", key=KEY).indices)


def test_neighborhood_confidence_equals_numpy(given):
    x = given["features"].astype(np.float64)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    confidence = given["probabilities"].max(1)
    subset = np.array([3, 1, 20, 44])
    for similarity, chosen_rows in (("shifted", None), ("cosine", subset)):
        s = unit @ unit.T
        s = (1 + s) / 2 if similarity == "shifted" else s
        s = np.where(s > 0.7, s, 0)
        rows = np.arange(N) if chosen_rows is None else chosen_rows
        got = selection.neighborhood_confidence(
            given["features"],
            confidence,
            chosen_rows,
            threshold=0.7,
            similarity=similarity,
        )
        np.testing.assert_allclose(got, s[:, rows] @ confidence[rows], rtol=1e-5)
    # What Prune4ReL says it has reached.
    got = selection.prune4rel(given["features"], confidence, 15, threshold=0.7)
    level = selection.neighborhood_confidence(
        given["features"], confidence, got.indices, threshold=0.7
    )
    np.testing.assert_allclose(np.tanh(level).sum(), got.objective, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_missing_inputs_are_named(method):
    with pytest.raises(ValueError, match=f"method: '{method}' got nothing, expected"):
        selection.select(None, None, None, 0.5, method)


def test_bad_arguments_are_named(given, recorded):
    p, y = given["probabilities"], given["labels"]
    zero = given["features"].copy()
    zero[7] = 0
    nan = np.where(np.arange(N)[:, None] == 4, np.nan, given["features"])
    high = np.where(np.arange(N) == 2, C, y)
    off = p * np.where(np.arange(N) == 9, 1.002, 1)[:, None]
    cases = [
        ({"fraction": 0.0}, r"fraction: got 0.0, expected a number in \(0, 1\]"),
        ({"fraction": 1.1}, "fraction: got 1.1"),
        ({"fraction": 0.001}, "fraction: got 0.001 of 60 examples, which rounds to no"),
        ({"fraction": float("nan")}, "fraction: got nan"),
        ({"method": "prune4real"}, "method: unknown 'prune4real' .did you mean 'prune"),
        (
            {"probabilities": off},
            "probabilities: 1 row.s. do not sum to 1 .first: row 9",
        ),
        ({"probabilities": np.log(p)}, "probabilities: 60 row"),
        ({"probabilities": p * np.nan}, "probabilities: 60 row.s. hold NaN"),
        ({"features": nan}, "features: 1 row.s. hold NaN or infinity .first: row 4"),
        ({"features": zero}, "features: 1 row.s. are zero .first: row 7"),
        ({"features": zero, "method": "ssp", "key": KEY}, "features: 1 row.s. are zer"),
        ({"features": given["features"][1:]}, "features: lengths differ"),
        ({"labels": high}, "labels: 1 label.s. out of range .first: 3 at row 2"),
        ({"labels": y[:, None]}, "labels: got shape"),
        ({"method": "el2n", "labels": None}, "method: 'el2n' got features, probabili"),
        ({"method": "el2n", "el2n": np.full(N, np.nan)}, "el2n: 60 row.s. hold NaN"),
        ({"balance": "proportional"}, "balance: got 'proportional', expected none or "),
        ({"balance": "even", "labels": None}, "labels: got None, expected given labe"),
        ({"method": "uniform"}, "key: got None, expected a PRNG key"),
        ({"strata": 3}, "strata: not an option of method='prune4rel'; its options: co"),
        ({"threshold": 1.5}, "threshold: got 1.5"),
        ({"confidence": "max"}, "confidence: unknown 'max'"),
        (
            {"method": "forgetting", "forgetting": recorded["forgetting"]},
            "learned: got None, expected .N,. bool",
        ),
        (
            {"method": "forgetting", **recorded, "learned": np.ones(N)},
            "learned: got float64, expected bool",
        ),
        (
            {"method": "ccs", "key": KEY, "fraction": 0.8, "hard_cutoff": 0.3},
            "hard_cutoff: got 0.3, which leaves 42 of 60 examples, expected at least",
        ),
        ({"method": "ccs", "key": KEY, "hard_cutoff": 1.0}, "hard_cutoff: got 1.0"),
        ({"method": "ssp", "key": KEY, "keep": "far"}, "keep: unknown 'far'"),
        ({"method": "ssp", "key": KEY, "clusters": 0}, "clusters: got 0"),
        ({"method": "ssp", "key": KEY, "metric": "l1"}, "metric: unknown 'l1'"),
    ]
    for change, message in cases:
        arguments = given | {"fraction": 0.25} | change
        with pytest.raises(ValueError, match=message):
            selection.select(**arguments)
    with pytest.raises(ValueError, match="clusters: got None, expected their number"):
        selection.select(given["features"], None, None, 0.5, "ssp", key=KEY)
    confidence = p.max(1)
    for change, message in [
        ({"subset": [1, 1]}, "subset: got an index twice"),
        ({"subset": [N]}, "subset: 1 label.s. out of range"),
        ({"confidence": -confidence}, "confidence: got -"),
        ({"features": zero}, "features: 1 row.s. are zero"),
    ]:
        arguments = {"features": given["features"], "confidence": confidence} | change
        with pytest.raises(ValueError, match=message):
            selection.neighborhood_confidence(**arguments)


def test_a_cutoff_takes_as_many_as_it_says():
    """0.29 of 100 is 28.999… in floats."""
    hardness = np.arange(100.0)
    for cutoff, left in ((0.29, 71), (0.57, 43), (0.58, 42), (0.3, 70)):
        kept = selection.coverage_centric(
            hardness, left, key=jax.random.key(0), hard_cutoff=cutoff
        )
        assert sorted(np.asarray(kept).tolist()) == list(range(left))
        with pytest.raises(ValueError, match=f"leaves {left} of 100"):
            selection.coverage_centric(
                hardness, left + 1, key=jax.random.key(0), hard_cutoff=cutoff
            )


def test_logits_have_no_confidence():
    with pytest.raises(ValueError, match=r"probabilities: 2 row\(s\) do not sum to 1"):
        selection.confidence_of([[3.0, -1.0], [0.5, 0.1]])
    half = np.array([[0.75, 0.25]], np.float16)
    assert selection.confidence_of(half, "diff_prob").dtype == np.float16


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, np.nan, 1e-4])
def test_bad_fraction(fraction):
    with pytest.raises(ValueError, match="fraction: got"):
        selection.budget_from_fraction(fraction, 100)
    assert selection.budget_from_fraction(0.255, 1000) == 255
