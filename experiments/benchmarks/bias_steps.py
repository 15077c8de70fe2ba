"""What LfF and DFA cost: their step against the Vanilla steps of two networks.

    python -m experiments.benchmarks.bias_steps
    python -m experiments.benchmarks.bias_steps --only=steps

Made-up images of the size of Colored MNIST, the published networks (LfF's MLP of three
times 100, DFA's of 100, 100 and 16), batches and Adam. A debiaser trains two networks
on one batch, so it is compared with two networks of the same kind trained by
cross-entropy alone: in one step, on one batch, and one after the other, on two.
"repeats" compares ten runs in one program with ten programs, their epochs alone
and, as "job", with compilation (the persistent compilation cache is off here).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import optax
from absl import app, flags

from experiments.benchmarks.programs import epochs_of
from experiments.benchmarks.timing import OUT_DIR, interleaved, report
from robustjax import checks, transforms
from robustjax.methods import bias
from robustjax.models import MLP, TwoEncoderClassifier
from robustjax.training import (
    Recipe,
    RecipeProgram,
    choose_execution,
    single_phase,
)
from robustjax.transforms import ExampleSpec

_EXAMPLES = flags.DEFINE_integer("examples", 60_000, "N of steps.", lower_bound=1)
_REPEAT_EXAMPLES = flags.DEFINE_integer(
    "repeat_examples", 12_800, "N of repeats.", lower_bound=1
)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Timed rounds of steps.", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 10, "Runs.", lower_bound=2)
_ONLY = flags.DEFINE_list("only", ["steps", "repeats"], "What to time.")

_CLASSES, _BATCH, _SHAPE = 10, 256, (28, 28, 3)
_REPEAT_ROUNDS, _JOB_ROUNDS = 3, 2


def _mlp(method: str) -> MLP:
    """The published network, or one of its two encoders."""
    hidden = (100, 100, 100) if method == "lff" else (100, 100, 16)
    return MLP(_CLASSES, hidden, input_scale=1 / 255, initialization="torch")


def _adam(method: str) -> optax.GradientTransformation:
    return optax.adam(1e-3) if method == "lff" else bias.dfa_optimizer(1e-2)


def _debiased(method: str) -> Recipe:
    if method == "lff":
        return bias.lff(_mlp(method), _adam(method), epochs=1)
    model = TwoEncoderClassifier(_mlp(method), _CLASSES)
    return bias.dfa(model, _adam(method), epochs=1)


def _two_vanilla(method: str) -> Recipe:
    """Two networks on the same batches, each with cross-entropy."""
    pair = bias.debiased_pair(
        _mlp(method), _adam(method), transforms.ce(), transforms.ce()
    )
    return single_phase(pair, 1)


def _runner(
    recipe: Recipe,
    inputs: np.ndarray,
    labels: np.ndarray,
    *,
    repeats: int = 1,
    seed: int = 0,
    epochs: int = 1,
) -> Callable[[], None]:
    program = RecipeProgram(
        recipe,
        ExampleSpec(len(inputs), _CLASSES),
        batch_size=_BATCH,
        execution=choose_execution(convolutional=False),
    )
    return epochs_of(program, inputs, labels, repeats=repeats, seed=seed, epochs=epochs)


def _time_steps(method: str, inputs: np.ndarray, labels: np.ndarray) -> None:
    run = functools.partial(_runner, inputs=inputs, labels=labels)
    baseline = "two Vanilla networks"
    cases = {
        baseline: run(_two_vanilla(method)),
        "two Vanilla steps": run(
            bias.vanilla(_mlp(method), _adam(method), epochs=1), epochs=2
        ),
        method: run(_debiased(method)),
    }
    times = interleaved(cases, _ROUNDS.value)
    steps = -(-len(inputs) // _BATCH)
    report(f"bias_steps_{method}", times, baseline, OUT_DIR.value, units=steps)


def _time_repeats(method: str, inputs: np.ndarray, labels: np.ndarray) -> None:
    count = _REPEATS.value

    def make(repeats: int) -> list[Callable[[], None]]:
        """Fresh, uncompiled runs with `count` repeats in all: one, or one each."""
        return [
            _runner(_debiased(method), inputs, labels, repeats=repeats, seed=seed)
            for seed in range(count // repeats)
        ]

    def run_all(runs: list[Callable[[], None]]) -> None:
        for run in runs:
            run()

    one_by_one, as_one = f"{count} runs", f"{count} vmapped"
    ways = {one_by_one: 1, as_one: count}
    compiled = {way: make(repeats) for way, repeats in ways.items()}
    epochs = {way: functools.partial(run_all, runs) for way, runs in compiled.items()}
    times = interleaved(epochs, _REPEAT_ROUNDS)
    report(f"bias_repeats_{method}_epochs", times, one_by_one, OUT_DIR.value)

    def job(repeats: int) -> None:
        run_all(make(repeats))

    jobs = {way: functools.partial(job, repeats) for way, repeats in ways.items()}
    times = interleaved(jobs, _JOB_ROUNDS, warmup=0)
    report(f"bias_repeats_{method}_job", times, one_by_one, OUT_DIR.value)


_PARTS = {
    "steps": (_time_steps, _EXAMPLES),
    "repeats": (_time_repeats, _REPEAT_EXAMPLES),
}


def main(argv: list[str]) -> None:
    """Times both methods."""
    del argv
    for part in _ONLY.value:
        checks.one_of("only", part, _PARTS)
    rng = np.random.default_rng(0)
    for part in _ONLY.value:
        time_one, examples = _PARTS[part]
        inputs = rng.integers(0, 256, (examples.value, *_SHAPE)).astype(np.uint8)
        labels = rng.integers(0, _CLASSES, examples.value).astype(np.int32)
        for method in ("lff", "dfa"):
            time_one(method, inputs, labels)


if __name__ == "__main__":
    app.run(main)
