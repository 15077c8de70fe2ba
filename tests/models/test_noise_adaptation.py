"""Noise adaptation: values against NumPy, initial biases, the classifier."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.models import (
    MLP,
    NoiseAdaptation,
    NoiseAdaptedClassifier,
    confusion_bias,
    fallback_bias,
    replace_bias,
)
from tests.models.variables import random_variables

B, K, D = 6, 4, 3


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def draw(rng, *shape):
    return rng.normal(0, 2, shape).astype(np.float32)


@pytest.mark.parametrize("kind", ["simple", "complex"])
def test_values_are_mixtures_of_the_rows_of_theta(rng, kind):
    logits, features = draw(rng, B, K), draw(rng, B, D)
    params = {"bias": draw(rng, K, K)}
    if kind == "complex":
        params["kernel"] = draw(rng, K, D, K)
    want = np.zeros((B, K))
    for b in range(B):
        clean = softmax(logits[b])
        for i in range(K):
            row = params["bias"][i].astype(np.float64)
            if kind == "complex":
                row = row + features[b] @ params["kernel"][i]
            want[b] += clean[i] * softmax(row)
    layer = NoiseAdaptation(K, kind)
    got = layer.apply({"params": params}, logits, features)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(np.exp(got), want, rtol=1e-4)
    np.testing.assert_allclose(np.exp(got).sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize("kind", ["simple", "complex"])
def test_a_bias_like_the_identity_changes_nothing(rng, kind):
    logits, features = draw(rng, B, K), draw(rng, B, D)
    layer = NoiseAdaptation(K, kind)
    params = dict(jax.jit(layer.init)(jax.random.key(0), logits, features)["params"])
    # The kernel of the complex layer starts at zero.
    params["bias"] = 100.0 * jnp.eye(K)
    got = layer.apply({"params": params}, logits, features)
    np.testing.assert_allclose(got, jax.nn.log_softmax(logits), rtol=1e-5, atol=1e-6)


def test_extreme_logits_stay_finite():
    logits = jnp.array([[1e4, -1e4, 0.0, 0.0]])
    bias = jnp.log(jnp.eye(K) + 1e-8)

    def loss(logits, bias):
        return -NoiseAdaptation(K).apply({"params": {"bias": bias}}, logits)[0, 1]

    value, gradients = jax.value_and_grad(loss, (0, 1))(logits, bias)
    # p(given 1 | true 0) under the bias.
    np.testing.assert_allclose(value, np.log(1 + 4e-8) - np.log(1e-8), rtol=1e-5)
    assert all(np.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("soft", [False, True])
def test_confusion_bias_equals_counting(rng, soft):
    count = 50
    probabilities = softmax(draw(rng, count, K))
    probabilities[:, 2] = 0  # Never predicted.
    given = rng.integers(0, K, count)
    mask = rng.random(count) < 0.8
    matrix = np.zeros((K, K))
    for p, y, real in zip(probabilities, given, mask):
        if real and soft:
            matrix[:, y] += p
        elif real:
            matrix[p.argmax(), y] += 1
    matrix[2] = np.eye(K)[2]
    want = np.log(matrix / matrix.sum(1, keepdims=True) + 1e-8)

    def run(probabilities, given, mask):
        return confusion_bias(probabilities, given, K, soft=soft, mask=mask)

    for function in (run, jax.jit(run)):
        got = function(probabilities, given, mask)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    if not soft:
        classes = probabilities.argmax(1)
        got = confusion_bias(classes, given, K, mask=mask)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_fallback_bias():
    got = np.asarray(fallback_bias(jax.random.key(0), 10))
    want = np.full((10, 10), np.log(0.46 / 9))
    np.fill_diagonal(want, np.log(0.54))
    added = got - want
    assert (added > -1e-6).all()
    assert (added < 0.01 + 1e-6).all()
    assert np.unique(added).size > 90
    layer = NoiseAdaptation(10).init(jax.random.key(1), jnp.zeros((1, 10)))
    assert np.abs(layer["params"]["bias"] - want).max() < 0.01 + 1e-6


def test_the_classifier_adapts_in_training_only(rng):
    inputs = draw(rng, B, D)
    model = NoiseAdaptedClassifier(MLP(99, (8, 5)), K, "complex")
    variables = random_variables(model, inputs)
    params = variables["params"]
    # The backbone's own head is not used.
    assert set(params) == {"backbone", "head", "noise_adaptation"}
    assert set(params["backbone"]) == {"hidden0", "hidden1"}
    features = model.apply(variables, inputs, method="features")
    assert features.shape == (B, 5)
    head = params["head"]
    clean = features @ head["kernel"] + head["bias"][None]
    layer = NoiseAdaptation(K, "complex")
    noisy = layer.apply({"params": params["noise_adaptation"]}, clean, features)
    for train, adapt, want in (
        (False, True, clean),
        (True, True, noisy),
        (True, False, clean),
    ):
        got = model.clone(adapt=adapt).apply(variables, inputs, train=train)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    for got, want in zip(model.apply(variables, inputs, method="both"), (clean, noisy)):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    bias = jnp.ones((K, K))
    replaced = replace_bias(params, bias)
    np.testing.assert_array_equal(replaced["noise_adaptation"]["bias"], bias)
    replaced["noise_adaptation"]["bias"] = params["noise_adaptation"]["bias"]
    jax.tree.map(np.testing.assert_array_equal, replaced, dict(params))


def test_with_the_confusion_as_bias_the_right_classes_are_the_likeliest(rng):
    """Of all ways to name the classes, the unpermuted explains the labels best."""
    true = rng.integers(0, K, 4000)
    given = np.where(rng.random(4000) < 0.4, (true + 1) % K, true)
    params = {"bias": confusion_bias(true, given, K)}
    layer = NoiseAdaptation(K)

    def loss(names):
        logits = 10.0 * np.eye(K, dtype=np.float32)[np.array(names)[true]]
        log_p = np.asarray(layer.apply({"params": params}, logits))
        return -log_p[np.arange(4000), given].mean()

    losses = {names: loss(names) for names in itertools.permutations(range(K))}
    best, second = sorted(losses, key=losses.get)[:2]
    assert best == tuple(range(K))
    assert losses[second] > losses[best] + 0.1


@pytest.mark.slow
def test_errors(rng):
    with pytest.raises(ValueError, match="kind: unknown 'hard'"):
        NoiseAdaptation(K, "hard")
    with pytest.raises(ValueError, match="noise_rate: got 0"):
        NoiseAdaptation(K, noise_rate=0.0)
    with pytest.raises(ValueError, match=r"logits: got shape \(2, 3\)"):
        NoiseAdaptation(K).init(jax.random.key(0), jnp.zeros((2, 3)))
    with pytest.raises(ValueError, match="features: got None"):
        NoiseAdaptation(K, "complex").init(jax.random.key(0), jnp.zeros((2, K)))
    with pytest.raises(ValueError, match="given_labels: 1 label"):
        confusion_bias(jnp.zeros(2, int), jnp.array([0, K]), K)
    with pytest.raises(ValueError, match="predictions: lengths differ"):
        confusion_bias(jnp.zeros(2, int), jnp.zeros(3, int), K)
    with pytest.raises(ValueError, match=r"expected \(N, 4\) probabilities"):
        confusion_bias(jnp.zeros((2, 5)), jnp.zeros(2, int), K)
    with pytest.raises(ValueError, match="where soft is True"):
        confusion_bias(jnp.zeros(2, int), jnp.zeros(2, int), K, soft=True)
    shares, labels = jnp.full((2, K), 1 / K), jnp.zeros(2, int)
    with pytest.raises(ValueError, match="mask: got int.*, expected bool"):
        confusion_bias(shares, labels, K, mask=jnp.array([2, 1]))
    with pytest.raises(ValueError, match="predictions: got -.*are these logits"):
        confusion_bias(jnp.log(shares), labels, K, soft=True)
    with pytest.raises(ValueError, match="predictions: 1 row.* hold NaN"):
        confusion_bias(shares.at[1, 0].set(jnp.nan), labels, K)
    with pytest.raises(ValueError, match="num_classes: got 1"):
        fallback_bias(jax.random.key(0), 1)
    params = {"noise_adaptation": {"bias": jnp.zeros((K, K))}}
    with pytest.raises(ValueError, match=r"bias: got shape \(3, 3\)"):
        replace_bias(params, jnp.zeros((3, 3)))
