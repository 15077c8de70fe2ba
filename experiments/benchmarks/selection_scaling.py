"""How selections, neighbours and label issues grow with N, each cell by itself.

    python -m experiments.benchmarks.selection_scaling
    python -m experiments.benchmarks.selection_scaling --cases=k_center --sizes=1000000

A cell is a case at one N, d = 64, run in a process of its own that tells its seconds,
those of all its threads, and the most memory it held, its data included. What is there
is not run again: the file grows cell by cell, and a cell that takes longer than
`--minutes` is noted as left out.
"""

from __future__ import annotations

import json
import pathlib
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import app, flags

from experiments.benchmarks.timing import OUT_DIR
from experiments.study.run_folder import versions
from robustjax import graph, scores, selection
from robustjax.files import write_atomically

NAME = "selection_scaling"
DIMENSIONS, PICKS, QUERIES, NEIGHBORS, CLUSTERS, CLASSES = 64, 100, 100, 10, 100, 10
# Another call, without compilation, follows one that took less.
_AGAIN_SECONDS = 90
_PER_CLUSTER, _BLOCK = 25, 2**16


def _points(size: int) -> np.ndarray:
    """Clusters of some examples, as the features of a network have them."""
    rng = np.random.default_rng(0)
    points = np.empty((size, DIMENSIONS), np.float32)
    centres = rng.standard_normal((size // _PER_CLUSTER, DIMENSIONS), np.float32)
    for start in range(0, size, _BLOCK):
        block = points[start : start + _BLOCK]
        rng.standard_normal(dtype=np.float32, out=block)
        block *= rng.uniform(0.1, 0.25, (len(block), 1)).astype(np.float32)
        block += centres[rng.integers(len(centres), size=len(block))]
    return points


def _neighbors(size: int) -> Callable[[], object]:
    points = _points(size)
    rows = np.random.default_rng(1).choice(size, QUERIES, replace=False)
    return lambda: graph.nearest_neighbors(points, NEIGHBORS, rows=rows)


def _k_center(size: int) -> Callable[[], object]:
    points = _points(size)
    return lambda: selection.k_center(points, PICKS)


def _prune4rel(size: int) -> Callable[[], object]:
    points = _points(size)
    confidence = np.random.default_rng(1).beta(4, 1, size).astype(np.float32)
    return lambda: selection.prune4rel(points, confidence, PICKS)


def _facility_location(size: int) -> Callable[[], object]:
    points = _points(size)
    return lambda: selection.facility_location_cg(points, None, PICKS)


def _k_means(size: int) -> Callable[[], object]:
    points, key = _points(size), jax.random.key(0)
    return lambda: selection.prototype_distances(
        points, CLUSTERS, key, metric="euclidean"
    )


def _label_issues(size: int) -> Callable[[], object]:
    rng = np.random.default_rng(0)
    labels = rng.integers(CLASSES, size=size)
    probabilities = rng.standard_exponential((size, CLASSES), np.float32)
    seen = np.where(rng.uniform(size=size) < 0.2, rng.integers(CLASSES, size=size), 0)
    seen = np.where(seen == 0, labels, seen)
    probabilities[np.arange(size), seen] += 6
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return lambda: scores.find_label_issues(labels, probabilities)


CASES: dict[str, Callable[[int], Callable[[], object]]] = {
    "nearest_neighbors": _neighbors,
    "k_center": _k_center,
    "prune4rel": _prune4rel,
    "facility_location": _facility_location,
    "k_means": _k_means,
    "find_label_issues": _label_issues,
}
SIZES = (10**4, 10**5, 10**6, 10**7)

_CASES = flags.DEFINE_multi_enum("cases", list(CASES), list(CASES), "What is run.")
_SIZES = flags.DEFINE_list("sizes", [str(size) for size in SIZES], "N, each.")
_MINUTES = flags.DEFINE_float("minutes", 7, "After which a cell is left out.")
_CELL = flags.DEFINE_string("cell", None, "Of this script: case:N, run here.")


def _run_cell(case: str, size: int) -> dict[str, Any]:
    run = CASES[case](size)
    calls: list[dict[str, float]] = []
    while len(calls) < 2 and sum(call["seconds"] for call in calls) < _AGAIN_SECONDS:
        wall, own = time.perf_counter(), time.process_time()
        jax.block_until_ready(run())
        calls.append(
            {
                "seconds": time.perf_counter() - wall,
                "core_seconds": time.process_time() - own,
            }
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"calls": calls, "peak_bytes": peak, "versions": versions()}


def _cell_in_process(case: str, size: int) -> dict[str, Any]:
    command = [sys.executable, "-m", f"experiments.benchmarks.{NAME}"]
    command += [f"--cell={case}:{size}", f"--out_dir={OUT_DIR.value}"]
    limit = 60 * _MINUTES.value
    try:
        ran = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return {"left_out": f"more than {_MINUTES.value:g} minutes"}
    if ran.returncode:
        last = ran.stderr.strip().splitlines()[-1:]
        return {"left_out": f"status {ran.returncode}; {''.join(last)[:200]}"}
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def main(argv: list[str]) -> None:
    """Runs the cells that are not there yet."""
    del argv
    if _CELL.value:
        case, _, number = _CELL.value.partition(":")
        print(json.dumps(_run_cell(case, int(number))))
        return
    path = pathlib.Path(OUT_DIR.value) / f"{NAME}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    cells: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for size in map(int, _SIZES.value):
        for case in _CASES.value:
            name = f"{case}:{size}"
            if name in cells:
                continue
            cells[name] = _cell_in_process(case, size)
            write_atomically(path, json.dumps(cells, indent=1) + "\n")
            print(name, cells[name], flush=True)


if __name__ == "__main__":
    app.run(main)
