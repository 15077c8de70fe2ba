"""A small problem with a bias: one input tells the label, another the bias."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

import robustjax as rj
from robustjax import training
from robustjax.models import MLP
from tests.training import toy

N, C, D, BATCH = 44, 3, 6, 16
REPEATS = 2
MODEL = MLP(C, (7,))
EXECUTION = training.choose_execution(convolutional=False)
SPEC = rj.ExampleSpec(N, C)


@functools.cache
def arrays():
    """Inputs (N, D), labels (R, N) of both repeats, and biases (N,)."""
    rng = np.random.default_rng(3)
    y = np.arange(N) % C
    bias = np.where(rng.random(N) < 0.8, y, (y + 1) % C)
    x = rng.normal(size=(N, D)).astype(np.float32)
    x[:, :C] += np.eye(C)[y]
    x[:, C:] += 3 * np.eye(C)[bias]
    return x, np.stack([y, np.where(np.arange(N) < 3, (y + 1) % C, y)]), bias


def run(recipe, *, until=None):
    """(program, states after every epoch) of both repeats in one program."""
    x, y, _ = arrays()
    program = training.RecipeProgram(
        recipe, SPEC, batch_size=BATCH, execution=EXECUTION
    )
    held = program.make_data(x, y)
    state = program.init(jax.random.split(jax.random.key(0), REPEATS), held.inputs)
    states = []
    for epoch in range(until or recipe.epochs):
        state, _ = program.at(epoch).epoch(state, held)
        states.append(
            jax.device_get(state._replace(key=jax.random.key_data(state.key)))
        )
    return program, states


def first_state(algorithm):
    """One repeat's state before the first step."""
    x, _, _ = arrays()
    return toy.first_state(algorithm, jnp.asarray(x[:1]), SPEC)


def batch(first=0, real=6, padding=0):
    """Some rows of repeat 0; padding holds what nobody may look at."""
    x, y, _ = arrays()
    index = np.append(np.arange(first, first + real), np.full(padding, N))
    rows = np.minimum(index, N - 1)
    mask = index < N
    inputs = np.where(mask[:, None], x[rows], np.float32(50))
    return {
        "index": jnp.asarray(index),
        "mask": jnp.asarray(mask),
        "label": jnp.asarray(np.where(mask, y[0, rows], 0), jnp.int32),
        "inputs": jnp.asarray(inputs),
    }


def leaf_of(tree, repeat):
    """One repeat's part of a tree."""
    return jax.tree.map(lambda leaf: leaf[repeat], tree)
