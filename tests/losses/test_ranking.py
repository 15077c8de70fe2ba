"""Ranking losses against NumPy loops, and why the printed margin fails."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.losses import _ranking as ranking


def reference(scores, targets, margin, ties, pairs):
    """The hinge of listed pairs, one at a time."""
    found = []
    for i, j in pairs:
        sign = np.sign(targets[i] - targets[j])
        if sign == 0 and ties == "as_lower":
            sign = -1
        cost = max(0.0, margin - sign * (scores[i] - scores[j])) if sign else 0.0
        found.append(cost)
    return np.array(found)


@pytest.mark.parametrize("ties", ranking.TIES)
@pytest.mark.parametrize("pairing", ranking.PAIRINGS)
def test_pairs_cost_what_a_loop_says(rng, ties, pairing):
    scores = rng.normal(size=12).astype(np.float32)
    targets = rng.integers(0, 3, 12).astype(np.float32)
    halves = [(i, 6 + i) for i in range(6)]
    pairs = halves if pairing == "halves" else [(i, 11 - i) for i in range(6)]
    got = jax.jit(
        lambda s, t, m: ranking.pairwise_ranking(
            s, t, margin=m, ties=ties, pairing=pairing
        )
    )(scores, targets, 0.7)
    wanted = reference(scores, targets, 0.7, ties, pairs)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    assert np.any(wanted > 0)


def test_right_order_by_the_margin_is_free_and_wrong_order_is_not():
    targets = jnp.array([2.0, 1.0, 1.0, 2.0])
    right = jnp.array([0.5, 0.0, 0.0, 0.5])
    assert not np.any(ranking.pairwise_ranking(right, targets, margin=0.5))
    wrong = ranking.pairwise_ranking(-right, targets, margin=0.5)
    np.testing.assert_allclose(wrong, [1.0, 1.0])


def test_printed_margin_leaves_a_wrong_order_where_the_loss_does_not():
    """With s = 1 the printed form is 0, without gradient, up to an inversion by 1."""

    def printed(scores, targets, margin):
        one, other = ranking.pair_up(scores)
        sign = jnp.sign(jnp.subtract(*ranking.pair_up(targets)))
        return jnp.maximum(-sign * (one - other + margin), 0.0)

    targets = jnp.array([2.0, 1.0])
    inverted = jnp.array([0.0, 0.6])
    assert printed(inverted, targets, 1.0)[0] == 0
    slope = jax.grad(lambda s: jnp.sum(printed(s, targets, 1.0)))(inverted)
    assert not np.any(slope)
    slope = jax.grad(
        lambda s: jnp.sum(ranking.pairwise_ranking(s, targets, margin=1.0))
    )(inverted)
    np.testing.assert_allclose(slope, [-1.0, 1.0])
    # The same pair the other way round: there both forms agree.
    np.testing.assert_allclose(
        printed(inverted[::-1], targets[::-1], 1.0),
        ranking.pairwise_ranking(inverted[::-1], targets[::-1], margin=1.0),
    )


def test_ties_as_lower_have_no_gradient_in_the_mean_within_the_margin():
    def both_ways(scores):
        return sum(
            jnp.sum(
                ranking.pairwise_ranking(s, jnp.ones(2), margin=1.0, ties="as_lower")
            )
            for s in (scores, scores[::-1])
        )

    assert not np.any(jax.grad(both_ways)(jnp.array([0.2, -0.5])))
    np.testing.assert_allclose(jax.grad(both_ways)(jnp.array([2.0, -0.5])), [1.0, -1.0])


def test_no_gradient_through_targets():
    slope = jax.grad(
        lambda t: jnp.sum(ranking.loss_prediction(jnp.zeros(4), t)), allow_int=False
    )(jnp.arange(4.0))
    assert not np.any(slope)


def test_loss_prediction_drops_the_middle_and_reverses(rng):
    predicted = rng.normal(size=7).astype(np.float32)
    losses = rng.integers(0, 2, 7).astype(np.float32)
    got = ranking.loss_prediction(predicted, losses)
    pairs = [(0, 6), (1, 5), (2, 4)]
    wanted = reference(predicted, losses, 1.0, "as_lower", pairs)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    mask = jnp.array([1, 1, 1, 1, 1, 1, 0], bool)
    real = jnp.logical_and(*ranking.pair_up(mask, pairing="opposite"))
    np.testing.assert_array_equal(real, [False, True, True])


def test_half_precision_scores_are_widened():
    scores = jnp.array([1.0, 0.0], jnp.bfloat16)
    got = ranking.pairwise_ranking(scores, jnp.array([0.0, 1.0]), margin=0.001)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, [1.001], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"margin": -1.0}, "margin"),
        ({"ties": "drop"}, "ties"),
        ({"pairing": "half"}, "did you mean 'halves'"),
        ({"scores": jnp.zeros(3), "targets": jnp.zeros(3)}, "even number"),
        ({"targets": jnp.zeros(2)}, "lengths differ"),
        ({"scores": jnp.zeros((4, 1))}, "rank 1"),
    ],
)
def test_bad_arguments(change, message):
    given = {"scores": jnp.zeros(4), "targets": jnp.zeros(4), "margin": 1.0} | change
    with pytest.raises(ValueError, match=message):
        ranking.pairwise_ranking(given.pop("scores"), given.pop("targets"), **given)


@pytest.mark.parametrize("targets", [[1e9 + 1, 1e9], [2**32 + 1, 5], [2.0, 1.0]])
def test_targets_of_64_bits_keep_their_order(targets):
    scores = jnp.array([0.0, 1.0])
    got = ranking.pairwise_ranking(scores, np.array(targets), margin=1.0)
    np.testing.assert_array_equal(got, [2.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_target_that_is_no_number_has_no_order(dtype):
    targets = np.array([np.nan, 1, 0, 2], dtype)
    for ties in ranking.TIES:
        got = ranking.pairwise_ranking(jnp.arange(4.0), targets, margin=1.0, ties=ties)
        np.testing.assert_array_equal(got, [np.nan, 0.0])
