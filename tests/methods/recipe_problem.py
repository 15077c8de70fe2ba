"""Runs and checks that the tests of recipes share."""

from __future__ import annotations

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import robustjax as rj
from robustjax import corruption, data, training
from robustjax.models import MLP, BatchNorm
from tests.training import toy

DIGITS_MODEL = MLP(10, (128,))
EXECUTION = training.choose_execution(convolutional=False)


class Normalized(nn.Module):
    """A small network with BatchNorm, for the toy problem."""

    @nn.compact
    def __call__(self, inputs, *, train=False, mask=None):
        x = nn.Dense(8)(inputs)
        x = nn.relu(BatchNorm()(x, train=train, mask=mask))
        return nn.Dense(toy.C)(x)


def first_state(algorithm):
    """One repeat's state of the toy problem before the first step."""
    x, _ = toy.arrays()
    spec = rj.ExampleSpec(toy.N, toy.C)
    return toy.first_state(algorithm, jnp.asarray(x[:1]), spec)


@functools.cache
def noisy_digits(rate=0.5):
    """(train, test, given labels): digits with symmetric noise."""
    train, test = data.load("digits", "train"), data.load("digits", "test")
    noisy = corruption.symmetric(
        jax.random.key(5), train.labels, rate, 10, include_true=False
    )
    return train, test, np.asarray(noisy.labels)


@functools.cache
def mapped_digits(rate=0.45):
    """Labels of digits, a share of which is mapped by a permutation of the classes."""
    train, _, _ = noisy_digits()
    permutation = np.array([7, 9, 0, 4, 2, 1, 3, 5, 6, 8])
    wrong = np.random.default_rng(0).random(len(train.labels)) < rate
    return np.where(wrong, permutation[train.labels], train.labels)


def train_on_digits(recipe, *, given=None, batch_size=64):
    """The trained (program, state) of three repeats, and their mean test accuracy.

    Args:
      recipe: what to train.
      given: labels; by default with symmetric noise.
      batch_size: of training.
    """
    train, test, noisy = noisy_digits()
    given = noisy if given is None else given
    spec = rj.ExampleSpec(len(given), 10)
    program = training.RecipeProgram(
        recipe, spec, batch_size=batch_size, execution=EXECUTION
    )
    held = program.make_data(train.inputs, np.stack([given] * 3))
    state = program.init(jax.random.split(jax.random.key(0), 3), held.inputs)
    state = training.fit(program, state, held, epochs=recipe.epochs)
    logits = program.predict(state, jnp.asarray(test.inputs))
    accuracy = np.mean(np.argmax(logits, axis=-1) == test.labels[None])
    return program, state, accuracy


@functools.cache
def plain_accuracy(*, epochs, mapped=False):
    """What cross-entropy on the given labels comes to."""
    plain = training.supervised(DIGITS_MODEL, rj.ce(), optax.adam(3e-3))
    given = mapped_digits() if mapped else None
    return train_on_digits(training.single_phase(plain, epochs), given=given)[2]


def toy_program(recipe, batch_size=16, **options):
    """A recipe compiled for the toy problem, whose last batch is padded."""
    spec = rj.ExampleSpec(toy.N, toy.C)
    return training.RecipeProgram(
        recipe, spec, batch_size=batch_size, execution=EXECUTION, **options
    )


def run_toy(recipe, repeats=slice(None), **options):
    """(state without its keys, metrics of all epochs) of repeats on the toy problem."""
    x, y = toy.arrays()
    program = toy_program(recipe, **options)
    held = program.make_data(x, y[repeats])
    keys = jax.random.split(jax.random.key(0), toy.REPEATS)[repeats]
    state = program.init(keys, held.inputs)
    history = []
    for epoch in range(recipe.epochs):
        state, metrics = program.at(epoch).epoch(state, held)
        history.append(jax.device_get(metrics))
    return toy.without_keys(state), history


def assert_padding_is_inert(algorithm, state, real=6, padding=3):
    """Gradient, state and metrics of a batch do not depend on its padding.

    Args:
      algorithm: of the phase to check.
      state: one repeat's state to check it in; no dropout.
      real: real rows of the batch.
      padding: rows after them.
    """
    x, y = toy.arrays()
    batch = {
        "index": jnp.arange(real),
        "mask": jnp.ones(real, bool),
        "label": jnp.asarray(y[0, :real], jnp.int32),
        "inputs": jnp.asarray(x[:real]),
    }
    junk = {
        "index": jnp.full(padding, toy.N),
        "mask": jnp.zeros(padding, bool),
        "label": jnp.zeros(padding, jnp.int32),
        "inputs": jnp.full((padding, toy.D), 50.0),
    }
    padded = {name: jnp.concatenate([batch[name], junk[name]]) for name in batch}
    gradient = jax.jit(jax.grad(algorithm.objective, has_aux=True))
    want, got = (
        gradient(state.params, state, b, jax.random.key(3)) for b in (batch, padded)
    )
    largest = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(want[0]))
    assert largest > 1e-3
    chex.assert_trees_all_close(got[0], want[0], atol=1e-6)
    chex.assert_trees_all_close(
        toy.without_keys(got[1][0]), toy.without_keys(want[1][0]), atol=1e-6
    )
    chex.assert_trees_all_close(got[1][1], want[1][1], atol=1e-6)
