"""Sixteen points of a sweep as one program against one after another.

    python -m experiments.benchmarks.packed_points

Four learning rates by four strengths of ELR, a network of two layers. "epochs" compares
compiled epochs alone; "job" also traces and compiles, as every fresh process of its own
would (the persistent compilation cache is off here).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence

import jax
import numpy as np
import optax
from absl import app, flags

from experiments.benchmarks.programs import made_up_features
from experiments.benchmarks.timing import OUT_DIR, interleaved, report
from robustjax import models, transforms
from robustjax.training import (
    PackedProgram,
    RecipeProgram,
    choose_execution,
    single_phase,
    supervised,
)
from robustjax.transforms import ExampleSpec

_EPOCHS = flags.DEFINE_integer("epochs", 10, "Epochs per point.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Timed rounds.")

_EXAMPLES, _WIDTH, _CLASSES, _BATCH = 1_437, 64, 10, 64
_HIDDEN = (128, 128)
_RATES = (0.01, 0.02, 0.05, 0.1)
_STRENGTHS = (0.5, 1.0, 3.0, 7.0)
_JOB_ROUNDS = 2


def _point(rate: float, strength: float) -> RecipeProgram:
    """One point of the sweep, not compiled."""
    steps = _EPOCHS.value * -(-_EXAMPLES // _BATCH)
    optimizer = optax.sgd(optax.cosine_decay_schedule(rate, steps), momentum=0.9)
    loss = transforms.chain(transforms.ce(), transforms.elr(strength=strength))
    algorithm = supervised(models.MLP(_CLASSES, _HIDDEN), loss, optimizer)
    return RecipeProgram(
        single_phase(algorithm, _EPOCHS.value),
        ExampleSpec(_EXAMPLES, _CLASSES),
        batch_size=_BATCH,
        execution=choose_execution(convolutional=False),
    )


def _trainer(program: RecipeProgram | PackedProgram, points: int) -> Callable[[], None]:
    """Trains by so many epochs at each call, and waits for them."""
    inputs, labels = made_up_features(_EXAMPLES, _WIDTH, _CLASSES)
    data = program.make_data(inputs, np.tile(labels, (points, 1)))
    state = program.init(jax.random.split(jax.random.key(0), points), data.inputs)

    def train() -> None:
        nonlocal state
        for epoch in range(_EPOCHS.value):
            state, _ = program.at(epoch).epoch(state, data)
        jax.block_until_ready(state)

    return train


def _points() -> list[RecipeProgram]:
    return [_point(*each) for each in itertools.product(_RATES, _STRENGTHS)]


def _one_by_one() -> list[Callable[[], None]]:
    return [_trainer(point, 1) for point in _points()]


def _as_one() -> list[Callable[[], None]]:
    points = _points()
    return [_trainer(PackedProgram(points, repeats=1), len(points))]


def main(argv: list[str]) -> None:
    """Times both ways."""
    del argv

    def run_all(trainers: Sequence[Callable[[], None]]) -> None:
        for train in trainers:
            train()

    ways = {"16 points": _one_by_one, "16 packed": _as_one}
    jobs = {
        name: functools.partial(lambda make: run_all(make()), make)
        for name, make in ways.items()
    }
    times = interleaved(jobs, _JOB_ROUNDS, warmup=0)
    report("packed_points_job", times, "16 points", OUT_DIR.value)
    compiled = {name: functools.partial(run_all, make()) for name, make in ways.items()}
    times = interleaved(compiled, _ROUNDS.value)
    report("packed_points_epochs", times, "16 points", OUT_DIR.value)


if __name__ == "__main__":
    app.run(main)
