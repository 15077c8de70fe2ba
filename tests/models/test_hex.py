"""HEX's projection, texture branch and network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import models

B, C = 9, 3


def test_the_projection_is_orthogonal_to_what_it_takes_out(rng):
    values = rng.normal(size=(B, C)).astype(np.float32)
    unwanted = rng.normal(size=(B, 4)).astype(np.float32)
    left = models.project_out(values, unwanted, ridge=0.0)
    np.testing.assert_allclose(unwanted.T @ left, 0, atol=1e-4)
    fit = np.linalg.lstsq(unwanted, values, rcond=None)[0]
    np.testing.assert_allclose(left, values - unwanted @ fit, atol=1e-4)
    # What lies in the span is gone, what is orthogonal to it stays.
    np.testing.assert_allclose(
        models.project_out(unwanted @ fit, unwanted, ridge=0.0), 0, atol=1e-4
    )
    again = models.project_out(left, unwanted, ridge=0.0)
    np.testing.assert_allclose(again, left, atol=1e-4)


@pytest.mark.parametrize("direction", [(0, 1), (1, -2)])
def test_cooccurrence_equals_a_loop_over_pixels(rng, direction):
    n, size = 4, 5
    branch = models.NeuralCooccurrence(n, direction, width=3)
    images = rng.random((2, size, size, 3)).astype(np.float32)
    variables = jax.jit(branch.init)(jax.random.key(0), images)
    params = jax.device_get(variables["params"])
    for name in ("lambda", "theta"):
        assert params[name].min() >= 0
        assert params[name].max() < n
    got = branch.apply(variables, images)
    level = np.floor(images.mean(-1) * (n - 1))
    matrix = np.zeros((2, n, n))
    for r in range(size):
        for c in range(size):
            at = r + direction[0], c + direction[1]
            inside = all(0 <= place < size for place in at)
            own = level[:, r, c]
            other = level[:, at[0], at[1]] if inside else own
            left = np.clip((other - own)[:, None] - params["lambda"], 1e-5, 1)
            right = np.clip(own[:, None] - params["theta"], 1e-5, 1)
            matrix += left[:, :, None] * right[:, None]
    dense = params["dense"]
    want = matrix.reshape(2, -1) @ dense["kernel"] + dense["bias"]
    np.testing.assert_allclose(got, np.maximum(want, 0), rtol=1e-4, atol=1e-4)


def test_what_are_no_gray_levels_has_no_texture(rng):
    branch = models.NeuralCooccurrence(4, width=3, maximum=2.0)
    images = 2 * rng.random((4, 5, 5, 3)).astype(np.float32)
    images[1, 0, 0] = 2.1
    images[2, 1, 1] = -0.1
    found, _ = jax.jit(branch.init_with_output)(jax.random.key(0), images)
    wrong = [False, True, True, False]
    np.testing.assert_array_equal(np.isnan(found), np.repeat([wrong], 3, 0).T)


def network(**options):
    return models.HexClassifier(
        models.MLP(C, (6,)), C, models.NeuralCooccurrence(4, width=5), **options
    )


@pytest.fixture(scope="module")
def problem():
    images = np.random.default_rng(0).random((B, 5, 5, 1)).astype(np.float32)
    variables = dict(jax.jit(network().init)(jax.random.key(0), images))
    return images, variables.pop("params"), variables


def train(problem, images=None, mask=None, **options):
    own, params, state = problem
    return jax.jit(
        lambda x, mask: network(**options).apply(
            {"params": params, **state}, x, train=True, mask=mask, mutable=[*state]
        )
    )(own if images is None else images, mask)


@pytest.mark.slow
def test_training_logits_are_projected_and_predictions_lack_texture(problem):
    images, params, _ = problem
    logits, changed = train(problem, ridge=0.1)
    features = models.MLP(C, (6,)).apply(
        {"params": params["model"]}, images, method="features"
    )
    texture = models.NeuralCooccurrence(4, width=5).apply(
        {"params": params["texture"]}, images
    )
    norms = [np.linalg.norm(each, axis=0) for each in (features, texture)]
    h, g = (np.asarray(e) / (n + 1e-9) for e, n in zip((features, texture), norms))
    kernel, shift = (np.asarray(params["head"][k]) for k in ("kernel", "bias"))
    both, superficial = h @ kernel[:6] + g @ kernel[6:] + shift, g @ kernel[6:] + shift
    want = models.project_out(both, superficial, ridge=0.1)
    np.testing.assert_allclose(logits, want, atol=2e-4)
    kept = changed["batch_stats"]
    np.testing.assert_allclose(kept["features_norm"], 0.9 + 0.1 * norms[0], rtol=1e-4)
    np.testing.assert_allclose(kept["texture_norm"], 0.9 + 0.1 * norms[1], rtol=1e-4)
    warm, _ = train(problem, project=False)
    np.testing.assert_allclose(warm, both, atol=2e-4)

    variables = {"params": params, **changed}
    predicted = network().apply(variables, images)
    by_kept = np.asarray(features) / np.asarray(kept["features_norm"])
    np.testing.assert_allclose(predicted, by_kept @ kernel[:6] + shift, atol=1e-4)
    alone = network().apply(variables, images[:1])
    np.testing.assert_allclose(alone, predicted[:1], atol=1e-5)


def test_padding_changes_nothing(problem):
    images, _, _ = problem
    mask = np.arange(B) < B - 2
    found = [
        train(problem, np.where(mask[:, None, None, None], images, junk), mask)
        for junk in (np.float32(0), np.float32(7))
    ]
    (one, one_state), (two, two_state) = jax.device_get(found)
    np.testing.assert_allclose(one[mask], two[mask], atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, one_state, two_state)
    short, _ = train(problem, images[: B - 2])
    np.testing.assert_allclose(one[mask], short, atol=1e-4)


def test_a_frozen_branch_gets_no_gradient(problem):
    images, params, state = problem

    @jax.jit
    def slope(params):
        def loss(params):
            logits, _ = network(learn_texture=False).apply(
                {"params": params, **state}, images, train=True, mutable=[*state]
            )
            return jnp.sum(logits**2)

        return jax.grad(loss)(params)

    found = slope(params)
    for leaf in jax.tree.leaves(found["texture"]):
        np.testing.assert_array_equal(leaf, 0)
    assert any(np.any(leaf) for leaf in jax.tree.leaves(found["model"]))


def test_bad_arguments(problem):
    images, _, _ = problem
    with pytest.raises(ValueError, match="batch_size: got 3, expected more"):
        train(problem, images[:3])
    with pytest.raises(ValueError, match="direction: got .0, 0."):
        models.NeuralCooccurrence(direction=(0, 0))
    with pytest.raises(ValueError, match="direction: got .0, 9., expected a step with"):
        models.NeuralCooccurrence(direction=(0, 9)).init(jax.random.key(0), images)
    with pytest.raises(ValueError, match="levels: got 1"):
        models.NeuralCooccurrence(1)
    with pytest.raises(ValueError, match="model: got NeuralCooccurrence, expected"):
        models.HexClassifier(models.NeuralCooccurrence(), 3)


def test_a_batch_with_too_few_real_rows_moves_no_parameter(problem):
    """Nothing of their logits would be left by the projection but rounding."""
    images, params, state = problem

    @jax.jit
    def slope(params, mask):
        def loss(params):
            logits, _ = network().apply(
                {"params": params, **state},
                images,
                train=True,
                mask=mask,
                mutable=[*state],
            )
            return jnp.sum(jnp.where(mask[:, None], logits, 0.0) ** 2), logits

        return jax.grad(loss, has_aux=True)(params)

    few, logits = slope(params, jnp.arange(B) < C)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(few))
    assert np.abs(logits[:C]).max() > 1e-2
    enough, _ = slope(params, jnp.arange(B) < C + 1)
    assert any(np.any(leaf) for leaf in jax.tree.leaves(enough))
