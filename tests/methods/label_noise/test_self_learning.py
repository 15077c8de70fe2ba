"""Labels corrected by the prototypes of classes, and training with both labels."""

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import training
from robustjax.methods.label_noise import corrected_labels, self_learning
from robustjax.models import MLP
from robustjax.training import _epoch as epoch_lib
from tests.methods import recipe_problem
from tests.training import toy

MODEL = MLP(toy.C, (8,))
OPTIMIZER = optax.sgd(0.1)


def small(epochs=3, warmup_epochs=2, sample_size=20, num_prototypes=2, **options):
    return self_learning(
        MODEL,
        OPTIMIZER,
        epochs=epochs,
        warmup_epochs=warmup_epochs,
        sample_size=sample_size,
        num_prototypes=num_prototypes,
        **options,
    )


@functools.cache
def corrected_state(junk=30.0, **options):
    """The last phase's algorithm, a state after one correction, features, labels.

    The example axis is padded beyond the data, with junk.
    """
    algorithm = small(2, 1, **options).phases[-1].algorithm
    x, y = toy.arrays()
    spec = rj.ExampleSpec(toy.N, toy.C, pad_to=8)
    padding = spec.padded_examples - toy.N
    assert padding == 6
    inputs = jnp.pad(x, ((0, padding), (0, 0)), constant_values=junk)
    labels = jnp.pad(y[0], (0, padding))
    state = toy.first_state(algorithm, inputs[:1], spec)
    data = training.TrainData(inputs, labels)
    ended = jax.jit(
        lambda state: epoch_lib.end_epoch(algorithm, state, data, block_size=16)
    )(state)
    features = MODEL.apply({"params": state.params}, inputs, method="features")
    return algorithm, ended, np.asarray(features), np.asarray(labels)


def test_correction_equals_numpy():
    """With every example a prototype, the choice among them plays no part."""
    _, state, features, labels = corrected_state(
        sample_size=50, num_prototypes=50, max_similarity=2.0
    )
    unit = features / np.maximum(np.linalg.norm(features, axis=1)[:, None], 1e-30)
    scores = [
        np.mean(unit @ unit[: toy.N][labels[: toy.N] == c].T, axis=1)
        for c in range(toy.C)
    ]
    want = np.argmax(scores, axis=0)
    want[toy.N :] = -1
    np.testing.assert_array_equal(corrected_labels(state), want)
    assert (want[: toy.N] != labels[: toy.N]).any()
    rows = np.asarray(state.loss_state.rows["corrected"]["label"])
    np.testing.assert_array_equal(rows.sum(axis=1), np.arange(56) < toy.N)


def test_padding_is_no_prototype():
    """Equal features would be the densest of the class 0 that padding seems to be."""
    _, state, _, _ = corrected_state()
    _, other, _, _ = corrected_state(junk=-3.0)
    np.testing.assert_array_equal(corrected_labels(other), corrected_labels(state))


def test_corrections_are_fresh_every_epoch():
    algorithm, state, features, labels = corrected_state(
        sample_size=3, num_prototypes=1
    )
    data = training.TrainData(jnp.zeros((56, toy.D)), jnp.asarray(labels))
    again = jax.jit(algorithm.epoch)(state, data, jnp.asarray(features))
    assert (corrected_labels(again) != corrected_labels(state)).any()


def test_loss_is_of_both_labels():
    algorithm, state, _, labels = corrected_state(weight=0.3)
    x, _ = toy.arrays()
    data = training.TrainData(jnp.asarray(x), jnp.asarray(labels[: toy.N]))
    batch = epoch_lib.read_batch(data, jnp.arange(30, 46), toy.N)
    loss, _ = algorithm.objective(state.params, state, batch, jax.random.key(0))
    log_p = jax.nn.log_softmax(MODEL.apply({"params": state.params}, x[30:46]))
    given = -log_p[np.arange(16), labels[30:46]]
    corrected = -log_p[np.arange(16), corrected_labels(state)[30:46]]
    want = np.mean(0.7 * given + 0.3 * corrected)
    np.testing.assert_allclose(loss, want, rtol=1e-5)
    assert abs(want - np.mean(given)) > 1e-3


@pytest.mark.slow
def test_warm_up_is_plain_cross_entropy():
    recipe = small(epochs=3, warmup_epochs=2)
    assert [phase.epochs for phase in recipe.phases] == [1, 2]
    assert recipe.phases[0].algorithm.evaluate is None
    assert [phase.epochs for phase in small(3, 1).phases] == [3]
    plain = training.supervised(MODEL, rj.ce(), OPTIMIZER)
    x, y = toy.arrays()
    programs = [
        recipe_problem.toy_program(r) for r in (recipe, training.single_phase(plain, 3))
    ]
    data = programs[0].make_data(x, y)
    keys = jax.random.split(jax.random.key(0), toy.REPEATS)
    ours, theirs = (program.init(keys, data.inputs) for program in programs)
    for epoch in range(3):
        ours, _ = programs[0].at(epoch).epoch(ours, data)
        theirs, _ = programs[1].at(epoch).epoch(theirs, data)
        same = jax.tree.map(np.allclose, ours.params, theirs.params)
        assert all(jax.tree.leaves(same)) == (epoch < 2)
        # The first correction is there when the warm-up ends.
        assert (corrected_labels(ours) >= 0).all() == (epoch > 0)
        assert (corrected_labels(ours) == -1).all() == (epoch == 0)


@pytest.mark.slow
def test_eight_devices_equal_one(mesh):
    x, y = toy.arrays()
    recipe = small()
    spec = rj.ExampleSpec(toy.N, toy.C, pad_to=8)
    states = []
    for where in (None, mesh):
        program = training.RecipeProgram(
            recipe, spec, batch_size=16, execution=recipe_problem.EXECUTION, mesh=where
        )
        data = program.make_data(x, y[:1])
        state = program.init(jax.random.split(jax.random.key(0), 1), jnp.asarray(x))
        for epoch in range(recipe.epochs):
            state, _ = program.at(epoch).epoch(state, data)
        states.append(toy.without_keys(state))
    chex.assert_trees_all_close(*states, atol=2e-5)
    assert (corrected_labels(states[1])[0, : toy.N] >= 0).all()


@pytest.mark.slow
def test_beats_cross_entropy_on_wrong_labels():
    recipe = self_learning(
        recipe_problem.DIGITS_MODEL,
        optax.adam(3e-3),
        epochs=40,
        warmup_epochs=5,
        sample_size=100,
    )
    _, state, accuracy = recipe_problem.train_on_digits(recipe)
    assert accuracy > recipe_problem.plain_accuracy(epochs=40) + 0.05
    # Half of the given labels are right.
    train, _, _ = recipe_problem.noisy_digits()
    assert np.mean(corrected_labels(state) == train.labels[None]) > 0.75


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warmup_epochs": 0}, "warmup_epochs: got 0"),
        ({"epochs": 2}, "epochs: got 2, expected an integer >= 3"),
        ({"weight": 1.5}, "weight: got 1.5"),
        ({"sample_size": 1}, "sample_size: got 1, expected an integer >= 2"),
        ({"num_prototypes": 0}, "num_prototypes: got 0"),
        ({"prototypes": "dense"}, "prototypes: unknown 'dense'"),
        ({"percentile": 101.0}, "percentile: got 101.0"),
        (
            {"prototypes": "kmeans++", "percentile": 75.0},
            r"percentile: got 75.0 with prototypes='kmeans\+\+', expected its default",
        ),
        (
            {"prototypes": "density_euclidean", "max_similarity": 0.9},
            "max_similarity: got 0.9 with prototypes='density_euclidean'",
        ),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_model_without_features():
    with pytest.raises(ValueError, match="model: got Dense, expected one with"):
        self_learning(nn.Dense(3), OPTIMIZER, epochs=9)
