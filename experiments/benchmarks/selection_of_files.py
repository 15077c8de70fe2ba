"""Neighbours, selections and label issues of files that are larger than memory.

    python -m experiments.benchmarks.selection_of_files --gigabytes=3.2

Writes a file of so many GiB of features and one of as many of probabilities, and runs
each case on it in a process that the system allows `--limit_gigabytes` of memory (its
address space, as `ulimit -v` does): of the file, and then of an array, which must fail
there. What was seen goes into a file as it goes.
"""

from __future__ import annotations

import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import app, flags

from experiments.benchmarks.timing import OUT_DIR
from robustjax import data, graph, scores, selection
from robustjax.files import write_atomically

NAME = "selection_of_files"
_WIDTH, _CLASSES, _BLOCK = 64, 100, 2**16
_GIGABYTES = flags.DEFINE_float("gigabytes", 3.2, "Of each file.")
_LIMIT = flags.DEFINE_float("limit_gigabytes", 3, "Of memory.")
_FOLDER = flags.DEFINE_string("folder", None, "Where files go, for a while.")
_CHILD = flags.DEFINE_string("child", None, "Of this script: case:file or case:array.")

CASES: dict[str, Callable[[Any, np.ndarray], object]] = {
    "nearest_neighbors": lambda rows, labels: graph.nearest_neighbors(
        rows, 10, rows=np.arange(100)
    ),
    "k_center": lambda rows, labels: selection.k_center(rows, 20),
    "k_means": lambda rows, labels: selection.prototype_distances(
        rows, 10, jax.random.key(0), metric="euclidean"
    ),
    "find_label_issues": lambda rows, labels: scores.find_label_issues(labels, rows),
}


def _write(path: pathlib.Path, width: int, *, shares: bool) -> int:
    """Rows of standard normals, or of probabilities; returns their number."""
    rng = np.random.default_rng(0)
    size = int(_GIGABYTES.value * 2**30 / (4 * width))
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (size, width)}
        )
        for first in range(0, size, _BLOCK):
            shape = (min(_BLOCK, size - first), width)
            if shares:
                block = rng.standard_exponential(shape, np.float32)
                block[np.arange(len(block)), _labels(size)[first:][: len(block)]] += 20
                block /= block.sum(axis=1, keepdims=True)
            else:
                block = rng.standard_normal(shape, np.float32)
            file.write(block.tobytes())
    return size


def _labels(size: int) -> np.ndarray:
    return (np.arange(size) % _CLASSES).astype(np.int32)


def _run(case: str, kind: str, folder: pathlib.Path) -> dict[str, float]:
    limit = int(_LIMIT.value * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    issues = case == "find_label_issues"
    path = folder / ("probabilities.npy" if issues else "features.npy")
    rows: Any = data.open_rows(path)
    size = len(rows)
    if kind == "array":
        rows = np.asarray(rows)
    started = time.perf_counter(), time.process_time()
    jax.block_until_ready(CASES[case](rows, _labels(size)))
    return {
        "examples": size,
        "seconds": time.perf_counter() - started[0],
        "core_seconds": time.process_time() - started[1],
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _in_process(case: str, kind: str, folder: pathlib.Path) -> dict[str, Any]:
    command = [sys.executable, "-m", f"experiments.benchmarks.{NAME}"]
    command += [f"--child={case}:{kind}", f"--folder={folder}"]
    command += [f"--limit_gigabytes={_LIMIT.value}", f"--out_dir={OUT_DIR.value}"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        last = ran.stderr.strip().splitlines()[-1:]
        return {"status": ran.returncode, "error": "".join(last)[:200]}
    return {"status": 0, **json.loads(ran.stdout.splitlines()[-1])}


def main(argv: list[str]) -> None:
    """Writes the files and runs the cases."""
    del argv
    if _CHILD.value:
        case, _, kind = _CHILD.value.partition(":")
        print(json.dumps(_run(case, kind, pathlib.Path(_FOLDER.value or "."))))
        return
    path = pathlib.Path(OUT_DIR.value) / f"{NAME}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    seen: dict[str, Any] = {"limit_bytes": int(_LIMIT.value * 2**30)}
    with tempfile.TemporaryDirectory(dir=_FOLDER.value) as name:
        folder = pathlib.Path(name)
        for case in CASES:
            issues = case == "find_label_issues"
            file = folder / ("probabilities.npy" if issues else "features.npy")
            if not file.exists():
                _write(file, _CLASSES if issues else _WIDTH, shares=issues)
            seen["file_bytes"] = file.stat().st_size
            seen[case] = {
                kind: _in_process(case, kind, folder) for kind in ("file", "array")
            }
            write_atomically(path, json.dumps(seen, indent=1) + "\n")
            print(case, seen[case], flush=True)


if __name__ == "__main__":
    app.run(main)
