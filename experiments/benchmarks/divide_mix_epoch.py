"""A DivideMix epoch against two epochs of cross-entropy, one per network.

    python -m experiments.benchmarks.divide_mix_epoch

Per example of its batch a DivideMix network guesses for two views of both kinds of
examples and trains on as many mixed ones, so that by the count of forward and
backward passes about five times the work of cross-entropy is to be expected with two
views, and half of it with one.
"""

from __future__ import annotations

import functools

import numpy as np
import optax
from absl import app, flags

from experiments.benchmarks.programs import epochs_of
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


def _program(recipe: Recipe, examples: int) -> RecipeProgram:
    return RecipeProgram(
        recipe,
        ExampleSpec(examples, _CLASSES),
        batch_size=_BATCH,
        execution=choose_execution(convolutional=True),
        block_size=1000,
    )


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
    baseline = "two epochs of cross-entropy"
    recipes = {
        baseline: plain,
        "DivideMix, two views": mixed(num_views=2),
        "DivideMix, one view": mixed(num_views=1),
    }
    cases = {
        name: epochs_of(
            _program(recipe, len(inputs)),
            inputs,
            labels,
            epochs=2 if name == baseline else 1,
            skip=recipe.epochs - 1,
        )
        for name, recipe in recipes.items()
    }
    times = interleaved(cases, _ROUNDS.value, warmup=1)
    report("divide_mix_epoch", times, baseline, OUT_DIR.value)


if __name__ == "__main__":
    app.run(main)
