"""A small classification problem shared by the training tests."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax

import robustjax as rj
from robustjax import training
from robustjax.models import MLP

N, D, C = 50, 5, 3
REPEATS = 2


def arrays(seed=0):
    """Inputs (N, D), labels (R, N) that a small network can learn."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, C, (REPEATS, N))
    x = rng.normal(size=(N, D)).astype(np.float32)
    x[:, 0] += 2 * y[0]
    return x, y


def algorithm(transform=None, learning_rate=0.1, hidden=(8,)):
    """An MLP under momentum SGD."""
    return training.supervised(
        MLP(C, hidden),
        transform or rj.ce(),
        optax.sgd(learning_rate, momentum=0.9),
    )


def program(transform=None, *, mesh=None, loop="scan", batch_size=16, **options):
    """The compiled toy; padded for the mesh if there is one."""
    spec = rj.ExampleSpec(N, C, pad_to=1 if mesh is None else mesh.size)
    return training.Program(
        algorithm(transform, **options),
        spec,
        batch_size=batch_size,
        execution=training.choose_execution(convolutional=False, loop=loop),
        mesh=mesh,
        block_size=13,
    )


def start(program, seed=0):
    """Fresh (state, data) of a program."""
    x, y = arrays()
    data = program.make_data(x, y)
    keys = jax.random.split(jax.random.key(seed), REPEATS)
    return program.init(keys, jnp.asarray(x)), data


def first_state(algorithm, inputs, spec):
    """One repeat's state before the first step, in one program."""
    return jax.jit(lambda x: algorithm.init(jax.random.key(0), x, spec))(inputs)


def without_keys(state):
    """PRNG keys as data, for comparisons."""
    return state._replace(key=jax.random.key_data(state.key))
