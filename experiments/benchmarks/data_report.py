"""`robustjax find-issues --issues=all` beside cleanlab's Datalab, on planted issues.

    python -m experiments.benchmarks.data_report --peer_python=peer/bin/python

Three data sets: the digits and the breast-cancer table of scikit-learn as CSV, and
2,000 images of MNIST as a folder. What is planted says `planted_issues`. Either side is
a process of its own, whose time holds all: starting, compiling, reading, training
by cross-validation, looking. Both get their defaults: a user without probabilities or
features. Of tables, the order of rows is looked at twice more, as it is drawn and
drifting, each side for itself.
"""

from __future__ import annotations

import csv
import inspect
import json
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import app, flags
from PIL import Image

from experiments.benchmarks import datalab_peer
from experiments.benchmarks.planted_issues import (
    KINDS,
    Planted,
    drifting,
    plant,
    quality,
)
from experiments.benchmarks.timing import OUT_DIR
from experiments.study.run_folder import versions
from robustjax.files import write_atomically
from robustjax.tools.inputs import load
from robustjax.tools.tables import text_table

_PEER = flags.DEFINE_string(
    "peer_python", sys.executable, "The interpreter that has cleanlab[datalab]."
)
# By what was planted by seed 0 the threshold of outliers was chosen.
_SEEDS = flags.DEFINE_list("seeds", ["1", "2", "3"], "Of what is planted.")
_ONLY = flags.DEFINE_list("only", [], "Data sets; by default all.")

DATASETS = ("digits", "breast_cancer", "mnist_folder")
_RARE = 7
_P_VALUE = re.compile(r"\(p = ([\d.e-]+)\)")
_COLUMNS = {
    "labels": "is_issue",
    "exact duplicates": "is_exact_duplicate",
    "near duplicates": "is_near_duplicate",
    "outliers": "is_outlier",
    "rare class": "is_in_rare_class",
}
_PEER_CODE = {
    "digits": datalab_peer.of_a_table,
    "breast_cancer": datalab_peer.of_a_table,
    "mnist_folder": datalab_peer.of_images,
}


def make(name: str, seed: int, folder: pathlib.Path) -> tuple[Planted, str]:
    """Writes a data set with planted issues, and says where."""
    from sklearn import datasets

    if name == "mnist_folder":
        whole = load("mnist", "train[:2000]", data_dir=None)
        pixels = whole.inputs.reshape(len(whole), -1)
        found = plant(pixels, whole.labels, seed, rare=_RARE, finish=_as_pixels)
        return found, _write_folder(found, folder / "images")
    if name == "digits":
        bunch = datasets.load_digits()
        found = plant(bunch.data, bunch.target, seed, rare=_RARE)
    else:
        bunch = datasets.load_breast_cancer()
        # Two classes: the wrong labels of one would make the other no longer rare.
        found = plant(bunch.data, bunch.target, seed, rare=None)
    return found, _write_table(found, bunch.target_names, folder / "table.csv")


def _as_pixels(rows: np.ndarray) -> np.ndarray:
    return np.clip(np.round(rows), 0, 255).astype(np.uint8)


def _write_table(found: Planted, names: Sequence[Any], path: pathlib.Path) -> str:
    width = found.inputs.shape[1]
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", *(f"x{i}" for i in range(width))])
        for row, (label, numbers) in enumerate(zip(found.labels, found.inputs)):
            writer.writerow([row, f"class {names[label]}", *numbers.tolist()])
    return str(path)


def _write_folder(found: Planted, path: pathlib.Path) -> str:
    for row, (label, pixels) in enumerate(zip(found.labels, found.inputs)):
        place = path / "train" / f"Ziffer № {label}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.reshape(28, 28)).save(place / f"{row:05d}.png")
    return str(path)


def ours(path: str, folder: pathlib.Path) -> tuple[dict[str, list[int]], list[str]]:
    """Rows that the command flags, kind by kind, and the command."""
    typed = ["robustjax", "find-issues", f"--dataset={path}", "--issues=all"]
    typed += [] if pathlib.Path(path).is_dir() else ["--standardize"]
    out = folder / "report.csv"
    arguments = [*typed[1:], f"--out={out}"]
    subprocess.run([sys.executable, "-m", "robustjax", *arguments], check=True)
    with open(out, newline="") as file:
        rows = list(csv.DictReader(file))
    found = {
        kind: [int(pathlib.Path(r["id"]).stem) for r in rows if r[column] == "True"]
        for kind, column in _COLUMNS.items()
    }
    return found, [*typed, "--out=report.csv"]


def theirs(path: str, folder: pathlib.Path) -> dict[str, Any]:
    """Likewise of Datalab, and its versions."""
    out = folder / "found.json"
    command = [_PEER.value, str(datalab_peer.__file__), path, str(out)]
    subprocess.run(command, check=True)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def orders(name: str, seed: int) -> list[dict[str, Any]]:
    """P-values of both sides, of rows in a random and in a drifting order."""
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        planted, path = make(name, seed, folder)
        names = range(planted.labels.max() + 1)
        for order, rows in (("random", planted), ("drifting", drifting(planted, seed))):
            _write_table(rows, names, pathlib.Path(path))
            typed = ["find-issues", f"--dataset={path}", "--issues=order"]
            typed += ["--standardize", f"--out={folder / 'order.csv'}"]
            told = subprocess.run(
                [sys.executable, "-m", "robustjax", *typed],
                check=True,
                capture_output=True,
                text=True,
            )
            (mine,) = _P_VALUE.findall(told.stdout)[:1]
            out = folder / "order.json"
            command = [_PEER.value, str(datalab_peer.__file__), path, str(out), "order"]
            subprocess.run(command, check=True)
            sides = {"robustjax": float(mine), "Datalab": json.loads(out.read_text())}
            for side, p_value in sides.items():
                row = {"dataset": name, "seed": seed, "by": side, "order": order}
                found.append(row | {"p_value": p_value})
    return found


def lines_of(function: Any) -> int:
    """Lines of a user's code: a function's, less head, docstring, return and blanks."""
    source = inspect.getsource(function).splitlines()
    return len([line for line in source if line.strip()]) - 3


def compare(name: str, seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Both sides on one data set: a row per side and kind, and what else is kept."""
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        planted, path = make(name, seed, folder)
        clocks = [_clocks()]
        mine, typed = ours(path, folder)
        clocks.append(_clocks())
        other = theirs(path, folder)
        clocks.append(_clocks())
        wall, work = np.diff(clocks, axis=0).T.tolist()
    for side, found in (("robustjax", mine), ("Datalab", other["found"])):
        for kind in KINDS:
            rows.append(
                {"dataset": name, "seed": seed, "by": side, "kind": kind}
                | quality(found[kind], planted.planted[kind])
            )
    command = [part if path not in part else "--dataset=…" for part in typed]
    kept = {
        "dataset": name,
        "seed": seed,
        "examples": len(planted.labels),
        "seconds": dict(zip(("robustjax", "Datalab"), wall)),
        "cpu_seconds": dict(zip(("robustjax", "Datalab"), work)),
        "lines": {"robustjax": 1, "Datalab": lines_of(_PEER_CODE[name])},
        "command": " ".join(command),
        "peer": other["versions"],
    }
    return rows, kept


def _clocks() -> tuple[float, float]:
    """Of the wall, and of the work of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter(), used.ru_utime + used.ru_stime


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    return {k: None if v != v else v for k, v in row.items()}


def main(argv: list[str]) -> None:
    """Compares, prints and writes `data_report/<data set>.json`."""
    del argv
    folder = pathlib.Path(OUT_DIR.value, "data_report")
    folder.mkdir(parents=True, exist_ok=True)
    for name in _ONLY.value or DATASETS:
        found: list[dict[str, Any]] = []
        runs: list[dict[str, Any]] = []
        looked: list[dict[str, Any]] = []
        for seed in map(int, _SEEDS.value):
            rows, run = compare(name, seed)
            found += rows
            runs.append(run)
            if name != "mnist_folder":
                looked += orders(name, seed)
            shown = [
                [f"{r['by']}, {r['kind']}"]
                + [f"{r[key]:.3g}" for key in ("precision", "recall", "found")]
                for r in rows
            ]
            header = [f"{name}, seed {seed}", "precision", "recall", "found"]
            print(text_table(header, shown), run["cpu_seconds"], flush=True)
        record = {
            "benchmark": "data_report",
            "found": [_finite(row) for row in found],
            "orders": looked,
            "runs": runs,
            "versions": versions(),
        }
        text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
        write_atomically(folder / f"{name}.json", text)


if __name__ == "__main__":
    app.run(main)
