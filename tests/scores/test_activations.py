"""Angles between classes against all pairs, and sizes, in plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import scores


def all_pairs(features, labels):
    rows = np.asarray(features, np.float64).reshape(len(features), -1)
    norms = np.linalg.norm(rows, axis=1)
    rows = rows / np.where(norms > 0, norms, 1)[:, None]
    different = labels[:, None] != labels[None, :]
    return (rows @ rows.T)[different].mean()


@pytest.fixture
def labels(rng):
    """Classes of different sizes, of which class 2 is empty."""
    return rng.choice([0, 0, 0, 1, 3], 25)


@pytest.mark.parametrize("shape", [(25, 6), (25, 2, 2, 3)])
def test_cross_class_cosine_equals_all_pairs(rng, labels, shape):
    features = rng.normal(size=shape).astype(np.float32) + 0.5
    features[3] = 0
    got = scores.cross_class_cosine(features, labels)
    np.testing.assert_allclose(got, all_pairs(features, labels), rtol=1e-5)
    more = scores.cross_class_cosine(features, labels, num_classes=7)
    np.testing.assert_allclose(more, got, rtol=1e-6)


def test_cross_class_cosine_ignores_length(rng, labels):
    features = rng.normal(size=(25, 6)).astype(np.float32) + 0.5
    scale = 10.0 ** rng.uniform(-30, 30, (25, 1)).astype(np.float32)
    np.testing.assert_allclose(
        scores.cross_class_cosine(features * scale, labels),
        scores.cross_class_cosine(features, labels),
        rtol=1e-5,
    )


@pytest.mark.slow
def test_limits_of_cross_class_cosine():
    labels = np.array([0, 0, 1, 2])
    apart = jnp.eye(3)[labels]
    assert scores.cross_class_cosine(apart, labels) == 0
    alike = jnp.tile(jnp.array([[3.0, 4.0]]), (4, 1))
    np.testing.assert_allclose(scores.cross_class_cosine(alike, labels), 1, rtol=1e-6)
    opposite = jnp.array([[1.0], [-2.0]])
    np.testing.assert_allclose(scores.cross_class_cosine(opposite, [0, 1]), -1)


def test_cross_class_cosine_under_vmap_jit_and_grad(rng, labels):
    features = jnp.asarray(rng.normal(size=(2, 25, 6)), jnp.float32)

    def cosine(features):
        return scores.cross_class_cosine(features, jnp.asarray(labels), num_classes=4)

    got = jax.jit(jax.vmap(cosine))(features)
    want = [all_pairs(one, labels) for one in np.asarray(features)]
    np.testing.assert_allclose(got, want, atol=1e-6)
    gradient = jax.grad(cosine)(features[0].at[5].set(0))
    assert jnp.isfinite(gradient).all()
    traced = jax.jit(lambda y: scores.cross_class_cosine(features[0], y, num_classes=4))
    np.testing.assert_allclose(traced(jnp.asarray(labels)), want[0], atol=1e-6)


def test_mean_activation_norm(rng):
    features = rng.normal(size=(7, 2, 2, 3)).astype(np.float32)
    features[0] = 0
    want = np.linalg.norm(features.reshape(7, -1), axis=1).mean()
    np.testing.assert_allclose(scores.mean_activation_norm(features), want, rtol=1e-6)
    gradient = jax.grad(scores.mean_activation_norm)(jnp.asarray(features))
    assert jnp.isfinite(gradient).all()
    half = jnp.full((2, 4), 300, jnp.float16)
    assert scores.mean_activation_norm(half) == 600


@pytest.mark.slow
def test_bad_arguments(labels):
    features = np.ones((25, 6), np.float32)
    with pytest.raises(ValueError, match="labels: got 1 alone"):
        scores.cross_class_cosine(features, np.ones(25, int))
    with pytest.raises(ValueError, match="lengths differ"):
        scores.cross_class_cosine(features[:9], labels)
    with pytest.raises(ValueError, match="labels: .* out of range"):
        scores.cross_class_cosine(features, labels, num_classes=2)
    with pytest.raises(ValueError, match=r"features: got shape \(25,\)"):
        scores.cross_class_cosine(features[:, 0], labels)
    with pytest.raises(ValueError, match=r"features: got shape \(\)"):
        scores.mean_activation_norm(jnp.float32(3))
    with pytest.raises(ValueError, match="num_classes: got None"):
        jax.jit(lambda y: scores.cross_class_cosine(features, y))(jnp.asarray(labels))
