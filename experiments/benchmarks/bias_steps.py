"""What LfF and DFA cost: their step against the Vanilla steps of two networks.

    python -m experiments.benchmarks.bias_steps
    python -m experiments.benchmarks.bias_steps --only=repeats

Made-up images of the size of Colored MNIST, the published networks (LfF's MLP of three
times 100, DFA's of 100, 100 and 16), batches of 256 and Adam. A debiaser trains two
networks on one batch, so it is compared with two networks of the same kind trained by
cross-entropy alone: in one step on one batch, and by a step each.

"repeats" compares ten runs in one program with ten runs of a compiled one, one after
the other; what compiling once and not ten times saves is not in it.
"""

from __future__ import annotations

import jax
import numpy as np
import optax
from absl import app, flags

from experiments.benchmarks.programs import epochs_of
from experiments.benchmarks.timing import CLOCKS, OUT_DIR, interleaved, report
from robustjax import checks, transforms
from robustjax.methods import bias
from robustjax.models import MLP, TwoEncoderClassifier
from robustjax.training import Algorithm, Program, TrainState, choose_execution
from robustjax.transforms import ExampleSpec

_EXAMPLES = flags.DEFINE_integer("examples", 60_000, "N.", lower_bound=256)
_STEPS = flags.DEFINE_integer("steps", 40, "Per timed call.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 21, "Timed rounds of steps.", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 10, "Runs.", lower_bound=2)
_ONLY = flags.DEFINE_list("only", ["steps", "repeats"], "What to time.")

_CLOCK = flags.DEFINE_enum("clock", "wall", list(CLOCKS), "Time, or threads' work.")
_METHODS = flags.DEFINE_list("methods", ["lff", "dfa"], "Whose steps.")
_CLASSES, _BATCH, _SHAPE = 10, 256, (28, 28, 3)
_REPEAT_ROUNDS = 7

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


def _program(algorithm: Algorithm, examples: int) -> Program:
    """Short epochs: some steps on parts of all examples."""

    def order(
        key: jax.Array, state: TrainState, examples: int, batch: int, padding: int
    ) -> jax.Array:
        del state, padding
        drawn = jax.random.permutation(key, examples)[: _STEPS.value * batch]
        return drawn.reshape(-1, batch).astype(np.int32)

    return Program(
        algorithm._replace(order=order),
        ExampleSpec(examples, _CLASSES),
        batch_size=_BATCH,
        execution=choose_execution(convolutional=False),
    )


def _time_steps(method: str, arrays: Arrays) -> None:
    examples = len(arrays[0])
    baseline = "two networks, one step"
    cases = {
        baseline: epochs_of(_program(_two_vanilla(method), examples), *arrays),
        "two networks, a step each": epochs_of(
            _program(_vanilla(method), examples), *arrays, epochs=2
        ),
        method: epochs_of(_program(_debiased(method), examples), *arrays),
    }
    times = interleaved(cases, _ROUNDS.value, clock=CLOCKS[_CLOCK.value])
    name = f"bias_steps_{method}"
    report(name, times, baseline, OUT_DIR.value, units=_STEPS.value)


def _time_repeats(method: str, arrays: Arrays) -> None:
    count = _REPEATS.value
    program = _program(_debiased(method), len(arrays[0]))
    alone = [epochs_of(program, *arrays, seed=seed) for seed in range(count)]

    def one_by_one() -> None:
        for run in alone:
            run()

    baseline = f"{count} runs"
    cases = {
        baseline: one_by_one,
        f"{count} vmapped": epochs_of(program, *arrays, repeats=count),
    }
    times = interleaved(cases, _REPEAT_ROUNDS, clock=CLOCKS[_CLOCK.value])
    name = f"bias_steps_{method}_repeats"
    report(name, times, baseline, OUT_DIR.value, units=_STEPS.value)


_PARTS = {"steps": _time_steps, "repeats": _time_repeats}


def main(argv: list[str]) -> None:
    """Times both methods."""
    del argv
    for part in _ONLY.value:
        checks.one_of("only", part, _PARTS)
    for method in _METHODS.value:
        checks.one_of("methods", method, ("lff", "dfa"))
    checks.in_range("steps", _STEPS.value, 1, _EXAMPLES.value // _BATCH)
    rng = np.random.default_rng(0)
    inputs = rng.integers(0, 256, (_EXAMPLES.value, *_SHAPE)).astype(np.uint8)
    labels = rng.integers(0, _CLASSES, len(inputs)).astype(np.int32)
    for part in _ONLY.value:
        for method in _METHODS.value:
            _PARTS[part](method, (inputs, labels))


if __name__ == "__main__":
    app.run(main)
