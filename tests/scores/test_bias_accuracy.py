"""Accuracies by cell against loops, and what is not defined."""

from __future__ import annotations

import numpy as np
import pytest

from robustjax import scores


@pytest.fixture
def example(rng):
    labels = rng.integers(0, 4, 900)
    bias = np.where(rng.random(900) < 0.7, labels, rng.integers(0, 4, 900))
    wrong = rng.random(900) < 0.3 + 0.4 * (bias != labels)
    return np.where(wrong, bias, labels), labels, bias


def test_cells_and_means_are_those_of_a_loop(example):
    predictions, labels, bias = example
    cells = scores.cell_accuracies(predictions, labels, bias, 4)
    right = predictions == labels
    for target in range(4):
        for value in range(4):
            mine = (labels == target) & (bias == value)
            assert cells[target, value] == pytest.approx(right[mine].mean())
    off = [cells[t, b] for t in range(4) for b in range(4) if t != b]
    assert scores.unbiased_accuracy(cells) == pytest.approx(cells.mean())
    assert scores.aligned_accuracy(cells) == pytest.approx(np.trace(cells) / 4)
    assert scores.conflicting_accuracy(cells) == pytest.approx(np.mean(off))
    assert scores.worst_cell_accuracy(cells) == cells.min()
    # Not the means over examples, of which most are aligned.
    assert abs(right.mean() - cells.mean()) > 0.05


def test_unbiased_is_the_published_mixture(example):
    cells = scores.cell_accuracies(*example, 4)
    mixture = scores.aligned_accuracy(cells) / 4 + 0.75 * scores.conflicting_accuracy(
        cells
    )
    assert scores.unbiased_accuracy(cells) == pytest.approx(mixture)


def test_empty_cells_are_nan_and_their_means_refused():
    # Only conflicting examples, as in the published test set of bFFHQ.
    cells = scores.cell_accuracies([0, 1, 1], [0, 1, 0], [1, 0, 1], 2)
    np.testing.assert_array_equal(cells, [[np.nan, 0.5], [1, np.nan]])
    assert scores.conflicting_accuracy(cells) == 0.75
    for mean, text in (
        (scores.unbiased_accuracy, "2 of 4 have no example .*target 0, bias 0"),
        (scores.aligned_accuracy, "2 of 2 have no example"),
        (scores.worst_cell_accuracy, "2 of 4 have no example"),
    ):
        with pytest.raises(ValueError, match=f"^cells: {text}.*not defined"):
            mean(cells)
    one_cell = scores.cell_accuracies([0, 1], [0, 1], [0, 0], 2)
    with pytest.raises(ValueError, match=r"cells: 1 of 2 .*target 0, bias 1\)"):
        scores.conflicting_accuracy(one_cell)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (([0], [0, 1], [0, 1]), "predictions: lengths differ"),
        (([0, 1], [0, 1], [0]), "predictions: lengths differ"),
        (([0, 1], [0, 1], [0, 2]), r"bias: 1 label\(s\) out of range"),
        (([0, 1], [0, -1], [0, 1]), r"labels: 1 label\(s\) out of range"),
        (([0, 3], [0, 1], [0, 1]), r"predictions: 1 label\(s\) out of range"),
        (([0.0, 1.0], [0, 1], [0, 1]), "predictions: got float64"),
        (([], [], []), "predictions: got"),
    ],
)
def test_bad_input_is_refused(given, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        scores.cell_accuracies(*given, 2)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (np.ones((2, 3)), r"cells: got shape \(2, 3\), expected \(C, C\)"),
        (np.ones((1, 1)), r"cells: got shape \(1, 1\)"),
        (np.ones(4), "cells: got shape"),
        (np.full((2, 2), 70.0), "cells: got"),
    ],
)
def test_bad_cells_are_refused(cells, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        scores.unbiased_accuracy(cells)
