"""Two networks that pick each other's examples."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import training
from robustjax.methods.label_noise import co_teaching, co_teaching_optimizer
from robustjax.methods.label_noise._co_teaching import peer_weights
from robustjax.models import MLP
from robustjax.training import _epoch as epoch_lib
from tests.methods import recipe_problem
from tests.training import toy


def small(forget_rate=0.4, epochs=2, **options):
    return co_teaching(
        MLP(toy.C, (8,)),
        optax.sgd(0.1),
        epochs=epochs,
        forget_rate=forget_rate,
        **options,
    )


def test_each_network_gets_its_peers_picks():
    values = jnp.array([[1.0, 2.0, 3.0, 0.0, 9.0], [9.0, 3.0, 2.0, 0.0, 1.0]])
    mask = jnp.array([True, True, True, False, True])
    got = peer_weights(values, mask, jnp.int32(2))
    np.testing.assert_array_equal(got, [[0, 0, 1, 0, 1], [1, 1, 0, 0, 0]])


def numpy_step(params, x, labels, rate, learning_rate=0.1):
    """One SGD step of both networks, gradients by hand; and the mean of losses."""
    networks = [
        jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i], np.float64), params)
        for i in range(2)
    ]
    forward = []
    for p in networks:
        hidden = np.maximum(x @ p["hidden0"]["kernel"] + p["hidden0"]["bias"], 0)
        logits = hidden @ p["head"]["kernel"] + p["head"]["bias"]
        chances = np.exp(logits - logits.max(1, keepdims=True))
        chances /= chances.sum(1, keepdims=True)
        loss = -np.log(chances[np.arange(len(labels)), labels])
        forward.append((hidden, chances, loss))
    kept = int((1 - rate) * len(labels))
    picks = [np.argsort(loss)[:kept] for _, _, loss in forward]
    new, losses = [], []
    for p, (hidden, chances, loss), pick in zip(networks, forward, reversed(picks)):
        losses.append(loss[pick].mean())
        delta = (chances - np.eye(toy.C)[labels])[pick] / kept
        back = delta @ p["head"]["kernel"].T * (hidden[pick] > 0)
        gradient = {
            "hidden0": {"kernel": x[pick].T @ back, "bias": back.sum(0)},
            "head": {"kernel": hidden[pick].T @ delta, "bias": delta.sum(0)},
        }
        new.append(jax.tree.map(lambda w, g: w - learning_rate * g, p, gradient))
    return new, np.mean(losses)


@pytest.mark.slow
def test_a_step_equals_numpy():
    algorithm = small(0.5, num_gradual=3).phases[0].algorithm
    x, y = toy.arrays()
    data = training.TrainData(jnp.asarray(x), jnp.asarray(y[0]))
    spec = rj.ExampleSpec(toy.N, toy.C)
    state = toy.first_state(algorithm, data.inputs[:1], spec)
    # Epoch 1 of the authors' counting has half the rate, epoch 2 the whole of it.
    for epoch, rate in ((0, 0.25), (1, 0.5)):
        state = state._replace(epoch=jnp.int32(epoch))
        batch = epoch_lib.read_batch(data, jnp.arange(15), toy.N)
        want, loss = numpy_step(state.params, x[:15], y[0, :15], rate)
        state, metrics = jax.jit(
            lambda state, batch: training.train_step(algorithm, state, batch)
        )(state, batch)
        for i in range(2):
            jax.tree.map(
                lambda a, b, i=i: np.testing.assert_allclose(a[i], b, atol=1e-6),
                dict(state.params),
                want[i],
            )
        np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
        np.testing.assert_allclose(metrics["kept"], int((1 - rate) * 15) / 15)


@pytest.mark.slow
def test_a_step_under_pmap_equals_the_global_step():
    """The picks are of the whole batch, not of a device's part."""
    algorithm = small(num_gradual=0).phases[0].algorithm
    x, y = toy.arrays()
    data = training.TrainData(jnp.asarray(x), jnp.asarray(y[0]))
    spec = rj.ExampleSpec(toy.N, toy.C)
    state = toy.first_state(algorithm, data.inputs[:1], spec)
    batch = epoch_lib.read_batch(data, jnp.arange(16), toy.N)
    step = functools.partial(training.train_step, algorithm)
    want, metrics = jax.jit(step)(state, batch)
    mapped = jax.pmap(
        functools.partial(step, axis_name="devices"),
        axis_name="devices",
        in_axes=(None, 0),
    )
    shards = jax.tree.map(lambda a: a.reshape(8, 2, *a.shape[1:]), dict(batch))
    got, seen = mapped(state, shards)
    first = jax.tree.map(lambda leaf: leaf[0], got.params)
    chex.assert_trees_all_close(first, want.params, atol=1e-6)
    np.testing.assert_allclose(seen["loss"], float(metrics["loss"]), rtol=1e-5)


@pytest.mark.slow
def test_networks_differ_and_the_first_predicts():
    state, history = recipe_problem.run_toy(small())
    kernels = state.params["head"]["kernel"]
    assert np.abs(kernels[:, 0] - kernels[:, 1]).max() > 0.1
    assert set(history[0]) == {"loss", "accuracy", "kept"}
    x, _ = toy.arrays()
    first = jax.tree.map(lambda leaf: leaf[1, 0], state.params)
    want = MLP(toy.C, (8,)).apply({"params": first}, x)
    program = recipe_problem.toy_program(small())
    got = program.predict(state, jnp.asarray(x))
    np.testing.assert_allclose(got[1], want, atol=1e-5)


@pytest.mark.slow
def test_nothing_forgotten_is_two_plain_trainings():
    state, history = recipe_problem.run_toy(small(forget_rate=0.0))
    plain = training.supervised(MLP(toy.C, (8,)), rj.ce(), optax.sgd(0.1))
    algorithm = small(forget_rate=0.0).phases[0].algorithm
    x, y = toy.arrays()
    key = jax.random.split(jax.random.key(0), toy.REPEATS)[0]
    spec = rj.ExampleSpec(toy.N, toy.C)
    start = algorithm.init(key, jnp.asarray(x[:1]), spec)
    program = training.Program(
        plain, spec, batch_size=16, execution=recipe_problem.EXECUTION
    )
    data = program.make_data(x, y[:1])
    for network in range(2):
        alone = plain.init(key, jnp.asarray(x[:1]), spec)._replace(
            params=jax.tree.map(lambda leaf, n=network: leaf[n], start.params),
            key=start.key,
        )
        alone = jax.tree.map(lambda leaf: leaf[None], alone)
        for _ in range(2):
            alone, _ = program.epoch(alone, data)
        jax.tree.map(
            lambda a, b, n=network: np.testing.assert_allclose(
                a[0], b[0, n], atol=1e-6
            ),
            dict(alone.params),
            dict(state.params),
        )
    np.testing.assert_allclose(history[1]["kept"], 1.0, rtol=1e-6)


def test_optimizer_equals_adam_with_changing_betas():
    steps, rates, b1s = 3, [0.1, 0.1, 0.05, 0.0], [0.8, 0.3, 0.3, 0.3]
    optimizer = co_teaching_optimizer(
        steps, learning_rate=0.1, decay_from=2, zero_at=4, b1=0.8, late_b1=0.3
    )
    gradients = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)

    def step(carry, gradient):
        w, state = carry
        updates, state = optimizer.update(gradient, state, w)
        w = optax.apply_updates(w, updates)
        return (w, state), w

    w = jnp.ones(5)
    got = jax.jit(lambda g: jax.lax.scan(step, (w, optimizer.init(w)), g)[1])(gradients)
    w, m, v = np.ones(5), np.zeros(5), np.zeros(5)
    for t, g in enumerate(gradients.astype(np.float64)):
        rate, b1 = rates[t // steps], b1s[t // steps]
        m = b1 * m + (1 - b1) * g
        v = 0.999 * v + 0.001 * g**2
        m_hat, v_hat = m / (1 - b1 ** (t + 1)), v / (1 - 0.999 ** (t + 1))
        w = w - rate * m_hat / (np.sqrt(v_hat) + 1e-8)
        np.testing.assert_allclose(got[t], w, rtol=1e-4)


def test_published_optimizer_schedule():
    optimizer = co_teaching_optimizer(1)

    def step(state, _):
        _, state = optimizer.update(jnp.ones(1), state, jnp.zeros(1))
        return state, state.hyperparams

    start = optimizer.init(jnp.zeros(1))
    _, used = jax.jit(lambda s: jax.lax.scan(step, s, length=300))(start)
    epochs = np.array([1, 79, 80, 140, 199, 200, 300])
    rates = [1e-3, 1e-3, 1e-3, 5e-4, 1e-3 / 120, 0, 0]
    b1s = [0.9, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1]
    np.testing.assert_allclose(used["learning_rate"][epochs - 1], rates, rtol=1e-4)
    np.testing.assert_allclose(used["b1"][epochs - 1], b1s, rtol=1e-6)


@pytest.mark.slow
def test_beats_cross_entropy_on_wrong_labels():
    recipe = co_teaching(
        recipe_problem.DIGITS_MODEL, optax.adam(3e-3), epochs=40, forget_rate=0.5
    )
    _, _, accuracy = recipe_problem.train_on_digits(recipe)
    assert accuracy > 0.9
    assert accuracy > recipe_problem.plain_accuracy(epochs=40) + 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"forget_rate": 1.0}, "rate: got 1.0"),
        ({"num_gradual": -1}, "num_gradual: got -1"),
        ({"exponent": 0.0}, "exponent: got 0.0"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps_per_epoch": 0}, "steps_per_epoch: got 0"),
        ({"zero_at": 80}, "zero_at: got 80, expected an integer >= 81"),
        ({"late_b1": 1.0}, "late_b1: got 1.0"),
    ],
)
def test_bad_optimizer(options, message):
    with pytest.raises(ValueError, match=message):
        co_teaching_optimizer(**{"steps_per_epoch": 1, **options})
