"""Pruning that shares what is kept among classes, by given or predicted label."""

import numpy as np
import pytest

from robustjax import selection
from robustjax.selection import even_turns
from tests.selection.pruning_problem import KEY, C, N, chosen, first, problem


@pytest.fixture(scope="module")
def given():
    return problem()


def in_turns(scores, classes, count):
    """One pick per class and round, the best left of it; exhausted ones passed over."""
    left = {c: first(np.where(classes == c, scores, -np.inf), N) for c in range(C)}
    left = {c: picks[: (classes == c).sum()] for c, picks in left.items()}
    picks = []
    while len(picks) < count:
        for own in (left[c] for c in range(C) if left[c]):
            picks.append(own.pop(0))
    return picks[:count]


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("by", ["given", "predicted"])
def test_confidence_shared_by_given_or_predicted_label(given, by, fraction):
    p = given["probabilities"]
    classes = given["labels"] if by == "given" else p.argmax(1)
    got = chosen(given, "most_confident", fraction, balance_labels=by)
    want = in_turns(p.max(1), classes, round(fraction * N))
    np.testing.assert_array_equal(got.indices, want)
    np.testing.assert_array_equal(got.gains, p.max(1)[want])


@pytest.mark.parametrize("method", ["uniform", "most_confident", "small_loss", "own"])
@pytest.mark.parametrize("by", ["given", "predicted"])
@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.6, 1.0])
def test_balanced_counts_are_even_until_a_class_has_no_more(
    given, method, by, fraction
):
    # A class with all too few examples, of either kind of label.
    p = np.full((N, C), 0.1, np.float32)
    predicted = np.random.default_rng(5).permutation(np.repeat([0, 1, 2], [4, 26, 30]))
    p[np.arange(N), predicted] = np.linspace(0.8, 0.8 - 1e-3, N)
    p /= p.sum(1, keepdims=True)
    inputs = given | {"probabilities": p}
    options = {"key": KEY, "balance_labels": by}
    if method == "own":
        method, options = "prune4rel", options | {"threshold": 0.8}
    got = chosen(inputs, method, fraction, **options).indices
    classes = given["labels"] if by == "given" else predicted
    sizes, counts = np.bincount(classes), np.bincount(classes[got], minlength=C)
    assert counts.sum() == len(set(got.tolist())) == round(fraction * N)
    whole = counts == sizes
    open_counts = counts[~whole]
    if open_counts.size:
        assert open_counts.max() - open_counts.min() <= 1
        # What has given all of its own has given no more than the others have.
        assert (counts[whole] <= open_counts.max()).all()


def test_balance_by_prediction_is_prune4rels_own_with_other_labels(given):
    p = given["probabilities"]
    relabeled = given | {"labels": p.argmax(1)}
    for method in ("prune4rel", "prune4rel_balanced"):
        got = chosen(given, method, threshold=0.8, balance_labels="predicted")
        want = chosen(relabeled, "prune4rel_balanced", threshold=0.8)
        np.testing.assert_array_equal(got.indices, want.indices)
    by_given = chosen(given, "prune4rel", threshold=0.8, balance_labels="given")
    plain = chosen(given, "prune4rel_balanced", threshold=0.8)
    np.testing.assert_array_equal(by_given.indices, plain.indices)
    free = chosen(given, "prune4rel", threshold=0.8)
    none = chosen(given, "prune4rel", threshold=0.8, balance_labels="none")
    np.testing.assert_array_equal(free.indices, none.indices)
    assert set(free.indices) != set(by_given.indices) != set(got.indices)


def test_scores_of_given_labels_stay_so_when_balanced_by_prediction(given):
    """Balancing by prediction changes whose turn it is, not what a loss is."""
    p = given["probabilities"].astype(np.float64)
    own = np.log(p[np.arange(N), given["labels"]])
    got = chosen(given, "small_loss", balance_labels="predicted")
    want = in_turns(own, p.argmax(1), 15)
    np.testing.assert_array_equal(got.indices, want)
    np.testing.assert_allclose(got.gains, -own[want], rtol=1e-5)


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("uniform", {"balance_labels": "true"}, "balance_labels: unknown 'true'"),
        (
            "uniform",
            {"balance_labels": "given", "balance": "none"},
            "balance_labels: got 'given' with balance='none', expected none with none",
        ),
        (
            "uniform",
            {"balance_labels": "none", "balance": "even"},
            "balance_labels: got 'none' with balance='even'",
        ),
        ("k_center", {"balance_labels": "given"}, "balance: got 'even', expected none"),
        (
            "prune4rel_balanced",
            {"balance_labels": "none"},
            "balance: got 'none', expected even or authors",
        ),
        (
            "uniform",
            {"balance_labels": "predicted", "probabilities": None},
            "probabilities: got None, expected those that predict classes with",
        ),
        (
            "uniform",
            {"balance_labels": "given", "labels": None},
            "labels: got None, expected given labels with method='uniform'",
        ),
    ],
)
def test_balances_that_cannot_be_are_refused(given, method, changes, message):
    with pytest.raises(ValueError, match=message):
        selection.select(
            **{**given, "fraction": 0.25, "method": method, "key": KEY, **changes}
        )


def test_turns_and_balances_that_cannot_be():
    for sizes, budget, message in (
        ([2, 1], 4, "budget: got 4, expected at most the 3 examples"),
        ([2, 1], -1, "budget: got -1"),
        ([2, -1], 1, "sizes: got .* expected integers >= 0"),
        ([2.0, 1.0], 1, "sizes: got .* expected integers >= 0"),
    ):
        with pytest.raises(ValueError, match=message):
            even_turns(np.array(sizes), budget)
    with pytest.raises(ValueError, match="labels: got None, expected labels for balan"):
        selection.prune4rel(np.eye(4), np.ones(4), 2, balance="authors")
