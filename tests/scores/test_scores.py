"""Scores against plain NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import scores


@pytest.fixture
def logits(rng):
    return rng.normal(size=(30, 5)) * 3


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_uncertainty_scores(logits):
    p = softmax(logits)
    x = jnp.asarray(logits, jnp.float32)
    top = np.sort(p, 1)
    np.testing.assert_allclose(
        scores.entropy(x), -(p * np.log(p)).sum(1), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(scores.least_confidence(x), 1 - top[:, -1], atol=1e-6)
    np.testing.assert_allclose(
        scores.margin_uncertainty(x), 1 - top[:, -1] + top[:, -2], atol=1e-6
    )


def test_entropy_limits():
    np.testing.assert_allclose(scores.entropy(jnp.zeros(7)), np.log(7), rtol=1e-6)
    assert scores.entropy(jnp.array([1e4, 0, -1e4])) == 0


@pytest.mark.slow
def test_disagreement_scores(logits, rng):
    labels = rng.integers(0, 5, 30)
    p = softmax(logits)
    loss = -np.log(p[np.arange(30), labels])
    entropy = -(p * np.log(p)).sum(1)
    x, y = jnp.asarray(logits, jnp.float32), jnp.asarray(labels)
    np.testing.assert_allclose(scores.label_loss(x, y), loss, rtol=1e-4)
    np.testing.assert_allclose(
        scores.loss_plus_entropy(x, y), loss + entropy, rtol=1e-4
    )
    np.testing.assert_allclose(
        scores.loss_minus_entropy(x, y), loss - entropy, rtol=1e-4, atol=1e-5
    )
