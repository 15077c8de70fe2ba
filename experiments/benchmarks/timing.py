"""Interleaved timing, and its report.

Machines are shared and their clocks change: two cases timed one after the other see
different machines. Here every round runs every case once, so that a slow moment
falls on all of them, and medians over rounds are compared.
"""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata

import numpy as np
from absl import flags

from experiments.study.run_folder import versions
from robustjax import checks
from robustjax.files import write_atomically
from robustjax.output_paths import check_output_folder
from robustjax.tools.tables import text_table

OUT_DIR = flags.DEFINE_string(
    "out_dir", "runs/benchmarks", "Where the results go, as <benchmark>.json."
)


def _can_be_written(folder: str) -> bool:
    try:
        check_output_folder("out_dir", folder)
    except ValueError as error:
        raise flags.ValidationError(str(error)) from None
    return True


# When flags are read: benchmarks take minutes before they write.
flags.register_validator("out_dir", _can_be_written)

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
"""For `interleaved`, by the names that flags have for them."""

# What our code is compared with; its version belongs to the result where installed.
_PEERS = (
    "torch",
    "scikit-learn",
    "faiss-cpu",
    "apricot-select",
    "submodlib-py",
    "cleanlab",
)


def interleaved(
    cases: Mapping[str, Callable[[], None]],
    repeats: int,
    warmup: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Times all cases in rounds, ABCABC….

    Args:
      cases: name -> a function that returns only when its work is done (for JAX:
        `jax.block_until_ready`).
      repeats: timed rounds, >= 1.
      warmup: rounds before these, such as for compilation, >= 0.
      clock: in seconds; that of the CPU counts the work of all threads, where other
        programs take most of the machine.

    Returns:
      Name -> seconds of every timed round.

    Raises:
      ValueError: no cases, or a number of rounds out of range.
    """
    if not cases:
        raise ValueError("cases: got none, expected at least one")
    checks.at_least("repeats", repeats, 1)
    checks.at_least("warmup", warmup, 0)
    times: dict[str, list[float]] = {name: [] for name in cases}
    for round_number in range(-warmup, repeats):
        for name, run in cases.items():
            start = clock()
            run()
            elapsed = clock() - start
            if round_number >= 0:
                times[name].append(elapsed)
    return times


def report(
    name: str,
    times: Mapping[str, Sequence[float]],
    baseline: str | None,
    folder: str | pathlib.Path,
    *,
    units: int = 1,
) -> str:
    """Prints medians and ratios, and writes them to `<folder>/<name>.json`.

    Args:
      name: of the benchmark.
      times: from `interleaved`.
      baseline: the case that others are compared with, or None. A ratio of 2 means
        twice as fast as the baseline.
      folder: where the file goes; made if missing.
      units: how many units of work (say, training steps) a timed call does; times
        are reported per unit.

    Returns:
      The printed table.

    Raises:
      ValueError: an unknown baseline.
    """
    if baseline is not None:
        checks.one_of("baseline", baseline, times)
    per_unit = {case: 1e3 * np.asarray(t) / units for case, t in times.items()}
    medians = {case: float(np.median(ms)) for case, ms in per_unit.items()}
    # Ratios round by round: both sides of each were measured in the same moment.
    ratios: dict[str, float | None] = {
        case: None
        if baseline is None
        else float(np.median(per_unit[baseline] / per_unit[case]))
        for case in times
    }
    table = text_table(
        [name, "median ms", "min ms", f"x {baseline}" if baseline else "ratio"],
        [
            [
                case,
                f"{medians[case]:.3g}",
                f"{per_unit[case].min():.3g}",
                "—" if ratios[case] is None else f"{ratios[case]:.2f}",
            ]
            for case in times
        ],
    )
    record = {
        "benchmark": name,
        "baseline": baseline,
        "milliseconds": {case: ms.tolist() for case, ms in per_unit.items()},
        "median_milliseconds": medians,
        "speed_against_baseline": ratios,
        "versions": {**versions(), **_peer_versions()},
    }
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"{name}.json", json.dumps(record, indent=2) + "\n")
    print(table, flush=True)
    return table


def _peer_versions() -> dict[str, str]:
    found = {}
    for package in _PEERS:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
