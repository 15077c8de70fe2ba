r"""What people wait for before anything trains: imports and compilation.

    python -m experiments.benchmarks.startup
    python -m experiments.benchmarks.startup --against=../before --cases=demo --rounds=3

Every case is a command of its own, run by a process of its own: cold, with folders of
caches that are empty, and again with what the first run left there. CPU seconds (of the
user and the system) are compared, for they depend least on who else uses the machine;
with `--against`, both checkouts take turns. Programs are counted by JAX's own events.
"""

from __future__ import annotations

import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
from absl import app, flags

from experiments.benchmarks.timing import OUT_DIR
from experiments.study.run_folder import versions
from robustjax.files import write_atomically
from robustjax.tools.tables import text_table

CASES: dict[str, tuple[str, ...]] = {
    "help": ("experiments.label_correction", "--help"),
    "demo": ("experiments.label_correction", "--preset=digits"),
    # All of its programs, and little else.
    "demo_short": (
        "experiments.label_correction",
        "--preset=digits",
        "--epochs=1",
        "--budget=100",
        "--options=o2u_net.epochs=1",
    ),
    "small": (
        "experiments.label_correction",
        "--preset=digits",
        "--methods=random,entropy,alc",
        *("--repeats=2", "--hidden=8", "--epochs=1", "--budget=20", "--batch=10"),
    ),
    "label_noise": ("experiments.label_noise", "--preset=mnist", "--epochs=2"),
    "pruning": (
        "experiments.pruning",
        "--preset=digits",
        "--methods=uniform,forgetting,prune4rel",
        "--fractions=0.2",
        "--repeats=2",
    ),
}

_CASES = flags.DEFINE_list("cases", list(CASES), f"Of {', '.join(CASES)}.")
_ROUNDS = flags.DEFINE_integer("rounds", 1, "Of every case.", lower_bound=1)
_AGAINST = flags.DEFINE_string("against", None, "Another checkout to compare with.")

flags.register_validator(
    "cases", lambda names: all(name in CASES for name in names), "has an unknown case"
)
flags.register_validator(
    "against",
    lambda path: path is None or (pathlib.Path(path) / "experiments").is_dir(),
    "is not a checkout",
)

_HERE = pathlib.Path(__file__).resolve().parents[2]
_COUNTER = pathlib.Path(__file__).with_name("counted_programs.py")


def measured(case: str, checkout: pathlib.Path, caches: pathlib.Path) -> dict[str, Any]:
    """What a case costs in a process of its own.

    Args:
      case: of `CASES`.
      checkout: whose modules are run.
      caches: folder of the caches; what they hold is the difference between a first
        and a second run.

    Returns:
      CPU seconds, programs, how many of them came from the cache, seconds that XLA
      took for all of them, and their names.

    Raises:
      RuntimeError: it failed.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JAX_", "XLA_"))
    } | {
        "PYTHONPATH": str(checkout),
        "XDG_CACHE_HOME": str(caches),
        "JAX_COMPILATION_CACHE_DIR": str(caches / "xla"),
        "ROBUSTJAX_DECODED_CACHE": str(caches / "decoded"),
    }
    module, *arguments = CASES[case]
    with tempfile.TemporaryDirectory() as folder:
        record = pathlib.Path(folder) / "programs.json"
        command = [sys.executable, str(_COUNTER), str(record), module]
        if case == "help":
            # The counter would import JAX.
            command = [sys.executable, "-m", module]
        else:
            arguments.append(f"--run_dir={folder}/runs")
        before = _cpu_seconds()
        found = subprocess.run(
            [*command, *arguments], env=environment, cwd=folder, capture_output=True
        )
        seconds = _cpu_seconds() - before
        if found.returncode:
            raise RuntimeError(f"{case} of {checkout}: {found.stderr.decode()[-2000:]}")
        counted: dict[str, Any] = {"programs": [], "from_cache": 0}
        if record.exists():
            counted = json.loads(record.read_text())
    return {
        "cpu_seconds": seconds,
        "programs": len(counted["programs"]),
        "from_cache": counted["from_cache"],
        "xla_seconds": sum(seconds for _, seconds in counted["programs"]),
        "names": [name for name, _ in counted["programs"]],
    }


def _cpu_seconds() -> float:
    """Of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(argv: list[str]) -> None:
    """Measures in turns, and reports."""
    del argv
    checkouts = {"this": _HERE}
    if _AGAINST.value:
        checkouts["against"] = pathlib.Path(_AGAINST.value).resolve()
    found: dict[str, dict[str, dict[str, list[Any]]]] = {}
    for _ in range(_ROUNDS.value):
        for case in _CASES.value:
            _one_round(case, checkouts, found.setdefault(case, {}))
    rows = [row for case, times in found.items() for row in _rows(case, times)]
    columns = ["", "CPU s", "XLA s", "programs", "from cache", "CPU s against"]
    print(text_table(columns, rows), flush=True)
    record = {"benchmark": "startup", "cases": found, "versions": versions()}
    folder = pathlib.Path(OUT_DIR.value)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "startup.json", json.dumps(record, indent=1) + "\n")


def _one_round(
    case: str,
    checkouts: dict[str, pathlib.Path],
    found: dict[str, dict[str, list[Any]]],
) -> None:
    """Cold and then warm, of every checkout in turn."""
    with tempfile.TemporaryDirectory() as root:
        folders = {name: pathlib.Path(root) / name for name in checkouts}
        for folder in folders.values():
            folder.mkdir(mode=0o700)
        for state in ("cold", "warm"):
            for name, checkout in checkouts.items():
                values = measured(case, checkout, folders[name])
                print(
                    f"{case}, {state}, {name}: {values['cpu_seconds']:.1f} CPU s, "
                    f"{values['programs']} programs",
                    flush=True,
                )
                found.setdefault(state, {}).setdefault(name, []).append(values)


def _rows(case: str, states: dict[str, dict[str, list[Any]]]) -> list[list[str]]:
    rows = []
    for state, by_checkout in states.items():
        seconds = {
            name: np.asarray([run["cpu_seconds"] for run in runs])
            for name, runs in by_checkout.items()
        }
        for name, runs in by_checkout.items():
            last = runs[-1]
            ratio = "—"
            if name == "this" and "against" in seconds:
                ratio = f"{np.median(seconds['this'] / seconds['against']):.2f}"
            rows.append(
                [
                    f"{case}, {state}, {name}",
                    f"{np.median(seconds[name]):.1f}",
                    f"{np.median([run['xla_seconds'] for run in runs]):.1f}",
                    str(last["programs"]),
                    str(last["from_cache"]),
                    ratio,
                ]
            )
    return rows


if __name__ == "__main__":
    app.run(main)
