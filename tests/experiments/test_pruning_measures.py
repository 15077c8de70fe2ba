"""Measures of a subset against plain NumPy, and how repeats are joined."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from experiments.studies.pruning import measures, report
from experiments.studies.pruning.retrain import Training


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
    before = measures.subset_measures(indices, neighborhood, is_noisy, 2.0)
    after = measures.relabeling_measures(predicted, true, is_noisy, indices)
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
    true, is_noisy, predicted, indices, _ = problem
    found = measures.relabeling_measures(predicted, true, 0 * is_noisy > 0, indices)
    assert math.isnan(found["correct_share"])


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


def record(**changes):
    base = dict.fromkeys((*report.SHARES, *report.LEVELS), 0.5)
    bins = {name: [0.25, 0.75] for name in report.BINNED}
    return {**base, **bins, "examples": 10, "seconds": 1.0, **changes}


def test_repeats_are_joined_by_sample_deviations(tmp_path):
    results = {
        Training("uniform", 0.2, 1): record(last=0.7, correct_share=None),
        Training("uniform", 0.2, 0): record(last=0.5, correct_share=0.4),
        Training("small_loss", 0.2, 0): record(last=0.9, correct_share=None),
        Training("full", 1.0, 0): record(last=0.8),
    }
    cells = report.collect(results)
    np.testing.assert_array_equal(cells["uniform", 0.2]["last"], [0.5, 0.7])
    report.write_summary(tmp_path, cells)
    with open(tmp_path / "summary.csv") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert float(rows["uniform"]["last_mean"]) == pytest.approx(60)
    assert float(rows["uniform"]["last_std"]) == pytest.approx(14.1421)
    # Over the repeats where it is defined.
    assert float(rows["uniform"]["correct_share_mean"]) == pytest.approx(40)
    assert rows["small_loss"]["correct_share_mean"] == ""
    assert float(rows["uniform"]["objective_mean"]) == pytest.approx(0.5)
    text = report.tables(cells)
    assert "60.0 ±14.1" in text
    header, _, *lines = text.split("\n\n")[0].split("\n")
    assert header.split()[-2:] == ["0.2", "1"]
    assert [line.split()[0] for line in lines] == ["uniform", "small_loss", "full"]
    assert "small_loss is best with 90.0 %, against 60.0 % of uniform" in (
        report.meaning(cells)
    )
