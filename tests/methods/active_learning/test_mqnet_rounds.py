"""Which score is used in which round, and the learnt surface."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.methods.active_learning import _mqnet_meta as mqnet_meta
from robustjax.methods.active_learning import _mqnet_rounds as mqnet_rounds
from robustjax.models import MQNet

PURE = np.array([0.5, 2.0, 1.0], np.float32)
INFO = np.array([3.0, 0.25, 1.0], np.float32)


def some_params(seed=0):
    return MQNet().init(jax.random.key(seed), jnp.ones((1, 2)))


def only(index):
    """Parameters by which only one of the two inputs counts."""
    params = some_params()
    kernel = params["params"]["first_kernel"].at[1 - index].set(-1.0)
    return {"params": {**params["params"], "first_kernel": kernel}}


def test_the_rules_of_the_rounds():
    query = mqnet_rounds.query_scores
    np.testing.assert_array_equal(query(PURE, INFO), PURE + INFO)
    params = some_params()
    learnt = mqnet_meta.mqnet_scores(params, np.stack([PURE, INFO], axis=1))
    np.testing.assert_array_equal(query(PURE, INFO, params=params), learnt)
    assert not np.allclose(learnt, PURE + INFO)
    for rule, wanted in (("sum", PURE + INFO), ("product", PURE * INFO)):
        for seen in (True, False):
            got = query(PURE, INFO, params=params, rule=rule, ood_seen=seen)
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("params", [None, some_params()])
def test_without_ood_examples_purity_is_left_out(params):
    got = mqnet_rounds.query_scores(PURE, INFO, params=params, ood_seen=False)
    np.testing.assert_array_equal(got, INFO)


@pytest.mark.parametrize("is_in", [np.ones(4, bool), np.zeros(4, bool)])
def test_answers_that_teach_nothing_keep_the_meta_model(is_in):
    inputs, losses = np.ones((4, 2)), np.arange(4.0)
    previous = some_params()
    for kept in (previous, None):
        got = mqnet_rounds.next_meta_model(
            jax.random.key(0), kept, inputs, losses, is_in
        )
        assert got is kept


def test_padding_is_no_answer():
    is_in = np.array([True, True, False])
    assert mqnet_rounds.can_learn(is_in)
    assert not mqnet_rounds.can_learn(is_in, np.array([True, True, False]))
    with pytest.raises(ValueError, match="mask: got 2, expected bools, or 0 and 1"):
        mqnet_rounds.can_learn(is_in, np.arange(3))


def test_a_new_start_or_the_previous_one(rng):
    inputs = np.exp(rng.normal(size=(20, 2))).astype(np.float32)
    losses = inputs[:, 1]
    is_in = inputs[:, 0] > 1
    previous = some_params(7)

    def learn(previous, **change):
        return mqnet_rounds.next_meta_model(
            jax.random.key(0),
            previous,
            inputs,
            losses,
            is_in,
            steps=3,
            learning_rate=1e-3,
            **change,
        )

    fresh, warm = learn(previous), learn(previous, reinitialize=False)
    jax.tree.map(np.testing.assert_array_equal, fresh, learn(None))
    bias = [p["params"]["first_bias"] for p in (previous, warm, fresh)]
    assert 0 < np.abs(bias[1] - bias[0]).max() < 0.01
    assert np.abs(bias[2] - bias[0]).max() > 0.1


def test_surface_is_the_score_of_every_grid_point():
    params = some_params()
    purity, other = np.linspace(0.1, 3, 4), np.linspace(0.1, 5, 3)
    surface = mqnet_rounds.score_surface(params, purity, other)
    assert surface.shape == (4, 3)
    point = np.array([[purity[2], other[1]]], np.float32)
    wanted = mqnet_meta.mqnet_scores(params, point)[0]
    np.testing.assert_allclose(surface[2, 1], wanted, rtol=1e-6)
    assert np.all(np.diff(surface, axis=0) > 0)
    assert np.all(np.diff(surface, axis=1) > 0)


def test_slope_follows_the_line_of_equal_scores():
    params, point = some_params(), np.array([0.8, 0.5], np.float32)
    slope = float(jax.jit(mqnet_rounds.iso_score_slope)(params, point))
    assert slope < 0
    step = 0.05
    ends = point + np.array([[slope * step, step], [-slope * step, -step]])
    along = mqnet_meta.mqnet_scores(params, np.float32(np.r_[ends, point[None]]))
    across = mqnet_meta.mqnet_scores(
        params, np.float32(point + np.array([[0.0, step], [0.0, 0.0]]))
    )
    # A step along the line changes the score by curvature alone.
    assert abs(along[0] - along[1]) < 0.02 * (across[0] - across[1])


def test_slope_is_flat_or_steep_where_one_input_counts():
    point = np.array([0.8, 0.5])
    assert mqnet_rounds.iso_score_slope(only(0), point) == 0
    assert mqnet_rounds.iso_score_slope(only(1), point) == -np.inf


def test_bad_arguments():
    with pytest.raises(ValueError, match="did you mean 'product'"):
        mqnet_rounds.query_scores(PURE, INFO, rule="prodct")
    with pytest.raises(ValueError, match="lengths differ"):
        mqnet_rounds.query_scores(PURE, INFO[:2])
    with pytest.raises(ValueError, match="rank 1"):
        mqnet_rounds.query_scores(PURE[None], INFO)
    with pytest.raises(ValueError, match="point"):
        mqnet_rounds.iso_score_slope(some_params(), np.ones(3))
    with pytest.raises(ValueError, match="purity"):
        mqnet_rounds.score_surface(some_params(), np.ones((2, 2)), np.ones(2))
