"""Bootstrapped cross-entropy against plain NumPy, its limits, gradients, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import losses


def log_softmax(z):
    z = np.asarray(z, np.float64)
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def reference(log_p, label, beta, hard, frozen=None):
    """-(beta y + (1 - beta) own) . log p, with `own` possibly that of frozen log p."""
    p = np.exp(log_p if frozen is None else frozen)
    own = np.eye(len(p))[p.argmax()] if hard else p
    return -((beta * label + (1 - beta) * own) * log_p).sum()


@pytest.mark.parametrize(("hard", "beta"), [(False, 0.95), (True, 0.8)])
def test_equals_numpy(hard, beta, rng):
    logits = (rng.normal(size=(7, 5)) * 2).astype(np.float32)
    labels = rng.integers(0, 5, 7)
    soft = rng.dirichlet(np.ones(5), 7)
    log_p = log_softmax(logits)
    for given, rows in ((labels, np.eye(5)[labels]), (soft.astype(np.float32), soft)):
        want = [reference(log_p[i], rows[i], beta, hard) for i in range(7)]
        got = losses.bootstrap_ce(logits, given, beta=beta, hard=hard)
        np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize("hard", [False, True])
def test_limits(hard, rng):
    logits = jnp.asarray(rng.normal(size=(7, 5)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 5, 7))
    np.testing.assert_array_equal(
        losses.bootstrap_ce(logits, labels, beta=1.0, hard=hard),
        losses.cross_entropy(logits, labels),
    )
    log_p = log_softmax(logits)
    own = -log_p.max(-1) if hard else -(np.exp(log_p) * log_p).sum(-1)
    got = losses.bootstrap_ce(logits, labels, beta=0.0, hard=hard)
    np.testing.assert_allclose(got, own, rtol=1e-5)


@pytest.mark.parametrize(
    ("hard", "stop_gradient"), [(False, False), (False, True), (True, False)]
)
def test_gradient_equals_finite_differences(hard, stop_gradient):
    z = np.array([0.3, -1.2, 2.0, 0.5])

    def value(x):
        frozen = log_softmax(z) if stop_gradient else None
        return reference(log_softmax(x), np.eye(4)[1], 0.6, hard, frozen)

    moves = 1e-6 * np.eye(4)
    want = [(value(z + d) - value(z - d)) / 2e-6 for d in moves]
    gradient = jax.grad(
        lambda x: losses.bootstrap_ce(
            x, 1, beta=0.6, hard=hard, stop_gradient=stop_gradient
        )
    )
    got = jax.jit(gradient)(jnp.asarray(z))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_a_constant_soft_target_leaves_beta_times_the_gradient(rng):
    logits = jnp.asarray(rng.normal(size=(7, 5)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 5, 7))

    def gradient(loss):
        return jax.jit(jax.grad(lambda z: loss(z).sum()))(logits)

    # The cross-entropy against p itself is stationary at p.
    np.testing.assert_allclose(
        gradient(
            lambda z: losses.bootstrap_ce(z, labels, beta=0.7, stop_gradient=True)
        ),
        0.7 * gradient(lambda z: losses.cross_entropy(z, labels)),
        atol=1e-6,
    )


@pytest.mark.parametrize("hard", [False, True])
def test_extreme_logits(hard):
    logits = jnp.tile(jnp.array([1e4, 0.0, -1e4]), (3, 1))
    labels = jnp.arange(3)

    @jax.jit
    def both(z):
        value, pull_back = jax.vjp(
            lambda x: losses.bootstrap_ce(x, labels, beta=0.8, hard=hard), z
        )
        return value, *pull_back(jnp.ones_like(value))

    value, gradient = both(logits)
    np.testing.assert_allclose(value, [0, 8e3, 1.6e4], rtol=1e-6)
    assert np.isfinite(gradient).all()


def test_beta_may_be_traced_and_a_bad_label_is_nan():
    logits, labels = jnp.zeros((2, 3), jnp.bfloat16), jnp.array([3, 0])
    got = jax.jit(lambda beta: losses.bootstrap_ce(logits, labels, beta=beta))(0.5)
    np.testing.assert_allclose(got, [np.nan, np.log(3)], rtol=1e-6)
    assert got.dtype == jnp.float32


def test_bad_arguments():
    with pytest.raises(ValueError, match="beta: got 1.5"):
        losses.bootstrap_ce(jnp.zeros((2, 3)), jnp.array([0, 1]), beta=1.5)
