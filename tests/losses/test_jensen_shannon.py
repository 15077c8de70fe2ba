"""The Jensen-Shannon loss against SciPy, its two ends, gradients and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import robustjax as rj
from robustjax import losses


def divergence(logits, labels, weight):
    """By its definition, in float64."""
    p = scipy.special.softmax(np.asarray(logits, np.float64), axis=-1)
    m = weight * labels + (1 - weight) * p
    to_label = scipy.special.rel_entr(labels, m).sum(-1)
    to_prediction = scipy.special.rel_entr(p, m).sum(-1)
    total = weight * to_label + (1 - weight) * to_prediction
    return -total / ((1 - weight) * np.log1p(-weight))


def problem(rng):
    logits = (rng.normal(size=(3, 4, 6)) * 3).astype(np.float32)
    target = rng.dirichlet(np.ones(6), (3, 4))
    target[0, 0] = [0.5, 0.5, 0, 0, 0, 0]
    return logits, rng.integers(0, 6, (3, 4)), target


# Close to an end the definition itself loses digits, also in float64.
@pytest.mark.parametrize("weight", [1e-4, 0.1, 0.5, 0.9, 0.9999])
def test_equals_the_definition(weight, rng):
    logits, labels, target = problem(rng)
    for given, rows in ((labels, np.eye(6)[labels]), (target, target)):
        got = losses.jensen_shannon(logits, jnp.asarray(given), label_weight=weight)
        want = divergence(logits, rows, weight)
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)


def test_ends_are_cross_entropy_and_half_the_absolute_error(rng):
    logits, labels, _ = problem(rng)
    got = losses.jensen_shannon(logits, labels, label_weight=1e-12)
    want = losses.cross_entropy(logits, labels)
    np.testing.assert_allclose(got, want, rtol=2e-6)
    # The distance falls as 1 / log(1 - w): a quarter, from 1e-4 to 1e-16.
    half = losses.mae(logits, labels) / 2
    far, near = (
        np.abs(losses.jensen_shannon(logits, labels, label_weight=1 - rest) - half)
        for rest in (1e-4, 2.0**-53)
    )
    np.testing.assert_allclose(near / far, np.log(1e-4) / np.log(2.0**-53), rtol=0.02)


def test_lies_between_nothing_and_its_bound():
    logits = jnp.asarray([[200.0, -200.0], [-200.0, 200.0]])
    labels = jnp.zeros(2, int)
    for weight in (0.1, 0.5, 0.9):
        rest = 1 - weight
        value, pull = jax.vjp(
            lambda x, w=weight: losses.jensen_shannon(x, labels, label_weight=w), logits
        )
        bound = 1 + weight * np.log(weight) / (rest * np.log(rest))
        np.testing.assert_allclose(value, [0, bound], rtol=1e-5, atol=1e-6)
        assert jnp.isfinite(pull(jnp.ones(2))[0]).all()


def test_gradient_is_that_of_the_definition(rng):
    logits = rng.normal(size=6)
    for labels in (np.eye(6)[2], rng.dirichlet(np.ones(6))):
        got = jax.grad(losses.jensen_shannon)(
            jnp.asarray(logits, jnp.float32), jnp.asarray(labels, jnp.float32)
        )
        step = 1e-5 * np.eye(6)
        want = divergence(logits + step, labels, 0.5)
        want = (want - divergence(logits - step, labels, 0.5)) / 2e-5
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5)


def test_weight_may_be_traced_and_half_precision_is_widened(rng):
    logits, labels, _ = problem(rng)
    traced = jax.jit(lambda w: losses.jensen_shannon(logits, labels, label_weight=w))
    want = losses.jensen_shannon(logits, labels, label_weight=0.7)
    np.testing.assert_allclose(traced(0.7), want, rtol=1e-5)
    half = jnp.asarray(logits, jnp.bfloat16)
    got = losses.jensen_shannon(half, labels, label_weight=0.7)
    assert got.dtype == jnp.float32
    want = losses.jensen_shannon(half.astype(jnp.float32), labels, label_weight=0.7)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("weight", [0.0, 1.0, -0.5, float("nan")])
def test_the_weight_leaves_room_for_both(weight):
    told = r"label_weight: got .*, expected a number in \(0, 1\)"
    with pytest.raises(ValueError, match=told):
        losses.jensen_shannon(jnp.zeros(3), 0, label_weight=weight)
    with pytest.raises(ValueError, match=told):
        rj.jensen_shannon(weight)


def test_labels_of_no_class_are_nan_and_other_shapes_refused():
    values = losses.jensen_shannon(jnp.zeros((3, 2)), jnp.asarray([0, 2, -1]))
    assert np.isnan(values).tolist() == [False, True, True]
    counted = jnp.asarray([1, 0, 0])
    gradient = jax.grad(
        lambda x: jnp.sum(
            jnp.where(counted, losses.jensen_shannon(x, jnp.asarray([0, 2, -1])), 0)
        )
    )(jnp.zeros((3, 2)))
    assert jnp.isfinite(gradient).all()
    with pytest.raises(ValueError, match=r"labels: got shape \(1,\), expected \(3,\)"):
        losses.jensen_shannon(jnp.zeros((3, 2)), jnp.zeros(1, int))
