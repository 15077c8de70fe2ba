"""The recipe of the noise adaptation layer: what starts when, and from what."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import training
from robustjax.methods.label_noise import noise_adaptation
from robustjax.models import MLP, NoiseAdaptedClassifier
from robustjax.training import _epoch as epoch_lib
from tests.methods import recipe_problem
from tests.training import toy

MODEL = MLP(toy.C, (8,))
OPTIMIZER = optax.sgd(0.1)


def small(epochs=3, warmup_epochs=2, **options):
    return noise_adaptation(
        MODEL, OPTIMIZER, epochs=epochs, warmup_epochs=warmup_epochs, **options
    )


def states_of(recipe, pad_to=1):
    """The states after every epoch, the initial one first; inputs and labels."""
    x, y = toy.arrays()
    spec = rj.ExampleSpec(toy.N, toy.C, pad_to=pad_to)
    program = training.RecipeProgram(
        recipe, spec, batch_size=16, execution=recipe_problem.EXECUTION
    )
    data = program.make_data(x, y[:1])
    state = program.init(jax.random.split(jax.random.key(0), 1), data.inputs)
    states = [jax.tree.map(np.asarray, toy.without_keys(state))]
    for epoch in range(recipe.epochs):
        state, _ = program.at(epoch).epoch(state, data)
        states.append(jax.tree.map(np.asarray, toy.without_keys(state)))
    return states, x, y[0]


def alone(params):
    """The parameters of the only repeat."""
    return jax.tree.map(lambda leaf: leaf[0], params)


def clean_softmax(params, x):
    network = NoiseAdaptedClassifier(MODEL, toy.C, "simple")
    return np.asarray(jax.nn.softmax(network.apply({"params": alone(params)}, x)))


def numpy_bias(chances, labels, soft):
    counts = np.zeros((toy.C, toy.C))
    for p, y in zip(chances, labels):
        if soft:
            counts[:, y] += p
        else:
            counts[p.argmax(), y] += 1
    for c in np.flatnonzero(counts.sum(1) == 0):
        counts[c, c] = 1
    return np.log(counts / counts.sum(1, keepdims=True) + 1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("soft", [False, True])
def test_the_warm_up_ends_with_the_confusion_matrix(soft):
    """Of real examples only, and of the network as it is then."""
    states, x, y = states_of(small(soft=soft), pad_to=8)
    initial, before, after, last = (s.params["noise_adaptation"] for s in states)
    np.testing.assert_array_equal(before["bias"], initial["bias"])
    want = numpy_bias(clean_softmax(states[2].params, x), y, soft)
    np.testing.assert_allclose(after["bias"][0], want, atol=1e-4)
    assert np.abs(last["bias"] - after["bias"]).max() > 1e-4


@pytest.mark.slow
def test_the_warm_up_is_plain_cross_entropy():
    states, _, _ = states_of(small())
    network = NoiseAdaptedClassifier(MODEL, toy.C, "simple", adapt=False)
    plain = training.supervised(network, rj.ce(), OPTIMIZER)
    other, _, _ = states_of(training.single_phase(plain, 3))
    for epoch in range(4):
        for part in ("backbone", "head"):
            same = jax.tree.map(
                lambda a, b: np.allclose(a, b, atol=1e-6),
                states[epoch].params[part],
                other[epoch].params[part],
            )
            assert all(jax.tree.leaves(same)) == (epoch < 3)


@pytest.mark.slow
def test_the_loss_is_through_the_layer_and_predictions_are_not():
    recipe = small()
    states, x, y = states_of(recipe)
    algorithm = recipe.phases[-1].algorithm
    state = jax.tree.map(lambda leaf: leaf[0], states[2])
    state = state._replace(key=jax.random.key(0))
    data = training.TrainData(jnp.asarray(x), jnp.asarray(y))
    batch = epoch_lib.read_batch(data, jnp.arange(16), toy.N)
    loss, _ = algorithm.objective(state.params, state, batch, jax.random.key(1))
    clean = clean_softmax(states[2].params, x)
    theta = np.asarray(jax.nn.softmax(state.params["noise_adaptation"]["bias"]))
    noisy = (clean @ theta)[np.arange(16), y[:16]]
    np.testing.assert_allclose(loss, -np.log(noisy).mean(), rtol=1e-5)
    got = jax.nn.softmax(algorithm.predict(state.params, state.model_state, x))
    np.testing.assert_allclose(got, clean, atol=1e-6)


@pytest.mark.slow
def test_the_complex_layer_comes_after_the_simple_one():
    recipe = small(4, 1, kind="complex", simple_epochs=2)
    assert [phase.epochs for phase in recipe.phases] == [1, 1, 1, 1]
    states, x, y = states_of(recipe)
    layers = [s.params["noise_adaptation"] for s in states]
    for layer in layers[:4]:
        assert layer["kernel"].shape == (1, toy.C, 8, toy.C)
        np.testing.assert_array_equal(layer["kernel"], 0.0)
    assert np.abs(layers[4]["kernel"]).max() > 1e-4
    # The simple layer moves its bias, and the next estimate replaces it.
    assert np.abs(layers[2]["bias"] - layers[1]["bias"]).max() > 1e-4
    for epoch in (1, 3):
        want = numpy_bias(clean_softmax(states[epoch].params, x), y, False)
        np.testing.assert_allclose(layers[epoch]["bias"][0], want, atol=1e-4)


def test_phases():
    def epochs(**options):
        return [phase.epochs for phase in small(**options).phases]

    assert epochs(epochs=9, warmup_epochs=1) == [1, 8]
    assert epochs(epochs=9, warmup_epochs=4) == [3, 1, 5]
    assert epochs(epochs=9, warmup_epochs=4, kind="complex") == [3, 1, 1, 1, 3]
    direct = {"epochs": 9, "kind": "complex", "simple_epochs": 0}
    assert epochs(**direct) == [1, 1, 7]


@pytest.mark.slow
def test_beats_cross_entropy_on_mapped_labels():
    recipe = noise_adaptation(
        recipe_problem.DIGITS_MODEL, optax.adam(3e-3), epochs=20, warmup_epochs=5
    )
    given = recipe_problem.mapped_digits()
    _, _, accuracy = recipe_problem.train_on_digits(recipe, given=given)
    assert accuracy > recipe_problem.plain_accuracy(epochs=20, mapped=True) + 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "deep"}, "kind: unknown 'deep'; known: simple, complex"),
        ({"warmup_epochs": 0}, "warmup_epochs: got 0"),
        ({"epochs": 2}, "epochs: got 2, expected an integer >= 3"),
        ({"simple_epochs": 0}, "simple_epochs: got 0, expected None"),
        (
            {"kind": "complex", "simple_epochs": 1},
            r"simple_epochs: got 1, expected a number in \[0, 0\]",
        ),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


class OnlyFeatures(nn.Module):
    """A model that does not tell its number of classes."""

    def features(self, inputs, *, train=False, mask=None):
        return inputs


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Dense(3), "model: got Dense, expected one with a method 'features'"),
        (OnlyFeatures(), "model: got OnlyFeatures, expected one with 'num_classes'"),
    ],
)
def test_bad_models(model, message):
    with pytest.raises(ValueError, match=message):
        noise_adaptation(model, OPTIMIZER, epochs=9)
