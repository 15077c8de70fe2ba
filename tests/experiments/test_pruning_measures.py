"""Measures of a subset against plain NumPy, and what is said of them."""

from __future__ import annotations

import csv
import dataclasses
import math

import numpy as np
import pytest

from experiments.studies.pruning import measures, report
from experiments.studies.pruning.retrain import BINS, Training
from experiments.study.journal import Journal
from experiments.study.run_folder import open_run_folder
from experiments.study.table import Table


@pytest.fixture
def problem(rng):
    """(true, noisy, predicted, indices, neighborhood) of 40 examples."""
    true = rng.integers(0, 4, 40)
    is_noisy = rng.random(40) < 0.4
    predicted = np.where(rng.random(40) < 0.7, true, (true + 1) % 4)
    indices = rng.permutation(40)[:13]
    return true, is_noisy, predicted, indices, rng.gamma(1.0, size=40)


def test_shares_and_the_objective_equal_loops(problem):
    true, is_noisy, predicted, indices, neighborhood = problem
    none = np.zeros(40, bool)
    before = measures.subset_measures(indices, neighborhood, is_noisy, none, 2.0)
    after = measures.relabeling_measures(predicted, true, is_noisy, none, indices)
    assert "foreign_share" not in before
    noisy = [i for i in indices if is_noisy[i]]
    repaired = [i for i in noisy if predicted[i] == true[i]]
    assert before["noisy_share"] == pytest.approx(len(noisy) / 13)
    assert after["correct_share"] == pytest.approx(len(repaired) / len(noisy))
    everything = sum(predicted[i] == true[i] for i in range(40)) / 40
    assert after["relabel_accuracy"] == pytest.approx(everything)
    want = sum(math.tanh(level / 2.0) for level in neighborhood)
    assert before["objective"] == pytest.approx(want)
    assert before["neighborhood"] == pytest.approx(sum(neighborhood) / 40)


def test_nothing_to_repair_is_undefined_not_zero(problem):
    true, _, predicted, indices, _ = problem
    none = np.zeros(40, bool)
    found = measures.relabeling_measures(predicted, true, none, none, indices)
    assert math.isnan(found["correct_share"])


def test_foreign_examples_are_wrong_and_cannot_be_repaired(problem, rng):
    true, is_noisy, predicted, indices, neighborhood = problem
    foreign = rng.random(40) < 0.3
    wrong = is_noisy | foreign
    before = measures.subset_measures(indices, neighborhood, wrong, foreign, 2.0)
    after = measures.relabeling_measures(predicted, true, wrong, foreign, indices)
    assert before["noisy_share"] == pytest.approx(sum(wrong[i] for i in indices) / 13)
    assert before["foreign_share"] == pytest.approx(foreign[indices].sum() / 13)
    own = [i for i in indices if is_noisy[i] and not foreign[i]]
    repaired = [i for i in own if predicted[i] == true[i]]
    assert after["correct_share"] == pytest.approx(len(repaired) / len(own))
    known = [i for i in range(40) if not foreign[i]]
    right = sum(predicted[i] == true[i] for i in known)
    assert after["relabel_accuracy"] == pytest.approx(right / len(known))


def test_bins_are_equal_and_ascending_and_hold_everything(problem):
    true, _, predicted, _, neighborhood = problem
    right = predicted == true
    levels, accuracies = measures.binned_accuracy(neighborhood, right, 0, bins=15)
    order = np.argsort(neighborhood)
    # 40 = 10 bins of three and 5 of two.
    ends = np.cumsum([3] * 10 + [2] * 5)[:-1]
    for part, level, accuracy in zip(np.split(order, ends), levels, accuracies):
        assert level == pytest.approx(neighborhood[part].mean())
        assert accuracy == pytest.approx(right[part].mean())
    assert levels == sorted(levels)


def test_equal_confidences_are_binned_at_random():
    # Sorted by index, the first bins would be right and the last wrong.
    right = np.arange(3000) < 1500
    _, accuracies = measures.binned_accuracy(np.zeros(3000), right, 0)
    assert np.abs(np.array(accuracies) - 0.5).max() < 0.15


RESULTS = {
    # As after a run that was resumed: the repeats are in no order.
    Training("uniform", 0.2, 1): {"last": 0.7, "correct_share": math.nan},
    Training("uniform", 0.2, 0): {"last": 0.5, "correct_share": 0.4},
    Training("small_loss", 0.2, 0): {"last": 0.9, "correct_share": math.nan},
    Training("full", 1.0, 0): {"last": 0.8},
}


@pytest.fixture
def table(tmp_path):
    """Of a run that gave `RESULTS`."""
    record = {
        "title": "a study",
        "config": {},
        "data": {},
        "cells": [training.cell for training in RESULTS],
        "measures": [dataclasses.asdict(measure) for measure in report.MEASURES],
    }
    with open_run_folder(tmp_path, record), Journal(tmp_path) as journal:
        for training, values in RESULTS.items():
            cell, (method, fraction, repeat) = journal.cell(training.cell), training
            accuracies = [0.0, values["last"]]
            cell.write(
                BINS, **training._asdict(), levels=[0.25, 0.75], accuracies=accuracies
            )
            filled = {measure.key: 0.5 for measure in report.MEASURES} | values
            cell.result(
                {"method": method, "fraction": fraction},
                {name: [value] for name, value in filled.items()},
                repeats=[repeat],
                examples=10,
            )
    return Table.read(tmp_path)


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_repeats_are_joined_by_sample_deviations(table):
    uniform = table.one(method="uniform", fraction=0.2)
    np.testing.assert_array_equal(uniform.values["last"], [0.5, 0.7])
    table.write_files()
    rows = {row["method"]: row for row in rows_of(table.folder / "summary.csv")}
    assert float(rows["uniform"]["last_mean"]) == pytest.approx(60)
    assert float(rows["uniform"]["last_std"]) == pytest.approx(14.1421)
    # Over the repeats where it is defined.
    assert float(rows["uniform"]["correct_share_mean"]) == pytest.approx(40)
    assert rows["uniform"]["correct_share_std"] == ""
    assert rows["small_loss"]["correct_share_mean"] == ""
    assert float(rows["uniform"]["objective_mean"]) == pytest.approx(0.5)


def test_the_report_has_a_column_per_fraction_and_names_the_best(table):
    text = report.report(table)
    assert "60.0 ±14.1" in text
    header, _, *lines = text.split("\n\n")[0].split("\n")
    assert header.split()[-2:] == ["0.2", "1"]
    assert [line.split()[0] for line in lines] == ["uniform", "small_loss", "full"]
    assert "small_loss is best with 90.0 %, against 60.0 % of uniform" in text
    bins = [row for row in rows_of(table.folder / "bins.csv") if row["bin"] == "1"]
    assert [(row["method"], row["neighborhood_mean"]) for row in bins] == [
        ("uniform", "0.750000"),
        ("small_loss", "0.750000"),
        ("full", "0.750000"),
    ]
    assert [row["accuracy_mean"] for row in bins] == ["60.0000", "90.0000", "80.0000"]
    assert [row["accuracy_std"] for row in bins] == ["14.1421", "", ""]
    for name in ("accuracy.png", "bins.png"):
        assert (table.folder / name).stat().st_size > 1000
