"""Forward and backward correction: NumPy, unbiasedness, minimisers, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import losses


def softmax(z):
    z = np.asarray(z, np.float64)
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.fixture
def transition(rng):
    t = rng.uniform(size=(5, 5)) + 2 * np.eye(5)
    return t / t.sum(1, keepdims=True)


@pytest.fixture
def logits(rng):
    return jnp.asarray(rng.normal(size=(8, 5)), jnp.float32)


def every_label(loss, logits, transition):
    """(C, B): the loss under each of the given labels."""
    matrix = jnp.asarray(transition, jnp.float32)
    size, num_classes = logits.shape
    labels = jnp.repeat(jnp.arange(num_classes)[:, None], size, axis=1)
    tiled = jnp.tile(logits, (num_classes, 1, 1))
    return jax.jit(loss)(tiled, labels, transition=matrix)


def test_forward_correction_equals_numpy(logits, transition):
    want = -np.log(softmax(logits) @ transition).T
    got = every_label(losses.forward_corrected_ce, logits, transition)
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_backward_correction_equals_numpy(logits, transition):
    want = -(np.log(softmax(logits)) @ np.linalg.inv(transition).T).T
    got = every_label(losses.backward_corrected_ce, logits, transition)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "loss", [losses.forward_corrected_ce, losses.backward_corrected_ce]
)
def test_identity_is_cross_entropy(loss, logits, rng):
    labels = jnp.asarray(rng.integers(0, 5, 8))
    np.testing.assert_allclose(
        jax.jit(loss)(logits, labels, transition=jnp.eye(5)),
        losses.cross_entropy(logits, labels),
        rtol=1e-5,
    )


def test_backward_correction_is_unbiased_and_can_be_negative(logits, transition):
    backward = every_label(losses.backward_corrected_ce, logits, transition)
    clean = -np.log(softmax(logits)).T
    np.testing.assert_allclose(transition @ backward, clean, rtol=1e-4, atol=1e-5)
    assert (np.asarray(backward) < 0).any()


def test_backward_correction_has_the_clean_gradient_in_expectation(logits, transition):
    matrix = jnp.asarray(transition, jnp.float32)
    noisy = jnp.tile(matrix[2], (8, 1))  # P(given | true = 2), as distribution labels
    gradient = jax.grad(
        lambda z: losses.backward_corrected_ce(z, noisy, transition=matrix).sum()
    )
    got = jax.jit(gradient)(logits)
    want = softmax(logits) - np.eye(5)[2]
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize(
    "loss", [losses.forward_corrected_ce, losses.backward_corrected_ce]
)
def test_noisy_risk_is_smallest_at_the_true_posterior(loss, transition, rng):
    posterior = rng.dirichlet(np.ones(5))
    noisy = jnp.asarray(posterior @ transition, jnp.float32)

    @jax.jit
    def risk(z):
        return noisy @ every_label(loss, z[None, :], transition)[:, 0]

    best = jnp.asarray(np.log(posterior), jnp.float32)
    np.testing.assert_allclose(jax.grad(risk)(best), 0, atol=1e-5)
    for move in rng.normal(size=(20, 5)).astype(np.float32):
        assert risk(best + move) > risk(best)


def test_forward_gradient_equals_finite_differences(transition):
    z = np.array([0.3, -1.0, 2.0, 0.0, 0.7])
    moves = 1e-6 * np.eye(5)

    def reference(x):
        return -np.log(softmax(x) @ transition)[3]

    want = [(reference(z + d) - reference(z - d)) / 2e-6 for d in moves]
    matrix = jnp.asarray(transition, jnp.float32)
    gradient = jax.grad(lambda x: losses.forward_corrected_ce(x, 3, transition=matrix))
    got = jax.jit(gradient)(jnp.asarray(z))
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("label", [0, 1, 2])
def test_extreme_logits(label):
    """Log probabilities are 0, -1e4, -2e4; class 1 is given for 1 and 2 alone."""
    logits = jnp.array([1e4, 0.0, -1e4])
    matrix = jnp.array([[0.5, 0.0, 0.5], [0.0, 1.0, 0.0], [0.0, 0.5, 0.5]])
    forward, slope = jax.value_and_grad(
        lambda z: losses.forward_corrected_ce(z, label, transition=matrix)
    )(logits)
    np.testing.assert_allclose(forward, [np.log(2), 1e4, np.log(2)][label], rtol=1e-6)
    assert np.isfinite(slope).all()
    inverse = np.linalg.inv(np.asarray(matrix))
    backward, slope = jax.value_and_grad(
        lambda z: losses.backward_corrected_ce(z, label, transition=matrix)
    )(logits)
    np.testing.assert_allclose(backward, inverse[label] @ [0, 1e4, 2e4], rtol=1e-5)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize(
    "loss", [losses.forward_corrected_ce, losses.backward_corrected_ce]
)
def test_label_out_of_range_is_nan_with_gradient_zero_once_masked(loss):
    labels = jnp.array([3, 0, -1])
    inside = jnp.array([False, True, False])
    matrix = jnp.array([[0.6, 0.4, 0.0], [0.1, 0.9, 0.0], [0.2, 0.2, 0.6]])

    def masked(z):
        value = loss(z, labels, transition=matrix)
        return jnp.where(inside, value, 0.0).sum(), value

    gradient, value = jax.jit(jax.grad(masked, has_aux=True))(jnp.zeros((3, 3)))
    np.testing.assert_array_equal(np.isnan(value), ~inside)
    assert np.isfinite(gradient).all()
    assert not gradient[np.array([0, 2])].any()


def test_a_traced_matrix_is_inverted_too(logits, transition):
    labels = jnp.arange(8) % 5
    matrix = jnp.asarray(transition, jnp.float32)
    traced = jax.jit(
        lambda t: losses.backward_corrected_ce(logits, labels, transition=t)
    )
    want = losses.backward_corrected_ce(logits, labels, transition=matrix)
    np.testing.assert_allclose(traced(matrix), want, rtol=1e-4, atol=1e-5)


SINGULAR = jnp.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda z, y: losses.forward_corrected_ce(z, y, transition=jnp.ones((3, 3))),
            "transition: rows sum to 3",
        ),
        (
            lambda z, y: losses.forward_corrected_ce(z, y, transition=jnp.eye(4)),
            r"transition: got shape \(4, 4\)",
        ),
        (
            lambda z, y: losses.forward_corrected_ce(
                z, jax.nn.one_hot(y, 3), transition=jnp.eye(3)
            ),
            "labels: got distributions",
        ),
        (
            lambda z, y: losses.backward_corrected_ce(z, y, transition=SINGULAR),
            "transition: got a singular matrix",
        ),
        (
            lambda z, y: losses.backward_corrected_ce(
                z, y, transition=jnp.full((3, 3), 1 / 3)
            ),
            "transition: got a singular matrix",
        ),
        (
            lambda z, y: losses.backward_corrected_ce(
                z, y, transition=jnp.ones((3, 3))
            ),
            "transition: rows sum to 3",
        ),
        (
            lambda z, y: losses.backward_corrected_ce(
                z, y, transition=jnp.eye(3)[None, :, :]
            ),
            "transition: got shape .*expected rank 2",
        ),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.zeros((2, 3)), jnp.array([0, 1]))
