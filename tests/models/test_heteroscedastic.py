"""Heteroscedastic heads: covariance, temperature, chunks, streams, gradients."""

import functools

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.models import MLP, HeteroscedasticClassifier, HeteroscedasticHead
from robustjax.models._heteroscedastic import (
    LogitDistribution,
    Noise,
    draw_noise,
    mean_log_probabilities,
    sample_logits,
)
from tests.models.variables import count, random_variables

B, K, D = 3, 4, 5


@pytest.fixture
def features(rng):
    return rng.normal(size=(B, D)).astype(np.float32)


def apply(model, variables, inputs, *, rngs=None, **settings):
    run = functools.partial(model.apply, **settings)
    return jax.jit(run)(variables, inputs, rngs=rngs or {})


def distribution(rng, rank=2):
    return LogitDistribution(
        rng.normal(size=(B, K)).astype(np.float32),
        rng.normal(size=(B, K, rank)).astype(np.float32),
        rng.uniform(0.5, 1.5, (B, K)).astype(np.float32),
    )


def test_the_layers_are_the_published(rng, features):
    """mu, V and d from the features, by NumPy."""

    def dense(params, name):
        x = np.asarray(features, np.float64)
        return x @ np.asarray(params[name]["kernel"]) + np.asarray(params[name]["bias"])

    for settings in (
        {"rank": 2},
        {"rank": 2, "parameter_efficient": True},
        {"rank": 0},
    ):
        head = HeteroscedasticHead(K, num_samples=2, **settings)
        variables = random_variables(head, features)
        params = variables["params"]
        mean, factor, scale = apply(head, variables, features, method="distribution")
        np.testing.assert_allclose(mean, dense(params, "mean_layer"), rtol=1e-4)
        raw = dense(params, "scale_layer")
        np.testing.assert_allclose(scale, np.log1p(np.exp(raw)) + 1e-3, rtol=1e-4)
        if settings == {"rank": 0}:
            assert factor.shape == (B, K, 0)
            assert count(params) == 2 * (D + 1) * K
            continue
        want = dense(params, "factor_layer")
        if "parameter_efficient" in settings:
            shared = np.asarray(params["shared_factor"])
            assert shared.shape == (K, 2)
            want = want[:, :, None] * shared[None]
        np.testing.assert_allclose(factor, want.reshape(B, K, 2), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rank", [0, 2])
def test_the_covariance_of_samples_is_the_published(rng, rank):
    """V V^T + diag(d^2); a single draw for all classes would fill the matrix."""
    samples = 100_000
    dist = distribution(rng, rank)
    noise = draw_noise(jax.random.key(0), samples, rank, K)
    logits = np.asarray(jax.jit(sample_logits)(dist, noise), np.float64)
    assert logits.shape == (samples, B, K)
    for b in range(B):
        factor, scale = np.asarray(dist.factor[b]), np.asarray(dist.scale[b])
        want = factor @ factor.T + np.diag(scale**2)
        deviations = np.sqrt(np.diag(want))
        got = np.cov(logits[:, b].T)
        # The standard error of a covariance is at most sqrt(2 / S) of the scale.
        error = np.abs(got - want) / np.outer(deviations, deviations)
        assert error.max() < 5 * np.sqrt(2 / samples)
        error = np.abs(logits[:, b].mean(0) - np.asarray(dist.mean[b])) / deviations
        assert error.max() < 5 / np.sqrt(samples)


def some_noise(rng, samples, rank=2):
    return Noise(
        rng.normal(size=(samples, rank)).astype(np.float32),
        rng.normal(size=(samples, K)).astype(np.float32),
    )


def reference(dist, noise, temperature):
    mean, factor, scale = (np.asarray(x, np.float64) for x in dist)
    total = np.zeros((B, K))
    for e, each in zip(np.asarray(noise.factor), np.asarray(noise.classes)):
        u = (mean + factor @ e + scale * each[None]) / temperature
        p = np.exp(u - u.max(1, keepdims=True))
        total += p / p.sum(1, keepdims=True)
    return np.log(total / len(noise.classes))


def test_mean_probabilities_in_chunks(rng):
    dist, noise, temperature = distribution(rng), some_noise(rng, 11), 0.4
    want = reference(dist, noise, temperature)

    def loss(dist, chunk):
        log_p = mean_log_probabilities(dist, noise, temperature, chunk=chunk)
        return -jnp.sum(log_p[:, 0]), log_p

    run = jax.jit(jax.grad(loss, has_aux=True), static_argnums=1)
    # All at once, and in chunks of which the last is not full.
    whole, _ = run(dist, 100)
    for chunk in (100, 4):
        gradient, log_p = run(dist, chunk)
        np.testing.assert_allclose(log_p, want, rtol=1e-5, atol=1e-6)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
            gradient,
            whole,
        )


def test_nothing_large_is_in_memory(rng):
    """No array of the program, derivative included, has S times B times K values."""
    samples, chunk = 3000, 30
    dist, noise = distribution(rng), some_noise(rng, samples)

    def loss(dist):
        return jnp.sum(mean_log_probabilities(dist, noise, 1.0, chunk=chunk)[:, 0])

    compiled = jax.jit(jax.grad(loss)).lower(dist).compile()
    used = compiled.memory_analysis().temp_size_in_bytes
    assert used < samples * B * K * 4


def test_extremes_are_finite(rng):
    dist = LogitDistribution(
        jnp.array([[1e4, 0.0, 0.0, -1e4]]),
        jnp.full((1, K, 2), 10.0),
        jnp.full((1, K), 1e-3),
    )
    noise = some_noise(rng, 7)

    def loss(dist):
        return -mean_log_probabilities(dist, noise, 0.5, chunk=3)[0, 3]

    value, gradient = jax.jit(jax.value_and_grad(loss))(dist)
    assert 3.9e4 < value < 4.1e4
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))


def test_without_noise_it_is_the_tempered_softmax(rng):
    dist = distribution(rng)
    noise = Noise(jnp.zeros((5, 2)), jnp.zeros((5, K)))
    got = jax.jit(lambda dist: mean_log_probabilities(dist, noise, 2.0, chunk=5))(dist)
    np.testing.assert_allclose(got, jax.nn.log_softmax(dist.mean / 2), rtol=1e-5)


@pytest.mark.slow
def test_streams(features):
    head = HeteroscedasticHead(K, rank=1, num_samples=8)
    variables = random_variables(head, features)

    def run(head=head, seed=None, **settings):
        streams = {} if seed is None else {"heteroscedastic": jax.random.key(seed)}
        return np.asarray(apply(head, variables, features, rngs=streams, **settings))

    # Prediction is the same every time, unless it takes the stream.
    np.testing.assert_array_equal(run(), run(seed=1))
    assert np.abs(run(head.clone(seed=3)) - run()).max() > 1e-3
    free = head.clone(seed=None)
    np.testing.assert_array_equal(run(free, 1), run(seed=1, train=True))
    assert np.abs(run(seed=1, train=True) - run(seed=2, train=True)).max() > 1e-3
    for settings in ({"train": True}, {"head": free}):
        with pytest.raises(flax.errors.InvalidRngError, match="heteroscedastic"):
            run(**settings)


def test_samples_are_shared_by_the_batch(features):
    head = HeteroscedasticHead(K, rank=1, num_samples=8)
    variables = random_variables(head, features)
    streams = {"heteroscedastic": jax.random.key(0)}
    run = jax.jit(lambda x: head.apply(variables, x, train=True, rngs=streams))
    parts = [run(x[None]) for x in features]
    np.testing.assert_allclose(run(features), np.concatenate(parts), rtol=1e-5)


def test_a_learned_temperature_starts_in_the_middle(features):
    head = HeteroscedasticHead(K, rank=1, num_samples=8, temperature_range=(0.3, 3.0))
    params = dict(random_variables(head, features)["params"])
    raw = params.pop("raw_temperature")
    assert raw.shape == ()
    fixed = HeteroscedasticHead(K, rank=1, num_samples=8, temperature=1.65)
    want = apply(fixed, {"params": params}, features)

    @jax.jit
    def run(raw):
        return head.apply({"params": {**params, "raw_temperature": raw}}, features)

    np.testing.assert_allclose(run(jnp.float32(0)), want, rtol=1e-5)
    slope = jax.jit(jax.grad(lambda raw: run(raw)[0, 0]))(jnp.float32(0))
    assert np.isfinite(slope)
    assert slope != 0


def test_a_minimum_stops_the_gradient(features):
    head = HeteroscedasticHead(K, rank=0, num_samples=4)
    variables = random_variables(head, 10 * features)
    log_p = np.asarray(apply(head, variables, features))
    floor = float(np.exp(np.median(log_p)))
    clipped = head.clone(minimum=floor)
    got = apply(clipped, variables, features)
    np.testing.assert_allclose(got, np.maximum(log_p, np.log(floor)), rtol=1e-5)
    row, low = np.argwhere(log_p < np.log(floor))[0]
    slopes = jax.jit(jax.grad(lambda v: clipped.apply(v, features)[row, low]))
    gradient = slopes(variables)
    assert all((np.asarray(g) == 0).all() for g in jax.tree.leaves(gradient))


def test_the_classifier_trains(rng):
    inputs = rng.normal(size=(64, 6)).astype(np.float32)
    labels = inputs[:, :K].argmax(1)
    model = HeteroscedasticClassifier(
        MLP(99, (32,)), HeteroscedasticHead(K, rank=2, num_samples=16)
    )
    variables = random_variables(model, inputs)
    assert set(variables["params"]) == {"backbone", "head"}
    assert set(variables["params"]["backbone"]) == {"hidden0"}

    def loss(params, key):
        log_p = model.apply(
            {"params": params}, inputs, train=True, rngs={"heteroscedastic": key}
        )
        return -jnp.mean(log_p[np.arange(64), labels])

    @jax.jit
    def step(params, key):
        value, gradient = jax.value_and_grad(loss)(params, key)
        return jax.tree.map(lambda p, g: p - 0.3 * g, params, gradient), value

    params, losses = variables["params"], []
    for key in jax.random.split(jax.random.key(0), 60):
        params, value = step(params, key)
        losses.append(float(value))
    assert losses[-1] < 0.5 * losses[0]
    log_p = np.asarray(apply(model, {"params": params}, inputs))
    assert (log_p.shape, log_p.dtype) == ((64, K), np.float32)
    np.testing.assert_allclose(np.exp(log_p).sum(1), 1, rtol=1e-5)
    assert np.mean(np.asarray(log_p).argmax(1) == labels) > 0.8


@pytest.mark.slow
def test_errors():
    for match, settings in (
        ("rank: got -1", {"rank": -1}),
        ("rank: got 0", {"rank": 0, "parameter_efficient": True}),
        ("temperature: got 0", {"temperature": 0.0}),
        ("temperature_range: got 2", {"temperature_range": (2.0, 1.0)}),
        ("num_samples: got 0", {"num_samples": 0}),
        ("chunk: got 0", {"chunk": 0}),
        ("minimum: got 1", {"minimum": 1.0}),
    ):
        with pytest.raises(ValueError, match=match):
            HeteroscedasticHead(K, **settings)
    with pytest.raises(ValueError, match="num_classes: got 1"):
        HeteroscedasticHead(1)
    with pytest.raises(ValueError, match=r"features: got shape \(2, 3, 4\)"):
        HeteroscedasticHead(K).init(jax.random.key(0), jnp.zeros((2, 3, 4)))
