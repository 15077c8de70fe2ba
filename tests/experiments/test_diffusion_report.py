"""What the diffusion study measures of a batch, by hand."""

import csv
import types

import numpy as np
import pytest

from experiments.studies.label_correction import diffusion_report as report
from experiments.studies.label_correction.report import ArmResult
from robustjax.methods import Budget

# A ring of eight examples, each with its two neighbours.
RING = np.stack([(np.arange(8) + 1) % 8, (np.arange(8) - 1) % 8], axis=1)
VARIANT = report.Variant("delta", "input", "5Q")


def settings():
    """Two repeats of two batches of four."""
    noisy = np.zeros((2, 8), bool)
    noisy[0, [0, 1, 2, 5]] = True
    noisy[1, :4] = True
    picks = np.array([[0, 1, 4, 2, 3, 5, 6, 7], [4, 6, 0, 2, 1, 3, 5, 7]])
    study = types.SimpleNamespace(
        budget=Budget(8, 4), task=types.SimpleNamespace(is_noisy=noisy)
    )
    accuracy = np.array([[0.5, 0.6, 0.8], [0.7, 0.7, 0.7]])
    result = ArmResult(accuracy, np.zeros((2, 2)), picks)
    return report.measure(VARIANT, result, study, RING)


def test_redundant_picks_are_neighbours_of_earlier_ones():
    found = report.redundant(np.array([0, 1, 4, 2, 7]), RING)
    np.testing.assert_array_equal(found, [False, True, False, True, True])


def test_measures_of_a_batch():
    first, second, last = settings()
    columns = {"mode": "delta", "space": "input", "candidates": "5Q"}
    labels = [dict(setting.columns)["labels"] for setting in (first, second, last)]
    assert labels == [0, 4, 8]
    assert {k: v for k, v in first.columns.items() if k != "labels"} == columns
    np.testing.assert_allclose(first.values["accuracy"], [50, 70])
    # 0, 1, 4, 2 of which 0, 1 and 2 are wrong; and 4, 6, 0, 2.
    np.testing.assert_allclose(first.values["noisy"], [75, 50])
    np.testing.assert_allclose(first.values["redundant"], [50, 0])
    quarters = [first.values[f"noisy_quarter_{q}"] for q in (1, 2, 3, 4)]
    np.testing.assert_allclose(np.transpose(quarters)[0], [100, 100, 0, 100])
    # Redundancy counts within the batch alone: 3, 5, 6, 7 and 1, 3, 5, 7.
    np.testing.assert_allclose(second.values["redundant"], [50, 0])
    assert set(last.values) == {"accuracy"}


def test_the_table_and_the_files(tmp_path):
    report.write(tmp_path, settings(), "title")
    with open(tmp_path / "study.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["labels"] for row in rows] == ["0", "4", "8"]
    assert float(rows[0]["noisy_mean"]) == 62.5
    assert float(rows[0]["noisy_std"]) == pytest.approx(25 / 2**0.5, abs=1e-3)
    assert rows[2]["noisy_mean"] == ""
    with open(tmp_path / "repeats.csv", newline="") as file:
        repeats = list(csv.DictReader(file))
    last = [r["value"] for r in repeats if r["labels"] == "8"]
    assert last == ["80", "70"]
    assert (tmp_path / "study.png").stat().st_size > 1000
    text = report.table(report.summarize(settings()))
    assert "60.0" in text
    assert "50 50 50 100" in text
    assert "0 50 0 50" in text
