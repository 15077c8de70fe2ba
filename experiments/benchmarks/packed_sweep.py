"""Points of `experiments.sweep`, packed against one after another.

    python -m experiments.benchmarks.packed_sweep

ELR on scikit-learn's digits; by default four learning rates by four strengths. Each
sweep begins with an empty folder and an empty compilation cache. "seconds" are by the
clock, "work" is what all processes computed: that counts on a machine that is shared.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from absl import app, flags

from experiments.benchmarks.timing import OUT_DIR, interleaved, report

_EPOCHS = flags.DEFINE_integer("epochs", 10, "Epochs per point.")
_ROUNDS = flags.DEFINE_integer("rounds", 2, "Timed rounds.")
_GRID = flags.DEFINE_string(
    "grid", "learning_rate=0.01,0.02,0.05,0.1; elr.strength=0.5,1,3,7", "Of the sweep."
)

_WAYS = {"one by one": "--pack=0", "packed": "--pack=16"}


def _sweep(flag: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = os.path.join(folder, "cache")
        os.mkdir(cache, 0o700)
        subprocess.run(
            [
                *(sys.executable, "-m", "experiments.sweep", "--study=label_noise"),
                *("--preset=digits", "--methods=elr", "--repeats=1", "--jobs=1"),
                *(f"--epochs={_EPOCHS.value}", f"--grid={_GRID.value}", flag),
                f"--run_dir={os.path.join(folder, 'runs')}",
            ],
            env={**os.environ, "JAX_COMPILATION_CACHE_DIR": cache},
            stdout=subprocess.DEVNULL,
            check=True,
        )


def main(argv: list[str]) -> None:
    """Times both ways."""
    del argv
    seconds: dict[str, list[float]] = {name: [] for name in _WAYS}

    def of_children() -> float:
        times = os.times()
        return times.children_user + times.children_system

    def timed(name: str, flag: str) -> Callable[[], None]:
        def run() -> None:
            began, before = time.perf_counter(), of_children()
            _sweep(flag)
            seconds[name].append(time.perf_counter() - began)
            work = of_children() - before
            print(
                f"{name}: {seconds[name][-1]:.0f} s, {work:.0f} s of work", flush=True
            )

        return run

    ways = {name: timed(name, flag) for name, flag in _WAYS.items()}
    work = interleaved(ways, _ROUNDS.value, warmup=0, clock=of_children)
    report("packed_sweep_work", work, "one by one", OUT_DIR.value)
    report("packed_sweep_seconds", seconds, "one by one", OUT_DIR.value)


if __name__ == "__main__":
    app.run(main)
