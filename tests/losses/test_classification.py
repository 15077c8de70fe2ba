"""Losses against plain NumPy, their limits, gradients and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustjax import losses, transforms


def softmax(z):
    z = np.asarray(z, np.float64)
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# name -> (JAX loss, NumPy loss of (p, y) with y an index or a distribution)
HARD = {
    "cross_entropy": (losses.cross_entropy, lambda p, y: -np.log(p[y])),
    "mae": (losses.mae, lambda p, y: np.abs(np.eye(len(p))[y] - p).sum()),
    "gce": (losses.gce, lambda p, y: (1 - p[y] ** 0.7) / 0.7),
    "gce_weighted_ce": (
        losses.gce_weighted_ce,
        lambda p, y: -0.7 * p[y] ** 0.7 * np.log(p[y]),
    ),
    "truncated_gce": (
        losses.truncated_gce,
        lambda p, y: (1 - max(p[y], 0.5) ** 0.7) / 0.7,
    ),
    "reverse_cross_entropy": (
        losses.reverse_cross_entropy,
        lambda p, y: (
            -sum(p[k] * (0.0 if k == y else np.log(1e-4)) for k in range(len(p)))
        ),
    ),
    "symmetric_ce": (
        losses.symmetric_ce,
        lambda p, y: -0.1 * np.log(p[y]) + (1 - p[y]) * -np.log(1e-4),
    ),
}
SOFT = {
    "cross_entropy": (losses.cross_entropy, lambda p, t: -(t * np.log(p)).sum()),
    "mae": (losses.mae, lambda p, t: np.abs(t - p).sum()),
    "gce": (losses.gce, lambda p, t: (t * (1 - p**0.7) / 0.7).sum()),
    "gce_weighted_ce": (
        losses.gce_weighted_ce,
        lambda p, t: -(t * 0.7 * p**0.7 * np.log(p)).sum(),
    ),
    "reverse_cross_entropy": (
        losses.reverse_cross_entropy,
        lambda p, t: -(p * np.log(np.maximum(t, 1e-4))).sum(),
    ),
}


@pytest.mark.parametrize("name", HARD)
def test_equals_numpy_on_hard_labels(name, rng):
    logits = rng.normal(size=(4, 5, 6)).astype(np.float32) * 3
    labels = rng.integers(0, 6, (4, 5))
    loss, reference = HARD[name]
    got = loss(jnp.asarray(logits), jnp.asarray(labels))
    p = softmax(logits)
    want = [[reference(p[i, j], labels[i, j]) for j in range(5)] for i in range(4)]
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", SOFT)
def test_equals_numpy_on_distributions(name, rng):
    logits = rng.normal(size=(7, 5)).astype(np.float32) * 2
    target = rng.dirichlet(np.ones(5), 7)
    loss, reference = SOFT[name]
    got = loss(jnp.asarray(logits), jnp.asarray(target, jnp.float32))
    p = softmax(logits)
    want = [reference(p[i], target[i]) for i in range(7)]
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", SOFT)
def test_one_hot_distribution_equals_index(name, rng):
    logits = jnp.asarray(rng.normal(size=(9, 4)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 4, 9))
    loss = SOFT[name][0]
    np.testing.assert_allclose(
        loss(logits, labels), loss(logits, jax.nn.one_hot(labels, 4)), rtol=1e-5
    )


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.floats(-30, 30), st.floats(0.01, 1.0))
def test_gce_gradient_is_p_to_q_times_cross_entropy_gradient(z, q):
    logits = jnp.array([z, 0.0, -1.0])
    label = jnp.int32(0)
    p = softmax(np.asarray(logits))[0]
    gce = jax.grad(lambda x: losses.gce(x, label, q=q))(logits)
    ce = jax.grad(lambda x: losses.cross_entropy(x, label))(logits)
    np.testing.assert_allclose(gce, p**q * np.asarray(ce), rtol=1e-3, atol=1e-6)


def test_gce_limits(rng):
    logits = jnp.asarray(rng.normal(size=(20, 5)), jnp.float32) * 4
    labels = jnp.asarray(rng.integers(0, 5, 20))
    ce = losses.cross_entropy(logits, labels)
    np.testing.assert_array_equal(losses.gce(logits, labels, q=0.0), ce)
    np.testing.assert_allclose(losses.gce(logits, labels, q=1e-4), ce, rtol=2e-3)
    np.testing.assert_allclose(
        losses.gce(logits, labels, q=1.0), losses.mae(logits, labels) / 2, atol=1e-6
    )
    # The limit has the cross-entropy's gradient, also through a traced q.
    gradient = jax.jit(
        jax.grad(lambda x, q: losses.gce(x, labels, q=q).sum()), static_argnums=()
    )(logits, 0.0)
    want = jax.grad(lambda x: losses.cross_entropy(x, labels).sum())(logits)
    np.testing.assert_allclose(gradient, want, atol=1e-6)


@pytest.mark.parametrize("q", [0.2, 1.0])
def test_gce_weighted_ce_has_q_times_the_gradient_of_gce(q, rng):
    logits = jnp.asarray(rng.normal(size=(9, 5)), jnp.float32) * 3
    for labels in (rng.integers(0, 5, 9), rng.dirichlet(np.ones(5), 9)):
        labels = jnp.asarray(labels, jnp.float32 if labels.ndim == 2 else jnp.int32)
        textbook = jax.grad(lambda x: losses.gce(x, labels, q=q).sum())(logits)
        weighted = jax.grad(lambda x: losses.gce_weighted_ce(x, labels, q=q).sum())
        np.testing.assert_allclose(weighted(logits), q * textbook, atol=1e-6)


def test_gce_weighted_ce_is_largest_at_exp_minus_one_over_q():
    def at(p):
        logits = jnp.log(jnp.array([p, 1 - p], jnp.float32))
        return float(losses.gce_weighted_ce(logits, jnp.int32(0), q=0.7))

    peak = np.exp(-1 / 0.7)
    np.testing.assert_allclose(at(peak), np.exp(-1), rtol=1e-6)
    assert at(peak / 2) < at(peak) > at(peak * 2)


def test_log_zero_may_be_traced(rng):
    logits = jnp.asarray(rng.normal(size=(4, 3)), jnp.float32)
    for labels in (jnp.array([0, 1, 2, 0]), jnp.eye(3)[jnp.array([0, 1, 2, 0])]):
        got = jax.jit(lambda a: losses.symmetric_ce(logits, labels, log_zero=a))(-4.0)
        want = losses.symmetric_ce(logits, labels, log_zero=-4.0)
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_truncated_gce_has_no_gradient_below_k(rng):
    logits = jnp.asarray(rng.normal(size=(50, 3)), jnp.float32) * 2
    labels = jnp.asarray(rng.integers(0, 3, 50))
    gradient = jax.grad(lambda x: losses.truncated_gce(x, labels).sum())(logits)
    below = softmax(logits)[np.arange(50), labels] <= 0.5
    assert below.any()
    assert (~below).any()
    assert (np.asarray(gradient)[below] == 0).all()
    assert (np.abs(np.asarray(gradient)[~below]).sum(-1) > 0).all()


def test_reverse_cross_entropy_slope():
    logits = jnp.array([[0.3, -1.0, 2.0]])
    p = softmax(np.asarray(logits))[0]
    got = losses.reverse_cross_entropy(logits, jnp.array([1]))
    np.testing.assert_allclose(got, [9.2103404 * (1 - p[1])], rtol=1e-5)


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_extreme_logits_stay_finite(name, scale):
    logits = jnp.array([[scale, 0.0, -scale]])
    loss = HARD[name][0]
    value, gradient = jax.value_and_grad(lambda x: loss(x, jnp.array([0])).sum())(
        logits
    )
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", HARD)
def test_label_out_of_range_is_nan_not_silence(name):
    got = HARD[name][0](jnp.zeros((2, 3)), jnp.array([3, 0]))
    assert np.isnan(got[0])
    assert np.isfinite(got[1])


@pytest.mark.parametrize("name", HARD)
def test_half_precision_logits_are_computed_in_float32(name):
    got = HARD[name][0](jnp.ones((2, 3), jnp.bfloat16), jnp.array([0, 2]))
    assert got.dtype == jnp.float32


@pytest.mark.parametrize("name", HARD)
def test_a_common_level_of_64_bits_changes_nothing(name):
    """A softmax does not see it; a cast to float32 would leave equal logits."""
    logits = np.array([[1.0, 0.0, 3.0], [2.0, 0.5, 0.0]])
    labels = np.array([0, 1])
    want = HARD[name][0](logits, labels)
    np.testing.assert_allclose(HARD[name][0](1e9 + logits, labels), want, rtol=1e-6)


def test_nor_does_it_in_one_call_or_beside_other_data():
    logits, labels = np.array([[1.0, 0.0, 3.0], [2.0, 0.5, 0.0]]), np.array([0, 1])
    tx = transforms.chain(transforms.ce(), transforms.elr())
    state = tx.init(transforms.ExampleSpec(2, 3))
    want, got = (
        transforms.value(tx, state, z, labels, labels)[0]
        for z in (logits, 1e9 + logits)
    )
    np.testing.assert_allclose(got, want, rtol=1e-6)
    np.testing.assert_allclose(
        losses.uniform_cross_entropy(1e9 + logits),
        losses.uniform_cross_entropy(logits),
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda z, y: losses.gce(z, y, q=1.5), r"q: got 1.5, expected .*\[0, 1\]"),
        (lambda z, y: losses.truncated_gce(z, y, k=0.0), r"k: got 0.0"),
        (lambda z, y: losses.symmetric_ce(z, y, alpha=-1), "alpha: got -1"),
        (lambda z, y: losses.reverse_cross_entropy(z, y, log_zero=0.0), "log_zero"),
        (lambda z, y: losses.cross_entropy(z, y[:1]), r"labels: got shape \(1,\)"),
        (lambda z, y: losses.gce_weighted_ce(z, y, q=0.0), r"q: got 0.0, .*\(0, 1\]"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.zeros((2, 3)), jnp.array([0, 1]))


@pytest.mark.slow
def test_a_label_of_64_bits_is_not_cut():
    """2**32 + 1 is no class, and above all not class 1."""
    labels = np.array([2**32 + 1, 0, -(2**40)])
    wanted = [True, False, True]
    logits = np.eye(3, dtype=np.float32)
    np.testing.assert_array_equal(
        np.isnan(losses.cross_entropy(logits, labels)), wanted
    )
    one_hot = losses.as_distributions(labels, 3)
    np.testing.assert_array_equal(np.isnan(one_hot).any(axis=1), wanted)
    tx = transforms.ce()
    batch = {"label": labels}
    terms, _ = tx.update(transforms.start(batch), tx.init(None), batch, logits=logits)
    np.testing.assert_array_equal(np.isnan(terms.value), wanted)
