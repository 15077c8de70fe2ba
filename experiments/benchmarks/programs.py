"""Training programs on made-up features, shared by the benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import numpy as np
import optax

from robustjax.models import MLP
from robustjax.training import (
    Program,
    RecipeProgram,
    Stream,
    choose_execution,
    supervised,
)
from robustjax.transforms import ExampleSpec, LossTransform


def made_up_features(
    examples: int, width: int, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """(N, d) float32 standard normals and (N,) int32 random labels."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(examples, width)).astype(np.float32)
    return inputs, rng.integers(0, classes, examples).astype(np.int32)


def mlp_program(
    transform: LossTransform,
    examples: int,
    classes: int,
    hidden: Sequence[int],
    batch_size: int,
) -> Program:
    """A classifier trained by SGD with momentum and weight decay."""
    optimizer = optax.chain(
        optax.add_decayed_weights(1e-4), optax.sgd(0.01, momentum=0.9)
    )
    return Program(
        supervised(MLP(classes, tuple(hidden)), transform, optimizer),
        ExampleSpec(examples, classes),
        batch_size=batch_size,
        execution=choose_execution(convolutional=False),
    )


def epochs_of(
    program: Program | RecipeProgram,
    inputs: np.ndarray | Stream,
    labels: np.ndarray,
    *,
    repeats: int = 1,
    seed: int = 0,
    epochs: int = 1,
    skip: int = 0,
) -> Callable[[], None]:
    """A function that trains on by some epochs, and waits for them.

    Args:
      program: what to run.
      inputs: (N, ...).
      labels: (N,), the same for every repeat.
      repeats: trained at once.
      seed: of the initial states.
      epochs: per call.
      skip: epochs before the first call; of a recipe, the timed ones are of the phase
        that follows these.
    """
    keys = jax.random.split(jax.random.key(seed), repeats)
    data = program.make_data(inputs, np.tile(labels, (repeats, 1)))
    state = program.init(keys, data.inputs)

    for epoch in range(skip):
        state, _ = program.at(epoch).epoch(state, data)

    def run() -> None:
        nonlocal state
        for _ in range(epochs):
            state, _ = program.at(skip).epoch(state, data)
        jax.block_until_ready(state)

    return run
