"""One deviation in tables, files and plots; means that are what they are called."""

from __future__ import annotations

import csv
import pathlib

import matplotlib.figure
import numpy as np
import pytest

from experiments.common.repeats import Curves
from experiments.common.tables import deviation, deviation_text, percent
from experiments.studies.active_learning import report as open_set_report
from experiments.studies.label_correction import report as correction_report
from experiments.studies.label_noise import report as robust_report
from experiments.studies.pruning import report as pruning_report
from robustjax.methods.label_correction import Budget

# The sample deviation of 0.5 and 0.7 is 0.2 / sqrt(2), the population's 0.1.
TWO, SAMPLE = np.array([0.5, 0.7]), 0.2 / np.sqrt(2)


def curves(test, epochs=None, **values):
    test = np.asarray(test, float)
    epochs = np.arange(1, test.shape[1] + 1) if epochs is None else np.asarray(epochs)
    return Curves(epochs, {"test_accuracy": test, **values}, 1.0, 1.0)


def test_deviation_is_of_a_sample(rng):
    assert deviation(TWO) == pytest.approx(SAMPLE)
    values = rng.normal(size=(5, 3))
    np.testing.assert_allclose(deviation(values), np.std(values, axis=0, ddof=1))
    values[1:, 0] = np.nan
    values[2, 1] = np.nan
    got = deviation(values)
    assert np.isnan(got[0]), "one repeat alone has no deviation"
    assert got[1] == pytest.approx(np.nanstd(values[:, 1], ddof=1))
    assert np.isnan(deviation(TWO[:1]))
    assert deviation_text(deviation(TWO[:1]), ".4f") == ""
    assert deviation_text(SAMPLE, ".4f") == "0.1414"
    assert percent(TWO) == "60.0 ±14.1"
    assert percent(TWO[:1]) == "50.0"


@pytest.fixture
def bands(monkeypatch):
    """The half widths of all bands and bars that were drawn."""
    found = []
    axes = matplotlib.axes.Axes
    fill, bar = axes.fill_between, axes.errorbar

    def fill_between(self, x, low, high, **options):
        found.append((np.asarray(high) - np.asarray(low)) / 2)
        return fill(self, x, low, high, **options)

    def errorbar(self, x, y, error, **options):
        found.append(np.asarray(error, float))
        return bar(self, x, y, error, **options)

    monkeypatch.setattr(axes, "fill_between", fill_between)
    monkeypatch.setattr(axes, "errorbar", errorbar)
    return found


def draw_robust(folder, repeats):
    results = {"ce": curves(np.stack([TWO[:repeats]] * 2, axis=1))}
    robust_report.plot_accuracy(folder, results, "")


def draw_correction(folder, repeats):
    accuracy = np.stack([TWO[:repeats]] * 3, axis=1)
    picks = np.zeros((repeats, 4), int)
    method = correction_report.MethodResult(accuracy, accuracy[:, 1:], picks)
    correction_report.plot(folder, {"random": method}, Budget(4, 2), "")


def draw_open_set(folder, repeats):
    measure = np.stack([TWO[:repeats]] * 2, axis=1)
    results = {(0.2, "random"): {"accuracy": measure, "spent": measure}}
    open_set_report.plot(folder, results, "accuracy", "accuracy", "")


def draw_pruning(folder, repeats):
    cells = {("uniform", 0.5): {"last": TWO[:repeats]}}
    pruning_report.plot_accuracy(folder, cells, "")


DRAWN = {
    "robust": draw_robust,
    "correction": draw_correction,
    "open_set": draw_open_set,
    "pruning": draw_pruning,
}


@pytest.mark.parametrize("name", DRAWN)
def test_bands_are_sample_deviations(tmp_path, bands, name):
    DRAWN[name](tmp_path, repeats=2)
    assert bands
    for band in bands:
        np.testing.assert_allclose(band, 100 * SAMPLE, rtol=1e-9)


@pytest.mark.parametrize("name", DRAWN)
def test_one_repeat_has_no_band(tmp_path, bands, name):
    DRAWN[name](tmp_path, repeats=1)
    assert all(np.isnan(band).all() for band in bands)
    assert list(tmp_path.glob("*.png"))


def rows_of(folder: pathlib.Path):
    with open(folder / "summary.csv") as file:
        return list(csv.DictReader(file))


def test_one_repeat_has_an_empty_deviation(tmp_path):
    results = {"ce": curves([[0.5, 0.6]]), "elr": curves([[0.5, 0.7]])}
    robust_report.write_summary(tmp_path, results)
    assert [row["last_std"] for row in rows_of(tmp_path)] == ["", ""]
    text = robust_report.meaning(results)
    assert "elr is best with 70.0 %" in text
    assert text.endswith("One repeat has no deviation to hold that against.")
    two = {
        name: curves([c.values["test_accuracy"][0]] * 2) for name, c in results.items()
    }
    assert "Above cross-entropy by more" in robust_report.meaning(two)


def test_last_10_is_of_the_last_ten_epochs_or_absent(rng):
    test = rng.random((2, 12))
    found = robust_report.measures(curves(test))
    np.testing.assert_allclose(found["last_10"], test[:, 2:].mean(axis=1))
    # Eight epochs have no last ten, and of every third epoch ten are thirty.
    assert "last_10" not in robust_report.measures(curves(test[:, :8]))
    sparse = curves(test, epochs=3 * np.arange(1, 13))
    assert "last_10" not in robust_report.measures(sparse)
    # Ten epochs are just enough.
    assert "last_10" in robust_report.measures(curves(test[:, :10]))
    assert "last 10" not in robust_report.accuracy_table({"ce": curves(test[:, :8])})
