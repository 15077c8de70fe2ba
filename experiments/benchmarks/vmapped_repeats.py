"""Ten repeats as one program against ten runs, one after the other.

    python -m experiments.benchmarks.vmapped_repeats

"epochs" compares compiled epochs alone; "job" also compiles, as every fresh process
of its own would (the persistent compilation cache is off here).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

from absl import app, flags

from experiments.benchmarks.programs import epochs_of, made_up_features, mlp_program
from experiments.benchmarks.timing import OUT_DIR, interleaved, report
from robustjax import transforms

_REPEATS = flags.DEFINE_integer("repeats", 10, "Runs.")
_EPOCHS = flags.DEFINE_integer("epochs", 5, "Epochs per run.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Timed rounds.")


class _Size(NamedTuple):
    examples: int
    width: int
    hidden: tuple[int, ...]
    batch: int


# The digits, and an MNIST-like set.
_SIZES = {
    "small": _Size(1_437, 64, (128, 128, 128), 32),
    "medium": _Size(5_000, 784, (256, 256, 256), 128),
}
_CLASSES = 10
_JOB_ROUNDS = 2


def _runners(size: _Size, repeats: int) -> list[Callable[[], None]]:
    """Fresh, uncompiled runs with `repeats` repeats in all: one, or one each."""
    inputs, labels = made_up_features(size.examples, size.width, _CLASSES)
    loss = transforms.chain(transforms.alpha_weights(), transforms.ce())
    runs = []
    for seed in range(_REPEATS.value // repeats):
        program = mlp_program(loss, size.examples, _CLASSES, size.hidden, size.batch)
        runs.append(
            epochs_of(
                program,
                inputs,
                labels,
                repeats=repeats,
                seed=seed,
                epochs=_EPOCHS.value,
            )
        )
    return runs


def main(argv: list[str]) -> None:
    """Times both ways at two sizes."""
    del argv

    def run_all(runs: list[Callable[[], None]]) -> None:
        for run in runs:
            run()

    one_by_one, as_one = f"{_REPEATS.value} runs", f"{_REPEATS.value} vmapped"
    ways = {one_by_one: 1, as_one: _REPEATS.value}
    for name, size in _SIZES.items():
        compiled = {way: _runners(size, repeats) for way, repeats in ways.items()}
        epochs = {way: functools.partial(run_all, r) for way, r in compiled.items()}
        times = interleaved(epochs, _ROUNDS.value)
        report(f"vmapped_repeats_{name}_epochs", times, one_by_one, OUT_DIR.value)

        def job(size: _Size, repeats: int) -> None:
            run_all(_runners(size, repeats))

        jobs = {way: functools.partial(job, size, r) for way, r in ways.items()}
        times = interleaved(jobs, _JOB_ROUNDS, warmup=0)
        report(f"vmapped_repeats_{name}_job", times, one_by_one, OUT_DIR.value)


if __name__ == "__main__":
    app.run(main)
