"""Penalties on out-of-distribution examples, against plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import losses


@pytest.mark.parametrize("shape", [(5, 7), (5, 2, 3, 4)])
def test_squared_feature_norm_equals_numpy(rng, shape):
    features = rng.normal(size=shape).astype(np.float32)
    square = features.reshape(5, -1).astype(np.float64) ** 2
    mean = losses.squared_feature_norm(features)
    total = losses.squared_feature_norm(features, reduction="sum")
    np.testing.assert_allclose(mean, square.mean(1), rtol=1e-6)
    np.testing.assert_allclose(total, square.sum(1), rtol=1e-6)
    np.testing.assert_allclose(total, square.shape[1] * mean, rtol=1e-6)


def test_squared_feature_norm_is_taken_in_float32():
    features = jnp.full((1, 3), 300.0, jnp.float16)
    value = losses.squared_feature_norm(features)
    assert value.dtype == jnp.float32
    assert value[0] == 90_000  # beyond the largest float16


def test_uniform_cross_entropy_is_ce_with_the_uniform_target(rng):
    logits = jnp.asarray(rng.normal(size=(6, 4)) * 3, jnp.float32)
    uniform = jnp.full((6, 4), 0.25)
    got = losses.uniform_cross_entropy(logits)
    np.testing.assert_allclose(got, losses.cross_entropy(logits, uniform), rtol=1e-6)
    z = np.asarray(logits, np.float64)
    closed = np.log(np.exp(z).sum(1)) - z.mean(1)
    np.testing.assert_allclose(got, closed, rtol=1e-6)


def test_gradient_of_uniform_cross_entropy(rng):
    logits = jnp.asarray(rng.normal(size=(6, 4)) * 3, jnp.float32)
    gradient = jax.grad(lambda z: losses.uniform_cross_entropy(z).sum())(logits)
    by_ce = jax.grad(lambda z: losses.cross_entropy(z, jnp.full((6, 4), 0.25)).sum())(
        logits
    )
    np.testing.assert_allclose(gradient, jax.nn.softmax(logits) - 0.25, atol=1e-6)
    np.testing.assert_allclose(gradient, by_ce, atol=1e-6)


def test_limits_of_uniform_cross_entropy():
    logits = jnp.array([[3.0, 3.0, 3.0], [1e4, 0.0, 0.0]], jnp.float32)
    got = losses.uniform_cross_entropy(logits)
    np.testing.assert_allclose(got, [np.log(3), 2e4 / 3], rtol=1e-6)


def test_bad_arguments():
    with pytest.raises(ValueError, match="reduction: unknown 'means'"):
        losses.squared_feature_norm(jnp.ones((2, 2)), reduction="means")
    with pytest.raises(ValueError, match=r"features: got shape \(2,\)"):
        losses.squared_feature_norm(jnp.ones(2))
    with pytest.raises(ValueError, match=r"logits: got shape \(2, 3, 4\)"):
        losses.uniform_cross_entropy(jnp.ones((2, 3, 4)))
