"""Run folders with made-up numbers, and names that mean mischief."""

from __future__ import annotations

import json
import pathlib

import numpy as np

from experiments.study.journal import Journal
from experiments.study.numbers import deviation, mean
from experiments.study.records import EPOCH
from experiments.study.run_folder import data_digests, open_run_folder
from robustjax import data
from robustjax.files import digest_of_record
from robustjax.tools.tables import in_file
from robustjax.training import write_csv

SCRIPT = "<script>alert(1)</script>"
PIPES = 'a|b `c` <b>*d*</b> "&amp;" $x$ [e](http://f)'
METHODS = ("ce", SCRIPT, PIPES)
# 9 before 30 as numbers, behind it as texts.
LAST = {"ce": (0.30, 0.28), SCRIPT: (0.09, 0.08), PIPES: (0.55, np.nan)}


def write_images(folder: pathlib.Path, count: int = 24) -> data.Dataset:
    """Writes and returns small images with a class and ids of such names."""
    rng = np.random.default_rng(0)
    sets = {
        split: data.make_dataset(
            rng.integers(0, 256, (count, 6, 6, 1), np.uint8),
            np.arange(count) % 3,
            ids=np.array([f"{SCRIPT}{i}" for i in range(count)]),
            class_names=("cat", SCRIPT, PIPES),
        )
        for split in ("train", "test")
    }
    data.save_npz(folder / "images.npz", **sets)
    return data.load(str(folder / "images.npz"), "train")


def record_of(train: data.Dataset, path: pathlib.Path) -> dict:
    """What `config.json` of such a run holds."""
    config = {"dataset": str(path), "train_split": "train", "noise": SCRIPT}
    last = {"key": "last", "title": f"last {SCRIPT}", "is_share": True}
    return {
        "study": "tried",
        "title": f"a title\nwith {SCRIPT}",
        "command": f"python -m experiments.tried '--noise={SCRIPT}' `x`",
        "config": {"methods": {m: {**config, "rate": m == "ce"} for m in METHODS}},
        "data": data_digests(
            {"training inputs": train.inputs, "training labels": train.labels}
        ),
        "facts": {},
        "cells": ["cell_0", "cell_1", "cell_2"],
        "measures": [{**last, "in_summary": True}],
    }


def write_run(folder: pathlib.Path, *, finish: bool = True, name: str = "run"):
    """Writes a run of three methods; returns its folder."""
    home = folder / "tried" / name
    train = write_images(folder)
    record = record_of(train, folder / "images.npz")
    with (
        open_run_folder(home, record) as path,
        Journal(path, tensorboard=False) as journal,
    ):
        for number, method in enumerate(METHODS if finish else METHODS[:1]):
            _write_cell(journal.cell(f"cell_{number}"), method, train)
    return home


def write_sweep(folder: pathlib.Path) -> pathlib.Path:
    """Writes a sweep of two values, three methods each, and a point that is missing."""
    home = folder / "sweeps" / "rates"
    home.mkdir(parents=True)
    runs = [write_run(folder, name=name) for name in ("one", "two")]
    points, results, summary = [], [], []
    for rate, run in zip(("0.2", "0.10"), runs):
        values = {"noise_rate": rate, "noise": SCRIPT}
        points.append({"folder": f"../../tried/{run.name}", "values": values})
        for method in METHODS:
            each = 100 * np.array([x for x in LAST[method] if np.isfinite(x)])
            columns = {**values, "method": method, "measure": "last"}
            results += [
                {"point": run.name, **columns, "repeat": r, "value": x}
                for r, x in enumerate(each.tolist())
            ]
            row = {**columns, "repeats": len(each), "mean": in_file(mean(each))}
            row |= {"std": in_file(deviation(each))}
            row |= {"difference_mean": "" if method == "ce" else 9.5}
            row |= {"difference_std": "", "difference_repeats": 2}
            summary.append(row)
    points.append({"folder": "../../tried/none", "values": {"noise_rate": "0.9"}})
    record = {"study": "tried", "baseline": {"method": "ce"}, "points": points}
    record["digest"] = digest_of_record(record)
    (home / "sweep.json").write_text(json.dumps(record))
    write_csv(home / "results.csv", results)
    write_csv(home / "summary.csv", summary)
    return home


def _write_cell(cell, method, train):
    for epoch in range(3):
        accuracy = [0.1 * epoch, 0.2 * epoch]
        cell.write(
            EPOCH,
            method=method,
            epoch=epoch,
            repeats=2,
            of_repeats={"test_accuracy": accuracy},
            seconds=1.5,
        )
    cell.result({"method": method}, {"last": LAST[method]}, repeats=[0, 1], epochs=3)
    given = train.labels.copy()
    given[:6] = (given[:6] + 1) % 3
    predicted = train.labels.copy()
    predicted[0], predicted[10] = given[0], (given[10] + 1) % 3
    probability = np.linspace(0, 1, len(given))
    cell.keep("", train.ids, {"repeat": 0}, given=given, true=train.labels)
    columns = {"predicted": predicted, "given_probability": probability}
    cell.keep(method, train.ids, {"repeat": 0}, **columns)
    cell.finish()
