"""Neighbours and k-center of rows in two bytes a number against float32.

    python -m experiments.benchmarks.narrow_storage
    python -m experiments.benchmarks.narrow_storage --examples=1000000 --rounds=1

Calls are timed in turns, by default in the work of all threads. A first call of each,
which compiles, tells how many bytes of rows the device held meanwhile, and what was
found: the share of float32's neighbours, or the radius.
"""

from __future__ import annotations

import functools
import json
import pathlib
import threading
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import app, flags

from experiments.benchmarks.timing import CLOCKS, OUT_DIR, interleaved, report
from experiments.study.run_folder import versions
from robustjax import graph, selection
from robustjax.files import write_atomically
from robustjax.storage import STORAGES

NAME = "narrow_storage"
NEIGHBORS, CLUSTERS = 10, 500

_EXAMPLES = flags.DEFINE_integer("examples", 20_000, "N.")
_DIMENSIONS = flags.DEFINE_integer("dimensions", 512, "d.")
_ASKED = flags.DEFINE_integer("asked", 500, "Rows whose neighbours are found.")
_PICKS = flags.DEFINE_integer("picks", 128, "Of k-center.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Timed rounds.")
_CLOCK = flags.DEFINE_enum("clock", "cpu", list(CLOCKS), "What is timed.")
_WAIT_SECONDS = 0.01


def _points() -> np.ndarray:
    """Clusters, away from the origin."""
    rng = np.random.default_rng(0)
    shape = _EXAMPLES.value, _DIMENSIONS.value
    centres = rng.standard_normal((CLUSTERS, shape[1]), np.float32)
    points = rng.standard_normal(shape, np.float32)
    points += centres[rng.integers(CLUSTERS, size=shape[0])] + 3
    return points


def _neighbors(points: np.ndarray, storage: str) -> np.ndarray:
    rows = np.random.default_rng(1).choice(len(points), _ASKED.value, replace=False)
    found = graph.nearest_neighbors(points, NEIGHBORS, rows=rows, storage=storage)
    return np.asarray(found.indices)


def _k_center(points: np.ndarray, storage: str) -> selection.Selection:
    return selection.k_center(points, _PICKS.value, storage=storage)


CASES: dict[str, Callable[[np.ndarray, str], Any]] = {
    "neighbors": _neighbors,
    "k_center": _k_center,
}


def _held() -> int:
    """Bytes of arrays on the device that have all rows."""
    shape = _EXAMPLES.value, _DIMENSIONS.value
    return sum(each.nbytes for each in jax.live_arrays() if each.shape == shape)


def _most_held(call: Callable[[], Any]) -> tuple[Any, int]:
    """What a call gives, and the most that was held meanwhile."""
    seen, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(_WAIT_SECONDS):
            seen.append(_held())

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        return call(), max(seen)
    finally:
        over.set()
        watching.join()


def _first_calls(points: np.ndarray) -> dict[str, dict[str, dict[str, float]]]:
    """By case and storage: bytes, and recall or radius."""
    told: dict[str, dict[str, dict[str, float]]] = {}
    for case, call in CASES.items():
        told[case], exact = {}, None
        for storage in STORAGES:
            found, held = _most_held(functools.partial(call, points, storage))
            exact = found if exact is None else exact
            if case == "neighbors":
                same = [len(set(a) & set(b)) for a, b in zip(found, exact)]
                value = {"recall": float(np.mean(same)) / NEIGHBORS}
            else:
                value = {"radius": float(found.objective)}
            told[case][storage] = {"row_bytes": held, **value}
    return told


def _timed(
    call: Callable[[np.ndarray, str], Any], points: np.ndarray, storage: str
) -> None:
    call(points, storage)


def main(argv: list[str]) -> None:
    """First calls, then timed ones."""
    del argv
    sizes = {flag.name: flag.value for flag in (_EXAMPLES, _DIMENSIONS, _ASKED, _PICKS)}
    points = _points()
    told = _first_calls(points)
    path = pathlib.Path(OUT_DIR.value) / f"{NAME}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"sizes": sizes, **told, "versions": versions()}
    write_atomically(path, json.dumps(record, indent=2) + "\n")
    print(json.dumps(told, indent=2), flush=True)
    for case, call in CASES.items():
        times = interleaved(
            {s: functools.partial(_timed, call, points, s) for s in STORAGES},
            _ROUNDS.value,
            warmup=0,
            clock=CLOCKS[_CLOCK.value],
        )
        report(f"{NAME}_{case}", times, "float32", OUT_DIR.value)


if __name__ == "__main__":
    app.run(main)
