"""Label-quality scores and label issues against cleanlab, side by side.

    python -m experiments.benchmarks.label_issues
    python -m experiments.benchmarks.label_issues --examples=50000 --classes=1000

cleanlab (`pip install cleanlab`) runs in one process: copies of this process, which it
would make by default, must not be made while JAX is loaded. The cases "on the device"
score float32 arrays that are there already.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from experiments.benchmarks.timing import OUT_DIR, interleaved, report
from robustjax import scores

_EXAMPLES = flags.DEFINE_integer("examples", 1_000_000, "N.")
_CLASSES = flags.DEFINE_integer("classes", 10, "C.")
_NOISE_RATE = flags.DEFINE_float("noise_rate", 0.1, "Share of labels drawn anew.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Timed rounds.")


def _problem() -> tuple[np.ndarray, np.ndarray]:
    """Labels, some of them wrong, and probabilities of an imperfect classifier."""
    count, classes = _EXAMPLES.value, _CLASSES.value
    rng = np.random.default_rng(0)
    true = rng.integers(0, classes, count)
    wrong = rng.random(count) < _NOISE_RATE.value
    labels = np.where(wrong, rng.integers(0, classes, count), true)
    logits = 2 * rng.normal(size=(count, classes))
    logits[np.arange(count), true] += 4 + np.log(classes)
    exponentials = np.exp(logits)
    return labels, exponentials / exponentials.sum(axis=1, keepdims=True)


def _compare(
    name: str,
    theirs: Callable[[], np.ndarray],
    ours: Callable[[], np.ndarray],
    on_device: Callable[[], jax.Array] | None = None,
) -> None:
    """Says how far both agree, times them in turns and writes `<name>.json`."""
    agree = np.mean(np.isclose(ours(), theirs(), rtol=1e-6, atol=1e-9))
    print(f"{name}: {agree:.5%} agree")
    cases: dict[str, Callable[[], None]] = {
        "cleanlab": lambda: (theirs(), None)[1],
        "robustjax": lambda: (ours(), None)[1],
    }
    if on_device is not None:
        cases["robustjax, on the device"] = lambda: (
            jax.block_until_ready(on_device()),
            None,
        )[1]
    times = interleaved(cases, _ROUNDS.value)
    report(name, times, "cleanlab", pathlib.Path(OUT_DIR.value) / "label_issues")


def main(argv: list[str]) -> None:
    """Times scores, the joint and every filter."""
    del argv
    # Not installed with robustjax: only tests and this comparison use it.
    from cleanlab.count import compute_confident_joint
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    given = _problem()
    print(f"N = {_EXAMPLES.value:,}, C = {_CLASSES.value}")
    on_device = jnp.asarray(given[0]), jnp.asarray(given[1], jnp.float32)

    for method in scores.QUALITY_METHODS:
        score = functools.partial(scores.label_quality_scores, method=method)
        _compare(
            method,
            functools.partial(get_label_quality_scores, *given, method=method),
            functools.partial(score, *given),
            functools.partial(jax.jit(score), *on_device),
        )
    _compare(
        "confident_joint",
        functools.partial(compute_confident_joint, *given),
        functools.partial(scores.confident_joint, *given),
    )
    for name in scores.FILTERS:
        _compare(
            name,
            functools.partial(find_label_issues, *given, filter_by=name, n_jobs=1),
            functools.partial(scores.find_label_issues, *given, filter_by=name),
        )


if __name__ == "__main__":
    app.run(main)
