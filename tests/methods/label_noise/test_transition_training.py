"""Loss correction: the estimate of the matrix, the phases, what is kept."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import corruption, losses, training
from robustjax.corruption import anchor_transition
from robustjax.methods.label_noise import transition_training
from robustjax.methods.label_noise._transition_training import (
    estimate_transition,
    transition_corrected,
)
from robustjax.models import MLP
from tests.methods import recipe_problem
from tests.training import toy

KNOWN = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.0, 0.3, 0.7]])


def small(epochs=4, **options):
    return transition_training(
        MLP(toy.C, (8,)), optax.sgd(0.1, momentum=0.9), epochs=epochs, **options
    )


@pytest.mark.parametrize("percentile", [97.0, 50.0, None])
def test_padding_does_not_change_the_estimate(rng, percentile):
    # 97 and 50 per cent of 100 steps are whole numbers, where rounding could slip.
    logits = rng.normal(size=(101, 4)).astype(np.float32) * 3
    junk = np.full((11, 4), 50.0, np.float32)
    junk[:, 1:] = 0
    want = anchor_transition(jax.nn.softmax(logits), percentile=percentile)

    @jax.jit
    def estimate(logits, num_examples):
        return estimate_transition(logits, num_examples, percentile)

    np.testing.assert_allclose(estimate(logits, 101), want, rtol=1e-6)
    padded = np.concatenate([logits, junk])
    np.testing.assert_allclose(estimate(padded, 101), want, rtol=1e-6)
    # Row i is the prediction of a real example.
    chances = np.asarray(jax.nn.softmax(logits))
    for row in np.asarray(want):
        assert np.abs(chances - row).max(axis=1).min() < 1e-6


@pytest.mark.parametrize("correction", ["forward", "backward"])
def test_head_uses_the_matrix_of_its_state(rng, correction):
    logits = jnp.asarray(rng.normal(size=(6, 3)), jnp.float32)
    batch = {"index": jnp.arange(6), "label": jnp.asarray(rng.integers(0, 3, 6))}
    spec = rj.ExampleSpec(10, 3)

    def value(transform):
        terms, _ = transform.update(
            rj.start(batch), transform.init(spec), batch, logits=logits
        )
        return terms.value

    plain = losses.cross_entropy(logits, batch["label"])
    identity = value(transition_corrected(correction))
    np.testing.assert_allclose(identity, plain, rtol=1e-5)
    log_p = np.log(np.asarray(jax.nn.softmax(logits), np.float64))
    y = np.asarray(batch["label"])
    if correction == "forward":
        want = -np.log((np.exp(log_p) @ KNOWN)[np.arange(6), y])
    else:
        want = -(np.linalg.inv(KNOWN)[y] * log_p).sum(1)
    np.testing.assert_allclose(
        value(transition_corrected(correction, KNOWN)), want, rtol=1e-4
    )


def first_phase(recipe):
    """(state, its predictions) at the end of phase one, before the matrix is used."""
    x, y = toy.arrays()
    program = recipe_problem.toy_program(recipe)
    held = program.make_data(x, y)
    keys = jax.random.split(jax.random.key(0), toy.REPEATS)
    state = program.init(keys, held.inputs)
    first = jax.tree.map(np.asarray, state.params)
    for epoch in range(2):
        state, _ = program.at(epoch).epoch(state, held)
    return first, state, program.predict(state, held.inputs)


@pytest.mark.slow
def test_matrix_is_estimated_once_from_cross_entropy_training():
    _, state, logits = first_phase(small(restart=False, percentile=90.0))
    # Phase one is plain training.
    plain = training.single_phase(
        training.supervised(MLP(toy.C, (8,)), rj.ce(), optax.sgd(0.1, momentum=0.9)), 2
    )
    want, _ = recipe_problem.run_toy(plain)
    chex.assert_trees_all_close(state.params, want.params, atol=1e-5)
    matrix = np.asarray(state.loss_state.shared["transition"])
    for r in range(toy.REPEATS):
        expected = anchor_transition(jax.nn.softmax(logits[r]), percentile=90.0)
        np.testing.assert_allclose(matrix[r], expected, rtol=1e-5)
    assert np.abs(matrix - np.eye(toy.C)).max() > 0.05
    # Phase two leaves it alone.
    after, _ = recipe_problem.run_toy(small(restart=False, percentile=90.0))
    np.testing.assert_allclose(after.loss_state.shared["transition"], matrix, rtol=1e-4)


@pytest.mark.slow
def test_restart_begins_anew():
    first, state, _ = first_phase(small())
    kernel = np.asarray(state.params["hidden0"]["kernel"])
    # He-normal again, other numbers, and a momentum of zero.
    assert np.abs(kernel - first["hidden0"]["kernel"]).max() > 0.1
    assert np.abs(kernel[0] - kernel[1]).max() > 0.1
    for leaf in jax.tree.leaves(state.params):
        if leaf.ndim == 2:
            np.testing.assert_array_equal(leaf, 0)
    for leaf in jax.tree.leaves(state.opt_state):
        np.testing.assert_array_equal(leaf, 0)
    _, kept, _ = first_phase(small(restart=False))
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(kept.opt_state)) > 1e-3


def test_phases():
    def epochs(**options):
        return [phase.epochs for phase in small(**options).phases]

    assert epochs() == [1, 1, 2]
    assert epochs(estimation_epochs=1) == [1, 3]
    assert epochs(epochs=5, estimation_epochs=4) == [3, 1, 1]
    assert epochs(transition=KNOWN) == [4]


@pytest.mark.slow
def test_resumes_with_its_matrix(tmp_path):
    recipe = small(percentile=None)
    program = recipe_problem.toy_program(recipe)

    def fit(epochs, **options):
        x, y = toy.arrays()
        held = program.make_data(x, y)
        keys = jax.random.split(jax.random.key(0), toy.REPEATS)
        state = training.fit(
            program, program.init(keys, held.inputs), held, epochs=epochs, **options
        )
        return toy.without_keys(state)

    folder = training.CheckpointFolder(tmp_path)
    fit(3, checkpoints=folder)
    chex.assert_trees_all_equal(fit(4, checkpoints=folder), fit(4))


@pytest.mark.slow
def test_beats_cross_entropy_where_classes_are_confused():
    """Digits, 45 % of every class labelled as the next one."""
    train, test, _ = recipe_problem.noisy_digits()
    transition = corruption.transitions.map_transition((np.arange(10) + 1) % 10, 0.45)
    draws = np.random.default_rng(0).random(len(train.labels))
    given = np.where(draws < 0.45, (train.labels + 1) % 10, train.labels)

    def accuracy(recipe):
        program = training.RecipeProgram(
            recipe,
            rj.ExampleSpec(len(given), 10),
            batch_size=64,
            execution=recipe_problem.EXECUTION,
        )
        held = program.make_data(train.inputs, given[None])
        state = program.init(jax.random.key(0)[None], held.inputs)
        state = training.fit(program, state, held, epochs=recipe.epochs)
        logits = program.predict(state, jnp.asarray(test.inputs))
        right = np.argmax(logits[0], axis=-1) == test.labels
        return right.mean(), np.asarray(state.loss_state.shared["transition"][0])

    model, optimizer = MLP(10, (32,)), optax.sgd(0.05, momentum=0.9)

    def run(epochs=30, **options):
        return accuracy(transition_training(model, optimizer, epochs=epochs, **options))

    plain, _ = run(transition=np.eye(10))
    known, _ = run(transition=transition)
    estimated, matrix = run(epochs=40, estimation_epochs=10)
    assert known > plain + 0.1, (known, plain)
    assert estimated > plain + 0.05, (estimated, plain)
    assert np.abs(matrix - transition).mean() < 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"correction": "sideways"}, "correction: unknown 'sideways'"),
        ({"epochs": 1}, "epochs: got 1"),
        ({"estimation_epochs": 4}, "estimation_epochs: got 4"),
        ({"estimation_epochs": 0}, "estimation_epochs: got 0"),
        ({"percentile": 0.0}, "percentile: got 0"),
        ({"transition": KNOWN, "estimation_epochs": 1}, "estimation_epochs: got 1"),
        ({"transition": 2 * KNOWN}, "transition: rows sum to 2"),
        (
            {"transition": np.full((3, 3), 1 / 3), "correction": "backward"},
            "transition: got a singular matrix",
        ),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


@pytest.mark.slow
def test_a_matrix_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"transition: got shape \(3, 3\)"):
        transition_corrected("forward", KNOWN).init(rj.ExampleSpec(10, 4))
