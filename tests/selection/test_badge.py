"""BADGE against a plain NumPy version with embeddings at full size."""

from __future__ import annotations

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

# The package exports the function of the same name.
badge_lib = importlib.import_module("robustjax.selection._badge")


def embeddings(logits, features):
    """Gradients of the cross-entropy under the predicted label, (N, C d), float64."""
    logits = np.asarray(logits, np.float64)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(p)), logits.argmax(axis=1)] -= 1
    return (p[:, :, None] * np.asarray(features, np.float64)[:, None]).reshape(
        len(p), -1
    )


def reference(uniforms, points):
    """k-means++ from the longest point, by inverted running sums."""
    picks = [int(np.argmax((points**2).sum(axis=1)))]
    for uniform in uniforms:
        distance = ((points[:, None] - points[picks]) ** 2).sum(axis=2).min(axis=1)
        distance[picks] = 0
        running = np.cumsum(distance)
        picks.append(int(np.searchsorted(running, uniform * running[-1], "right")))
    return picks


def pool(rng, size, classes=4, width=6):
    logits = rng.normal(size=(size, classes)) * 2
    features = np.maximum(rng.normal(size=(size, width)), 0)
    return logits.astype(np.float32), features.astype(np.float32)


@pytest.mark.parametrize("size", [40, 700])
def test_picks_are_those_of_numpy_given_the_draws(rng, size):
    logits, features = pool(rng, size)
    uniforms = rng.random(24).astype(np.float32)
    got = badge_lib.badge_from_draws(uniforms, logits, features)
    points = embeddings(logits, features)
    assert got.indices.tolist() == reference(uniforms, points)
    nearest = ((points[:, None] - points[got.indices]) ** 2).sum(axis=2).min(axis=1)
    np.testing.assert_allclose(got.objective, nearest.sum(), rtol=1e-4)
    distance = np.linalg.norm(points[got.indices[5]] - points[got.indices[:5]], axis=1)
    np.testing.assert_allclose(got.gains[5], distance.min(), rtol=1e-3)
    np.testing.assert_allclose(
        got.gains[0], np.linalg.norm(points[got.indices[0]]), rtol=1e-5
    )


def test_key_gives_the_draws(rng):
    logits, features = pool(rng, 40)
    key = jax.random.key(5)
    got = badge_lib.badge(key, logits, features, 10)
    wanted = badge_lib.badge_from_draws(jax.random.uniform(key, (9,)), logits, features)
    np.testing.assert_array_equal(got.indices, wanted.indices)
    other = badge_lib.badge(jax.random.key(6), logits, features, 10)
    assert got.indices[0] == other.indices[0]
    assert got.indices.tolist() != other.indices.tolist()


def test_the_whole_pool_once_even_with_doubles_and_certain_rows(rng):
    logits, features = pool(rng, 12)
    logits = np.r_[logits, logits, np.float32([[500.0, 0, 0, 0]] * 6)]
    features = np.r_[features, features, np.ones((6, 6), np.float32)]
    got = badge_lib.badge(jax.random.key(0), logits, features, 30)
    assert sorted(got.indices) == list(range(30))
    assert got.objective == 0
    assert np.all(np.isfinite(got.gains))


def test_budget_of_one_is_the_longest_gradient(rng):
    logits, features = pool(rng, 20)
    got = badge_lib.badge(jax.random.key(0), logits, features, 1)
    longest = np.linalg.norm(embeddings(logits, features), axis=1).argmax()
    assert got.indices.tolist() == [longest]


def test_residuals_of_confident_predictions_keep_their_digits():
    got = badge_lib.probability_residuals(jnp.array([[20.0, 0.0, 0.0]]))
    tiny = np.exp(-20.0)
    np.testing.assert_allclose(got, [[-2 * tiny, tiny, tiny]], rtol=1e-4)


def test_draws_follow_the_weights():
    weights = np.zeros(1000, np.float32)
    weights[[3, 300, 999]] = [1, 2, 1]
    grid = (np.arange(400) + 0.5) / 400
    draw = jax.jit(jax.vmap(badge_lib.draw_by_weight, in_axes=(0, None)))
    found = np.asarray(draw(np.float32(grid), weights))
    assert {i: int((found == i).sum()) for i in (3, 300, 999)} == {
        3: 100,
        300: 200,
        999: 100,
    }
    top = np.nextafter(np.float32(1), np.float32(0))
    assert draw(jnp.array([top]), weights[:500])[0] == 300


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": 0}, "budget"),
        ({"budget": 6}, "at most the 5"),
        ({"logits": np.ones((4, 3))}, "lengths differ|budget"),
        ({"logits": np.ones((5, 1))}, "classes"),
        ({"logits": np.full((5, 3), np.nan)}, "logits"),
        ({"features": np.full((5, 2), np.inf)}, "features"),
        ({"features": np.ones(5)}, "rank 2"),
    ],
)
def test_bad_arguments(change, message):
    given = {"logits": np.ones((5, 3)), "features": np.ones((5, 2)), "budget": 2}
    given |= change
    with pytest.raises(ValueError, match=message):
        badge_lib.badge(jax.random.key(0), **given)


@pytest.mark.slow
def test_draws_out_of_range():
    with pytest.raises(ValueError, match="uniforms"):
        badge_lib.badge_from_draws([1.0], np.ones((5, 3)), np.ones((5, 2)))
