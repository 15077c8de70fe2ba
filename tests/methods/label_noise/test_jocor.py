"""Two networks under one joint loss, and one choice of examples for both."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import training
from robustjax.methods.label_noise import jocor
from robustjax.methods.label_noise._jocor import joint_loss, symmetric_kl
from robustjax.models import MLP
from robustjax.training import _epoch as epoch_lib
from tests.methods import recipe_problem
from tests.training import toy


def small(forget_rate=0.4, epochs=2, **options):
    return jocor(
        MLP(toy.C, (8,)),
        optax.sgd(0.1),
        epochs=epochs,
        forget_rate=forget_rate,
        **options,
    )


def numpy_softmax(logits):
    chances = np.exp(logits - logits.max(1, keepdims=True))
    return chances / chances.sum(1, keepdims=True)


def numpy_loss(first, second, labels, co_lambda):
    """Values (B,), and their gradients by both logits, from the definitions."""
    p, q = numpy_softmax(first), numpy_softmax(second)
    rows, one_hot = np.arange(len(labels)), np.eye(p.shape[1])[labels]
    forward = (p * np.log(p / q)).sum(1)
    backward = (q * np.log(q / p)).sum(1)
    supervised = -np.log(p[rows, labels]) - np.log(q[rows, labels])
    value = (1 - co_lambda) * supervised + co_lambda * (forward + backward)
    # KL(p || q) by the logits of p is p (log p/q - KL), by those of q it is q - p.
    by_first = p * (np.log(p / q) - forward[:, None]) + p - q
    by_second = q * (np.log(q / p) - backward[:, None]) + q - p
    return value, [
        (1 - co_lambda) * (p - one_hot) + co_lambda * by_first,
        (1 - co_lambda) * (q - one_hot) + co_lambda * by_second,
    ]


def test_joint_loss_and_both_gradients_equal_numpy(rng):
    logits = rng.normal(size=(2, 7, 4)).astype(np.float32) * 2
    labels = rng.integers(0, 4, 7)
    want, gradients = numpy_loss(*logits.astype(np.float64), labels, 0.7)
    np.testing.assert_allclose(joint_loss(logits, labels, 0.7), want, rtol=1e-5)
    got = jax.grad(lambda z: joint_loss(z, labels, 0.7).sum())(jnp.asarray(logits))
    np.testing.assert_allclose(got, gradients, atol=1e-5)


def test_symmetric_kl_is_symmetric_and_zero_for_equals(rng):
    first, second = jnp.asarray(rng.normal(size=(2, 5, 3)), jnp.float32)
    np.testing.assert_allclose(
        symmetric_kl(first, second), symmetric_kl(second, first), rtol=1e-6
    )
    np.testing.assert_allclose(symmetric_kl(first, first + 3.0), 0.0, atol=1e-6)
    assert (symmetric_kl(first, second) > 0.01).all()


def test_a_step_equals_numpy():
    """The same examples for both networks, and no others."""
    rate, co_lambda, size = 0.4, 0.65, 15
    recipe = small(rate, co_lambda=co_lambda, num_gradual=0)
    algorithm = recipe.phases[0].algorithm
    x, y = toy.arrays()
    data = training.TrainData(jnp.asarray(x), jnp.asarray(y[0]))
    spec = rj.ExampleSpec(toy.N, toy.C)
    state = toy.first_state(algorithm, data.inputs[:1], spec)
    x, y = x[:size].astype(np.float64), y[0, :size]
    networks = [
        jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i], np.float64), state.params)
        for i in range(2)
    ]
    hidden = [
        np.maximum(x @ p["hidden0"]["kernel"] + p["hidden0"]["bias"], 0)
        for p in networks
    ]
    logits = [
        h @ p["head"]["kernel"] + p["head"]["bias"] for h, p in zip(hidden, networks)
    ]
    value, deltas = numpy_loss(*logits, y, co_lambda)
    kept = int((1 - rate) * size)
    pick = np.argsort(value)[:kept]
    batch = epoch_lib.read_batch(data, jnp.arange(size), toy.N)
    after, metrics = jax.jit(
        lambda state, batch: training.train_step(algorithm, state, batch)
    )(state, batch)
    for i, (p, h, delta) in enumerate(zip(networks, hidden, deltas)):
        delta = delta[pick] / kept
        back = delta @ p["head"]["kernel"].T * (h[pick] > 0)
        got = jax.tree.map(lambda leaf, i=i: leaf[i], after.params)
        for layer, before, above in (
            ("head", h[pick], delta),
            ("hidden0", x[pick], back),
        ):
            want = p[layer]["kernel"] - 0.1 * before.T @ above
            np.testing.assert_allclose(got[layer]["kernel"], want, atol=1e-6)
            want = p[layer]["bias"] - 0.1 * above.sum(0)
            np.testing.assert_allclose(got[layer]["bias"], want, atol=1e-6)
    np.testing.assert_allclose(metrics["loss"], value[pick].mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["kept"], kept / size, rtol=1e-6)


@pytest.mark.slow
def test_beats_cross_entropy_on_wrong_labels():
    recipe = jocor(
        recipe_problem.DIGITS_MODEL,
        optax.adam(3e-3),
        epochs=40,
        forget_rate=0.5,
        co_lambda=0.65,
    )
    _, _, accuracy = recipe_problem.train_on_digits(recipe)
    assert accuracy > recipe_problem.plain_accuracy(epochs=40) + 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"forget_rate": -0.1}, "rate: got -0.1"),
        ({"co_lambda": 1.5}, "co_lambda: got 1.5"),
        ({"num_gradual": -1}, "num_gradual: got -1"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)
