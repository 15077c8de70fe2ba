"""Every launcher's `repeats.csv`: its rows, and that the summary follows from them."""

import csv

import numpy as np
import pytest

from experiments.common.repeat_values import Setting, write_repeats
from experiments.common.repeats import Curves
from experiments.studies.active_learning import report as open_set_report
from experiments.studies.label_correction import diffusion_report
from experiments.studies.label_correction import report as correction_report
from experiments.studies.label_noise import report as training_report
from experiments.studies.pruning import report as pruning_report
from robustjax.methods import Budget

R = 3


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_per_setting_repeat_and_measure(tmp_path):
    ce = {"last": np.array([97.5, np.nan]), "norm": np.array([1 / 3, 2.0])}
    write_repeats(
        tmp_path,
        [
            Setting({"method": "ce", "labels": 50}, ce),
            Setting({"method": "elr", "labels": 50}, {"last": np.float32([1, 2])}),
        ],
    )
    assert (tmp_path / "repeats.csv").read_text().splitlines() == [
        "method,labels,repeat,measure,value",
        "ce,50,0,last,97.5",
        "ce,50,0,norm,0.33333333",
        "ce,50,1,norm,2",
        "elr,50,0,last,1",
        "elr,50,1,last,2",
    ]


def test_a_setting_that_comes_twice_or_means_are_refused(tmp_path):
    once = Setting({"method": "ce"}, {"last": np.ones(2)})
    with pytest.raises(ValueError, match=r"settings: {'method': 'ce'} comes twice"):
        write_repeats(tmp_path, [once, once])
    with pytest.raises(ValueError, match=r"'last' has shape \(\), expected"):
        write_repeats(tmp_path, [Setting({"method": "ce"}, {"last": np.float64(1)})])
    assert not list(tmp_path.iterdir())


def curves(rng, *names):
    values = {name: rng.random((R, 4)) for name in names}
    return Curves(np.arange(1, 5), values, 0.0, 0.0)


def training(folder, rng):
    names = ("test_accuracy", "noisy_correct", "noisy_memorized")
    results = {method: curves(rng, *names) for method in ("ce", "elr")}
    training_report.write_summary(folder, results)
    return ("method",)


def correction(folder, rng):
    results = {
        method: correction_report.ArmResult(
            rng.random((R, 3)), rng.random((R, 2)), np.zeros((R, 20), int)
        )
        for method in ("random", "alc")
    }
    correction_report.write_summary(folder, results, Budget(20, 10))
    return ("method", "labels")


def open_set(folder, rng):
    results = {
        (0.2, strategy): {n: rng.random((R, 3)) for n in open_set_report.MEASURES}
        for strategy in ("random", "mqnet")
    }
    results[0.2, "random"]["auroc"][:] = np.nan
    results[0.2, "mqnet"]["purity"][:, -1] = np.nan
    open_set_report.write_summary(folder, results)
    return ("noise_ratio", "strategy", "round")


def pruning(folder, rng):
    shares = (*pruning_report.SHARES, *pruning_report.LEVELS)
    cells = {}
    for method in ("uniform", "prune4rel"):
        cell = {name: rng.random(R) for name in shares}
        cell |= {name: rng.random((R, 2)) for name in pruning_report.BINNED}
        cells[method, 0.2] = cell | {"examples": np.full(R, 24.0)}
    cells["uniform", 0.2]["noisy_share"][1] = np.nan
    pruning_report.write_summary(folder, cells)
    return ("method", "fraction")


def diffusion(folder, rng):
    settings = [
        Setting(
            {"mode": mode, "labels": labels},
            {name: rng.random(R) for name in ("accuracy", "noisy")},
        )
        for mode in ("none", "delta")
        for labels in (0, 50)
    ]
    write_repeats(folder, settings)
    rows = diffusion_report.summarize(settings)
    diffusion_report.write_csv(folder / "summary.csv", rows)
    return ("mode", "labels")


@pytest.mark.parametrize("write", [training, correction, open_set, pruning, diffusion])
def test_the_summary_follows_from_the_repeats(write, tmp_path, rng):
    keys = write(tmp_path, rng)
    values = {}
    for row in rows_of(tmp_path / "repeats.csv"):
        where = (*(row[key] for key in keys), row["measure"])
        values.setdefault(where, {})[int(row["repeat"])] = float(row["value"])
    compared = 0
    for row in rows_of(tmp_path / "summary.csv"):
        setting = tuple(row[key] for key in keys)
        for column in row:
            measure, _, kind = column.rpartition("_")
            if kind not in ("mean", "std"):
                continue
            mine = np.array(list(values.get((*setting, measure), {}).values()))
            if not row[column]:
                assert mine.size == 0, (setting, column)
                continue
            want = mine.mean() if kind == "mean" else mine.std(ddof=1)
            assert float(row[column]) == pytest.approx(want, abs=6e-4), column
            compared += 1
    assert compared >= 4
    # Differences are paired: the repeats of all methods have the same numbers.
    assert set().union(*values.values()) == set(range(R))
