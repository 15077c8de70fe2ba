"""What LfF's weights make of wrong labels, and what a chain with others repairs."""

import functools

import jax
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import training, transforms
from robustjax.methods import bias
from robustjax.models import MLP

N, C, EPOCHS = 400, 4, 20


@functools.cache
def problem():
    """Inputs, given labels, and who is aligned, conflicting, or wrongly labelled.

    One in twenty conflicts with an input that tells the class at once; of the others
    every fifth label is wrong.
    """
    rng = np.random.default_rng(0)
    true = np.arange(N) % C
    conflicting = rng.random(N) < 0.05
    wrong = ~conflicting & (rng.random(N) < 0.2)
    shown = np.where(conflicting, (true + 1) % C, true)
    x = rng.normal(size=(N, 12)).astype(np.float32)
    x[:, :C] += 2 * np.eye(C)[true]
    x[:, C : 2 * C] += 5 * np.eye(C)[shown]
    given = np.where(wrong, (true + rng.integers(1, C, N)) % C, true)
    groups = {
        "aligned": ~conflicting & ~wrong,
        "conflicting": conflicting,
        "wrong": wrong,
    }
    return x, given, groups


def trained(algorithm):
    """The debiased network's rows after training."""
    x, given, _ = problem()
    program = training.Program(
        algorithm,
        rj.ExampleSpec(N, C),
        batch_size=50,
        execution=training.choose_execution(convolutional=False),
    )
    held = program.make_data(x, given[None])
    state = program.init(jax.random.split(jax.random.key(0), 1), held.inputs)
    state = training.fit(program, state, held, epochs=EPOCHS)
    return jax.tree.map(lambda leaf: leaf[0], state.loss_state.rows["debiased"])


def weights(rows):
    """W of every example, from the averaged losses."""
    average, classes = np.asarray(rows["average"]), np.asarray(rows["class"])
    level = average / np.stack([average[classes == y].max(axis=0) for y in classes])
    return level[:, 0] / (level[:, 0] + level[:, 1] + 1e-8)


def means(values):
    return {name: values[group].mean() for name, group in problem()[2].items()}


MODEL, OPTIMIZER = MLP(C, (16,)), optax.adam(3e-3)


def test_wrong_labels_weigh_as_much_as_conflicting_examples():
    """To LfF both are what only the biased network finds hard."""
    algorithm = bias.lff(MODEL, OPTIMIZER, epochs=1).phases[0].algorithm
    found = means(weights(trained(algorithm)[0]))
    assert found["conflicting"] > found["aligned"] + 0.2
    assert found["wrong"] > found["aligned"] + 0.2
    assert found["wrong"] > found["conflicting"] - 0.1


@pytest.mark.slow
def test_small_losses_are_no_way_out():
    """The mixture of losses takes conflicting examples for wrong labels, too."""
    algorithm = bias.debiased_pair(
        MODEL,
        OPTIMIZER,
        transforms.gce_weighted_ce(0.7),
        transforms.chain(
            transforms.clean_probability(start_epoch=5),
            transforms.relative_difficulty(),
            transforms.ce(),
        ),
    )
    clean, difficulty = trained(algorithm)[:2]
    found = means(np.asarray(clean["clean_probability"]))
    assert found["wrong"] < found["aligned"] - 0.2
    assert found["conflicting"] < found["aligned"] - 0.2
    # What LfF gives them beyond the aligned ones is taken back.
    weight = weights(difficulty)
    gained = means(weight)
    left = means(weight * clean["clean_probability"])
    assert gained["conflicting"] > gained["aligned"] + 0.1
    assert left["conflicting"] < left["aligned"] + 0.05
