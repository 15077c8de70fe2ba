"""What the diffusion study measures of a batch, by hand, and what it tells."""

import csv
import dataclasses
import types

import numpy as np
import pytest

from experiments.studies.label_correction import diffusion_report as report
from experiments.studies.label_correction.runner import Outcome
from experiments.study.journal import Journal
from experiments.study.run_folder import open_run_folder
from experiments.study.table import Table
from robustjax.methods import Budget

# A ring of eight examples, each with its two neighbours.
RING = np.stack([(np.arange(8) + 1) % 8, (np.arange(8) - 1) % 8], axis=1)
VARIANT = report.Variant("delta", "input", "5Q")


def measured():
    """Two repeats of two batches of four: (columns, values) per number of labels."""
    noisy = np.zeros((2, 8), bool)
    noisy[0, [0, 1, 2, 5]] = True
    noisy[1, :4] = True
    picks = np.array([[0, 1, 4, 2, 3, 5, 6, 7], [4, 6, 0, 2, 1, 3, 5, 7]])
    study = types.SimpleNamespace(
        budget=Budget(8, 4), task=types.SimpleNamespace(is_noisy=noisy)
    )
    accuracy = np.array([[0.5, 0.6, 0.8], [0.7, 0.7, 0.7]])
    outcome = Outcome(accuracy, np.zeros((2, 2)), picks)
    return list(report.measure(VARIANT, outcome, study, RING))


def test_redundant_picks_are_neighbours_of_earlier_ones():
    found = report.redundant(np.array([0, 1, 4, 2, 7]), RING)
    np.testing.assert_array_equal(found, [False, True, False, True, True])


def test_measures_of_a_batch():
    columns, values = zip(*measured(), strict=True)
    variant = {"mode": "delta", "space": "input", "candidates": "5Q"}
    assert list(columns) == [{**variant, "labels": n} for n in (0, 4, 8)]
    first, second, last = values
    np.testing.assert_allclose(first["accuracy"], [0.5, 0.7])
    # 0, 1, 4, 2 of which 0, 1 and 2 are wrong; and 4, 6, 0, 2.
    np.testing.assert_allclose(first["noisy"], [0.75, 0.5])
    np.testing.assert_allclose(first["redundant"], [0.5, 0])
    quarters = [first[f"noisy_quarter_{q}"] for q in (1, 2, 3, 4)]
    np.testing.assert_allclose(np.transpose(quarters)[0], [1, 1, 0, 1])
    # Redundancy counts within the batch alone: 3, 5, 6, 7 and 1, 3, 5, 7.
    np.testing.assert_allclose(second["redundant"], [0.5, 0])
    assert set(last) == {"accuracy"}


def test_the_text_and_the_files(tmp_path):
    record = {
        "title": "a ring",
        "config": {},
        "data": {},
        "cells": ["delta-input-5Q"],
        "measures": [dataclasses.asdict(measure) for measure in report.MEASURES],
    }
    folder = tmp_path / "run"
    with (
        open_run_folder(folder, record),
        Journal(folder, tensorboard=False) as journal,
    ):
        for columns, values in measured():
            cell = journal.cell("delta-input-5Q")
            cell.result(columns, values, repeats=range(2))
    table = Table.read(folder)
    table.write_files()
    with open(folder / "summary.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["labels"] for row in rows] == ["0", "4", "8"]
    assert float(rows[0]["noisy_mean"]) == 62.5
    assert float(rows[0]["noisy_std"]) == pytest.approx(25 / 2**0.5, abs=1e-3)
    assert rows[2]["noisy_mean"] == ""
    with open(folder / "repeats.csv", newline="") as file:
        repeats = list(csv.DictReader(file))
    last = [r["value"] for r in repeats if r["labels"] == "8"]
    assert last == ["80", "70"]
    accuracy, first_batch, said = report.report(table).split("\n\n")
    assert "|C| = 5Q, input: accuracy %" in accuracy
    assert "60.0 ±14.1" in accuracy
    (line,) = (line for line in first_batch.splitlines() if "5Q" in line)
    assert line.split("  ")[0] == "|C| = 5Q, delta input"
    assert "  50 50 50 100  " in line
    assert line.endswith("  0 50 0 50")
    assert said == "|C| = 5Q: delta input ends best with 75.0 % test accuracy."
    assert (folder / "accuracy.png").read_bytes().startswith(b"\x89PNG")
