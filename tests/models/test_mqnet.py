"""The skyline property of MQNet, and the loss predictor's arithmetic."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.models import _mqnet as mqnet

NETWORKS, PAIRS = 200, 100


def random_params(rng, hidden):
    """Parameters of many networks, of either sign and of several scales."""
    scale = 10.0 ** rng.uniform(-1, 1, (NETWORKS, 1, 1)).astype(np.float32)
    draw = rng.standard_normal((NETWORKS, hidden + 1, 4)).astype(np.float32) * scale
    return {
        "params": {
            "first_kernel": jnp.asarray(draw[:, :hidden, :2].transpose(0, 2, 1)),
            "first_bias": jnp.asarray(draw[:, :hidden, 2]),
            "second_kernel": jnp.asarray(draw[:, :hidden, 3]),
            "second_bias": jnp.asarray(draw[:, hidden, 0]),
        }
    }


def rises(rng, *, monotone):
    """Scores of dominating minus dominated points, (networks, pairs)."""
    model = mqnet.MQNet(hidden=16, monotone=monotone)
    params = random_params(rng, 16)
    low = np.exp(rng.normal(size=(PAIRS, 2))).astype(np.float32)
    step = np.exp(rng.normal(size=(PAIRS, 2))) * (rng.random((PAIRS, 2)) < 0.6)
    high = (low + step).astype(np.float32)
    score = jax.jit(jax.vmap(model.apply, in_axes=(0, None)))
    return np.asarray(score(params, high)) - np.asarray(score(params, low))


def test_dominating_points_never_score_lower(rng):
    change = rises(rng, monotone=True)
    # Sums of nearly equal sigmoids may be rounded differently, by about 1e-7 each.
    scale = 16 * 30 * 1e-6
    assert change.min() >= -scale
    assert np.mean(change > scale) > 0.5


def test_without_the_constraint_some_do(rng):
    change = rises(rng, monotone=False)
    assert change.min() < -1.0
    assert np.mean((change < 0).any(axis=1)) > 0.9


def test_slopes_are_never_negative(rng):
    model = mqnet.MQNet(hidden=16)
    points = np.exp(rng.normal(size=(PAIRS, 2))).astype(np.float32)
    slope = jax.jit(
        jax.vmap(
            lambda p: jax.grad(lambda z: jnp.sum(model.apply(p, z)))(points),
        )
    )(random_params(rng, 16))
    assert np.all(np.asarray(slope) >= 0)
    assert np.any(np.asarray(slope) > 0)


@pytest.mark.parametrize("monotone", [True, False])
def test_scores_are_those_of_numpy(rng, monotone):
    model = mqnet.MQNet(hidden=16, monotone=monotone)
    params = jax.tree.map(lambda x: x[0], random_params(rng, 16))
    inputs = np.exp(rng.normal(size=(5, 2))).astype(np.float32)
    p = {name: np.asarray(x, np.float64) for name, x in params["params"].items()}
    first, second = p["first_kernel"], p["second_kernel"]
    if monotone:
        first, second = np.maximum(first, 0), np.maximum(second, 0)
    units = 1 / (1 + np.exp(-(inputs @ first + p["first_bias"])))
    wanted = units @ second + p["second_bias"]
    got = model.apply(params, inputs)
    assert got.shape == (5,)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_start_is_uniform_and_negative_weights_are_dead():
    model = mqnet.MQNet()
    params = jax.jit(model.init)(jax.random.key(0), jnp.ones((1, 2)))
    flat = np.concatenate([np.ravel(x) for x in jax.tree.leaves(params)])
    assert flat.size == 2 * 64 + 64 + 64 + 1
    assert flat.min() >= 0
    assert flat.max() < 1
    np.testing.assert_allclose(flat.mean(), 0.5, atol=0.08)
    dead = jax.tree.map(lambda x: x, params)
    dead["params"]["first_kernel"] = params["params"]["first_kernel"].at[0, 3].set(-0.1)
    slope = jax.grad(lambda p: jnp.sum(model.apply(p, jnp.ones((4, 2)))))(dead)
    assert slope["params"]["first_kernel"][0, 3] == 0
    assert slope["params"]["first_kernel"][1, 3] > 0


def test_loss_predictor_pools_every_map(rng):
    model = mqnet.LossPredictor(width=6)
    maps = (
        jnp.asarray(rng.normal(size=(3, 4, 4, 5)), jnp.float32),
        jnp.asarray(rng.normal(size=(3, 7)), jnp.float32),
    )
    params = jax.jit(model.init)(jax.random.key(0), maps)
    p = jax.tree.map(np.asarray, params["params"])
    pooled = [np.asarray(maps[0]).mean(axis=(1, 2)), np.asarray(maps[1])]
    parts = [
        np.maximum(x @ p[f"map{i}"]["kernel"] + p[f"map{i}"]["bias"], 0)
        for i, x in enumerate(pooled)
    ]
    wanted = np.concatenate(parts, 1) @ p["head"]["kernel"] + p["head"]["bias"]
    got = model.apply(params, maps)
    assert got.shape == (3,)
    np.testing.assert_allclose(got, wanted[:, 0], rtol=1e-4, atol=1e-5)


def test_detached_maps_get_no_gradient(rng):
    model = mqnet.LossPredictor(width=6)
    maps = (jnp.asarray(rng.normal(size=(3, 2, 2, 5)), jnp.float32),)
    params = jax.jit(model.init)(jax.random.key(0), maps)

    @jax.jit
    def slopes(detach):
        def total(params, maps):
            return jnp.sum(model.apply(params, maps, detach=detach))

        return jax.grad(total, argnums=(0, 1))(params, maps)

    own, into = slopes(True)
    assert not np.any(into[0])
    assert np.any(own["params"]["map0"]["kernel"])
    assert np.any(slopes(False)[1][0])


@pytest.mark.slow
def test_bad_arguments():
    with pytest.raises(ValueError, match="hidden"):
        mqnet.MQNet(hidden=0)
    with pytest.raises(ValueError, match="width"):
        mqnet.LossPredictor(width=0)
    with pytest.raises(ValueError, match="inputs"):
        mqnet.MQNet().init(jax.random.key(0), jnp.ones(2))
    with pytest.raises(ValueError, match="feature_maps"):
        mqnet.LossPredictor().init(jax.random.key(0), ())
    with pytest.raises(ValueError, match=r"feature_maps\[0\]"):
        mqnet.LossPredictor().init(jax.random.key(0), (jnp.ones(3),))
