"""What LfF and DFA cost: their step against the Vanilla steps of two networks.

    python -m experiments.benchmarks.bias_steps
    python -m experiments.benchmarks.bias_steps --only=steps,repeats

Made-up images of the size of Colored MNIST, the published networks (LfF's MLP of three
times 100, DFA's of 100, 100 and 16), batches of 256 and Adam. A debiaser trains two
networks on one batch, so it is compared with two networks of the same kind trained by
cross-entropy alone: in one step on one batch, and by a step each.

"repeats" compares ten runs in one program with ten of their own, step by step; "job"
compares a whole epoch of each with its compilation, as fresh processes would need (the
persistent compilation cache is off here).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import numpy as np
import optax
from absl import app, flags

from experiments.benchmarks.programs import epochs_of
from experiments.benchmarks.timing import OUT_DIR, interleaved, report
from robustjax import checks, transforms
from robustjax.methods import bias
from robustjax.models import MLP, TwoEncoderClassifier
from robustjax.training import Algorithm, Program, TrainState, choose_execution
from robustjax.transforms import ExampleSpec

_EXAMPLES = flags.DEFINE_integer("examples", 60_000, "N.", lower_bound=256)
_STEPS = flags.DEFINE_integer("steps", 40, "Per timed call.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 21, "Timed rounds of steps.", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 10, "Runs.", lower_bound=2)
_ONLY = flags.DEFINE_list("only", ["steps", "repeats", "job"], "What to time.")

_METHODS = ("lff", "dfa")
_CLASSES, _BATCH, _SHAPE = 10, 256, (28, 28, 3)
_REPEAT_ROUNDS, _JOB_ROUNDS = 7, 2

Arrays = tuple[np.ndarray, np.ndarray]


def _mlp(method: str) -> MLP:
    """The published network, or one of its two encoders."""
    hidden = (100, 100, 100) if method == "lff" else (100, 100, 16)
    return MLP(_CLASSES, hidden, input_scale=1 / 255, initialization="torch")


def _adam(method: str) -> optax.GradientTransformation:
    return optax.adam(1e-3) if method == "lff" else bias.dfa_optimizer(1e-2)


def _debiased(method: str) -> Algorithm:
    if method == "lff":
        recipe = bias.lff(_mlp(method), _adam(method), epochs=1)
    else:
        model = TwoEncoderClassifier(_mlp(method), _CLASSES)
        recipe = bias.dfa(model, _adam(method), epochs=1)
    return recipe.phases[0].algorithm


def _vanilla(method: str) -> Algorithm:
    recipe = bias.vanilla(_mlp(method), _adam(method), epochs=1)
    return recipe.phases[0].algorithm


def _two_vanilla(method: str) -> Algorithm:
    """Two networks on the same batches, each with cross-entropy."""
    ce = transforms.ce()
    return bias.debiased_pair(_mlp(method), _adam(method), ce, ce)


def _runner(
    algorithm: Algorithm,
    arrays: Arrays,
    steps: int,
    *,
    repeats: int = 1,
    seed: int = 0,
    epochs: int = 1,
) -> Callable[[], None]:
    """Trains on by some steps, short epochs over parts of all examples."""

    def order(
        key: jax.Array, state: TrainState, examples: int, batch: int, padding: int
    ) -> jax.Array:
        del state, padding
        drawn = jax.random.permutation(key, examples)[: steps * batch]
        return drawn.reshape(-1, batch).astype(np.int32)

    program = Program(
        algorithm._replace(order=order),
        ExampleSpec(len(arrays[0]), _CLASSES),
        batch_size=_BATCH,
        execution=choose_execution(convolutional=False),
    )
    return epochs_of(program, *arrays, repeats=repeats, seed=seed, epochs=epochs)


def _time_steps(method: str, arrays: Arrays) -> None:
    run = functools.partial(_runner, arrays=arrays, steps=_STEPS.value)
    baseline = "two networks, one step"
    cases = {
        baseline: run(_two_vanilla(method)),
        "two networks, a step each": run(_vanilla(method), epochs=2),
        method: run(_debiased(method)),
    }
    times = interleaved(cases, _ROUNDS.value)
    report(f"bias_steps_{method}", times, baseline, OUT_DIR.value, units=_STEPS.value)


def _ways(
    method: str, arrays: Arrays, steps: int
) -> dict[str, Callable[[], list[Callable[[], None]]]]:
    """Makers of fresh, uncompiled runs: one each, and one of all repeats."""
    count = _REPEATS.value

    def make(repeats: int) -> list[Callable[[], None]]:
        return [
            _runner(_debiased(method), arrays, steps, repeats=repeats, seed=seed)
            for seed in range(count // repeats)
        ]

    return {
        f"{count} runs": functools.partial(make, 1),
        f"{count} vmapped": functools.partial(make, count),
    }


def _run_all(runs: list[Callable[[], None]]) -> None:
    for run in runs:
        run()


def _time_repeats(method: str, arrays: Arrays) -> None:
    ways = _ways(method, arrays, _STEPS.value)
    cases = {way: functools.partial(_run_all, make()) for way, make in ways.items()}
    times = interleaved(cases, _REPEAT_ROUNDS)
    name = f"bias_steps_{method}_repeats"
    report(name, times, next(iter(ways)), OUT_DIR.value, units=_STEPS.value)


def _time_job(method: str, arrays: Arrays) -> None:
    ways = _ways(method, arrays, len(arrays[0]) // _BATCH)

    def job(make: Callable[[], list[Callable[[], None]]]) -> None:
        _run_all(make())

    cases = {way: functools.partial(job, make) for way, make in ways.items()}
    times = interleaved(cases, _JOB_ROUNDS, warmup=0)
    report(f"bias_steps_{method}_job", times, next(iter(ways)), OUT_DIR.value)


_PARTS = {"steps": _time_steps, "repeats": _time_repeats, "job": _time_job}


def main(argv: list[str]) -> None:
    """Times both methods."""
    del argv
    for part in _ONLY.value:
        checks.one_of("only", part, _PARTS)
    checks.in_range("steps", _STEPS.value, 1, _EXAMPLES.value // _BATCH)
    rng = np.random.default_rng(0)
    inputs = rng.integers(0, 256, (_EXAMPLES.value, *_SHAPE)).astype(np.uint8)
    labels = rng.integers(0, _CLASSES, len(inputs)).astype(np.int32)
    for part in _ONLY.value:
        for method in _METHODS:
            _PARTS[part](method, (inputs, labels))


if __name__ == "__main__":
    app.run(main)
