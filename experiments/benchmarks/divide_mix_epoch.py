"""A DivideMix epoch against two epochs of cross-entropy, one per network.

    python -m experiments.benchmarks.divide_mix_epoch

Per example of its batch a DivideMix network guesses for two views of both kinds of
examples and trains on as many mixed ones, so that by the count of forward and
backward passes about five times the work of cross-entropy is to be expected with two
views, and half of it with one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import numpy as np
import optax
from absl import app, flags

from experiments.benchmarks.timing import OUT_DIR, interleaved, report
from robustjax import methods
from robustjax.models import SmallCNN
from robustjax.training import (
    Recipe,
    RecipeProgram,
    choose_execution,
    single_phase,
    supervised,
)
from robustjax.transforms import ExampleSpec, ce

_EXAMPLES = flags.DEFINE_integer("examples", 6_400, "N.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Timed rounds.")

_CLASSES, _BATCH, _SIZE = 10, 128, 28


def _epochs(
    recipe: Recipe, inputs: np.ndarray, labels: np.ndarray, epochs: int, skip: int
) -> Callable[[], None]:
    """Trains on by some epochs of the last phase, and waits for them."""
    program = RecipeProgram(
        recipe,
        ExampleSpec(len(inputs), _CLASSES),
        batch_size=_BATCH,
        execution=choose_execution(convolutional=True),
        block_size=1000,
    )
    data = program.make_data(inputs, labels[None])
    state = program.init(jax.random.key(0)[None], data.inputs)
    for epoch in range(skip):
        state, _ = program.at(epoch).epoch(state, data)

    def run() -> None:
        nonlocal state
        for _ in range(epochs):
            state, _ = program.programs[-1].epoch(state, data)
        jax.block_until_ready(state)

    return run


def main(argv: list[str]) -> None:
    """Times both on made-up images."""
    del argv
    rng = np.random.default_rng(0)
    shape = (_EXAMPLES.value, _SIZE, _SIZE, 1)
    inputs = rng.integers(0, 256, shape).astype(np.uint8)
    labels = rng.integers(0, _CLASSES, _EXAMPLES.value).astype(np.int32)
    model = SmallCNN(
        _CLASSES,
        ((16,), (32,)),
        downsampling="stride",
        convolution=choose_execution(convolutional=True).convolution,
    )
    optimizer = optax.sgd(0.02, momentum=0.9)
    plain = single_phase(supervised(model, ce(), optimizer), 1)
    mixed = functools.partial(
        methods.divide_mix, model, optimizer, epochs=2, warmup_epochs=1
    )
    cases = {
        "two epochs of cross-entropy": _epochs(plain, inputs, labels, 2, 0),
        "DivideMix, two views": _epochs(mixed(num_views=2), inputs, labels, 1, 1),
        "DivideMix, one view": _epochs(mixed(num_views=1), inputs, labels, 1, 1),
    }
    times = interleaved(cases, _ROUNDS.value, warmup=1)
    baseline = "two epochs of cross-entropy"
    report("divide_mix_epoch", times, baseline, OUT_DIR.value)


if __name__ == "__main__":
    app.run(main)
