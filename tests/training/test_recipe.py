"""Training in phases, and what the trainer hands to the network."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import training
from tests.training import toy

OPTIONS = {
    "batch_size": 16,
    "execution": training.choose_execution(convolutional=False),
}


def recipe(*phases):
    return training.Recipe(tuple(training.Phase(*phase) for phase in phases))


def fit(program, epochs, **options):
    state, data = toy.start(program)
    state = training.fit(program, state, data, epochs=epochs, **options)
    return toy.without_keys(state)


@pytest.mark.slow
def test_equal_phases_are_one_training(tmp_path):
    algorithm = toy.algorithm()
    spec = rj.ExampleSpec(toy.N, toy.C)
    parts = recipe((algorithm, 1), (algorithm, 2), (algorithm, 1))
    assert parts.epochs == 4
    phased = training.RecipeProgram(parts, spec, **OPTIONS)
    assert [phased.at(e) for e in range(5)] == [
        phased.programs[i] for i in (0, 1, 1, 2, 2)
    ]
    want = fit(training.Program(algorithm, spec, **OPTIONS), 4)
    chex.assert_trees_all_close(fit(phased, 4), want, rtol=1e-5)
    # Killed inside the second phase, and continued.
    folder = training.CheckpointFolder(tmp_path)
    fit(phased, 2, checkpoints=folder)
    chex.assert_trees_all_equal(fit(phased, 4, checkpoints=folder), fit(phased, 4))


def test_a_later_phase_is_checked_before_anything_runs():
    def refused(key, state, num_examples, batch_size, padding_index):
        raise ValueError(f"batch_size: got {batch_size}, expected a multiple of 5")

    first = toy.algorithm()
    second = first._replace(order=refused)
    spec = rj.ExampleSpec(toy.N, toy.C)
    program = training.RecipeProgram(recipe((first, 1), (second, 1)), spec, **OPTIONS)
    with pytest.raises(ValueError, match="batch_size: got 16, expected a multiple"):
        program.check(np.zeros((toy.N, toy.D), np.float32))
    training.RecipeProgram(recipe((first, 1)), spec, **OPTIONS).check(
        np.zeros((toy.N, toy.D), np.float32)
    )


def test_phases_differ():
    slow, fast = toy.algorithm(learning_rate=0.0), toy.algorithm(learning_rate=0.1)
    spec = rj.ExampleSpec(toy.N, toy.C)
    program = training.RecipeProgram(recipe((slow, 2), (fast, 1)), spec, **OPTIONS)
    first, _ = toy.start(program)
    first = jax.tree.map(np.asarray, first.params)
    chex.assert_trees_all_equal(fit(program, 2).params, first)
    moved = fit(program, 3).params
    assert not np.allclose(jax.tree.leaves(moved)[0], jax.tree.leaves(first)[0])


def test_evaluation_joins_the_report():
    seen = []
    program = toy.program()
    fit(
        program,
        2,
        evaluate=lambda epoch, state: {"twice": 2 * np.asarray(state.epoch)},
        report=lambda epoch, metrics: seen.append(metrics["twice"].tolist()),
    )
    assert seen == [[2, 2], [4, 4]]


@pytest.mark.parametrize(
    ("phases", "message"), [((), "recipe: got no phase"), ([0], "epochs: got 0")]
)
def test_bad_recipes(phases, message):
    with pytest.raises(ValueError, match=message):
        training.RecipeProgram(
            recipe(*((toy.algorithm(), epochs) for epochs in phases)),
            rj.ExampleSpec(toy.N, toy.C),
            **OPTIONS,
        )


class Counter(nn.Module):
    """Counts the real rows it has seen, and passes inputs on."""

    @nn.compact
    def __call__(self, inputs, *, train=False, mask=None):
        count = self.variable("counter", "rows", lambda: jnp.zeros(()))
        if train:
            count.value += mask.sum()
        return nn.Dense(toy.C)(inputs)


@pytest.mark.slow
def test_networks_are_told_of_padding_and_inputs_are_augmented():
    algorithm = training.supervised(
        Counter(),
        rj.ce(),
        optax.sgd(0.1),
        augment=lambda key, x: x + jax.random.normal(key, x.shape),
    )
    spec = rj.ExampleSpec(toy.N, toy.C)
    state = fit(training.Program(algorithm, spec, **OPTIONS), 3)
    # 50 examples in batches of 16: the last batch has two real rows.
    np.testing.assert_array_equal(state.model_state["counter"]["rows"], [150, 150])
    plain = training.supervised(Counter(), rj.ce(), optax.sgd(0.1))
    other = fit(training.Program(plain, spec, **OPTIONS), 3)
    leaves = [jax.tree.leaves(s.params)[1] for s in (state, other)]
    assert np.abs(leaves[0] - leaves[1]).max() > 1e-3
