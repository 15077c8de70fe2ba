"""The pruning study: bad flags, what it leaves behind, and continuing a run."""

from __future__ import annotations

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from experiments.studies.pruning import programs
from experiments.studies.pruning.study import run_study
from robustjax import data
from robustjax.training import InterruptedRunError, StopRequest, as_float
from robustjax.training._metrics import read_jsonl

ROOT = pathlib.Path(__file__).parents[2]
SMALL = {
    "hidden": (16,),
    "epochs": 2,
    "warmup_epochs": 2,
    "batch_size": 16,
    "repeats": 2,
    "fractions": (0.25, 0.5),
    "methods": ("uniform", "full", "ccs", "prune4rel_balanced"),
    "threshold": 0.8,
    "relabeler": "ce",
}


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    """A file of three clouds of points."""
    rng = np.random.default_rng(0)
    parts = {}
    for name, size in (("train", 120), ("test", 60)):
        labels = np.arange(size) % 3
        inputs = rng.normal(size=(size, 6)).astype(np.float32)
        inputs[:, :3] += 2 * np.eye(3, dtype=np.float32)[labels]
        parts[name] = data.make_dataset(inputs, labels)
    path = tmp_path_factory.mktemp("data") / "points.npz"
    data.save_npz(path, **parts)
    return str(path)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A file of small gray images."""
    rng = np.random.default_rng(0)
    labels = np.arange(64) % 2
    inputs = rng.integers(0, 100, (64, 8, 8, 1)).astype(np.uint8)
    inputs[labels == 1, :4] += 100
    images = data.make_dataset(inputs, labels)
    path = tmp_path_factory.mktemp("data") / "pictures.npz"
    data.save_npz(path, train=images, test=images)
    return str(path)


def run(tmp_path, dataset, stop=None, name="run", preset=None, **given):
    return run_study(
        preset,
        {**SMALL, "dataset": dataset, **given},
        run_dir=str(tmp_path),
        name=name,
        stop=stop or StopRequest(),
    )


def arrays_of(path):
    """All arrays of an `.npz` file, which is closed again."""
    with np.load(path) as loaded:
        return dict(loaded)


def read_summary(folder):
    with open(folder / "summary.csv") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, points):
    """The folder of a finished small study."""
    return run(tmp_path_factory.mktemp("runs"), points)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"preset": "mnist_smal"}, "preset: unknown .*did you mean 'mnist_small'"),
        ({"methods": ()}, "methods: got none"),
        ({"methods": ("unifrom",)}, "methods: unknown 'unifrom' .*did you mean 'unif"),
        (
            {"methods": ("ssp", "ssp")},
            "methods: got ssp twice, expected each",
        ),
        ({"fractions": ()}, "fractions: got none"),
        ({"fractions": (0.5, 1.5)}, r"fractions: got .*expected a number in \(0, 1\]"),
        ({"fractions": (0.5, 0.5)}, "fractions: got .* expected each once"),
        ({"fractions": (0.95,)}, "fractions: got 0.95, expected at most 0.9, which"),
        ({"fractions": (0.001,)}, "fraction: got 0.001 of 120 examples, which rounds"),
        ({"fractions": (0.1,)}, "batch_size: got 16, expected at most .* examples, 12"),
        ({"relabeler": "elr"}, "relabeler: unknown 'elr'; known: sop_plus, divide_mix"),
        ({"warmup_epochs": 3}, r"warmup_epochs: got 3, expected a number in \[1, 2\]"),
        ({"threshold": 1.5}, r"threshold: got 1.5, expected a number in \[0, 1\]"),
        ({"temperature": 0.0}, "temperature: got 0.0"),
        ({"confidence": "max"}, "confidence: unknown 'max'"),
        ({"ranking": "exact"}, "ranking: unknown 'exact'"),
        ({"balance": "none"}, "balance: unknown 'none'"),
        ({"ssp_keep": "far"}, "ssp_keep: unknown 'far'"),
        ({"never_learned": "some"}, "never_learned: unknown 'some'"),
        ({"hard_cutoff": 1.0}, "hard_cutoff: got 1.0"),
        ({"evaluation_view": "weak"}, "evaluation_view: unknown 'weak'"),
        ({"evaluation_view": "strong"}, "augment, evaluation_view: got 'none' and 'st"),
        ({"second_view": "none"}, "second_view: unknown 'none'"),
        ({"ssp_features": "x.npy"}, "ssp_features: got a file, expected ssp among"),
        ({"noise": "key"}, "label_set: got None"),
        ({"network": "resnet19"}, "network: unknown 'resnet19'"),
        ({"options": ("q=1",)}, "options: ce has no 'q'"),
        (
            {"relabeler": "sop_plus", "options": ("lr_u=-1",)},
            r"options .lr_u.: got -1",
        ),
        ({"learning_rate": 0.0}, "learning_rate: got 0.0"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_flags_are_named_before_any_training(tmp_path, points, given, message):
    with pytest.raises(ValueError, match=message) as caught:
        run(tmp_path, points, **given)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir()), "a run folder was left behind"


def test_features_of_another_data_set_are_refused(tmp_path, points):
    path = tmp_path / "features.npy"
    np.save(path, np.ones((7, 3), np.float32))
    with pytest.raises(ValueError, match="ssp_features: got 7 rows, expected the 120"):
        run(tmp_path / "runs", points, methods=("ssp",), ssp_features=str(path))


def test_leaves_what_people_look_at(finished):
    for name in ("config.json", "accuracy.png", "bins.png", "bins.csv"):
        assert (finished / name).stat().st_size > 0
    config = json.loads((finished / "config.json").read_text())["config"]
    assert config["relabeler"] == "ce"
    rows = read_summary(finished)
    cells = [(row["method"], row["fraction"]) for row in rows]
    pruning = ("uniform", "ccs", "prune4rel_balanced")
    assert cells == [(m, f) for f in ("0.25", "0.5") for m in pruning] + [("full", "1")]
    assert [row["examples"] for row in rows] == ["30"] * 3 + ["60"] * 3 + ["120"]
    assert all(row["repeats"] == "2" for row in rows)


def test_the_summary_is_that_of_the_subsets(finished):
    """%Noisy and Eq. 5.8, computed again from what was stored."""
    evaluations = [arrays_of(finished / f"warmup/repeat_{r}.npz") for r in range(2)]
    records = read_jsonl(finished / "metrics.jsonl")
    for row in read_summary(finished):
        shares, values = [], []
        for repeat, evaluation in enumerate(evaluations):
            stem = f"{row['method']}_{row['fraction']}"
            path = finished / "subsets" / f"repeat_{repeat}" / f"{stem}.npy"
            indices = np.load(path)
            assert len(set(indices.tolist())) == len(indices) == int(row["examples"])
            with open(path.with_suffix(".csv")) as file:
                table = list(csv.DictReader(file))
            assert [int(line["index"]) for line in table] == indices.tolist()
            given = np.array([int(line["label"]) for line in table])
            shares.append((given != indices % 3).mean())
            p, f = (evaluation[name] for name in ("probabilities", "features"))
            unit = f / np.linalg.norm(f, axis=1, keepdims=True)
            near = (1 + unit @ unit[indices].T) / 2
            near = np.where(near > SMALL["threshold"], near, 0)
            values.append(np.tanh(near @ p.max(axis=1)[indices]).sum())
        mean, deviation = 100 * np.mean(shares), 100 * np.std(shares, ddof=1)
        assert float(row["noisy_share_mean"]) == pytest.approx(mean, abs=1e-3)
        assert float(row["noisy_share_std"]) == pytest.approx(deviation, abs=1e-3)
        assert float(row["objective_mean"]) == pytest.approx(np.mean(values), rel=1e-3)
        mine = [
            r
            for r in records
            if r["event"] == "result"
            and (r["method"], f"{r['fraction']:g}") == (row["method"], row["fraction"])
        ]
        for measure in ("last", "best", "relabel_accuracy", "correct_share"):
            mean = 100 * np.mean([r[measure] for r in mine])
            assert float(row[f"{measure}_mean"]) == pytest.approx(mean, abs=1e-3)
        assert all(r["best"] >= r["last"] for r in mine)
        for r in mine:
            assert np.mean(r["bin_accuracy"]) == pytest.approx(r["relabel_accuracy"])


def test_balanced_subsets_are_balanced_and_smaller_ones_begin_larger_ones(finished):
    folder = finished / "subsets" / "repeat_0"
    small, large = (
        np.load(folder / f"prune4rel_balanced_{f}.npy") for f in (0.25, 0.5)
    )
    np.testing.assert_array_equal(large[:30], small)
    with open(folder / "prune4rel_balanced_0.25.csv") as file:
        given = [int(line["label"]) for line in csv.DictReader(file)]
    assert np.bincount(given).tolist() == [10, 10, 10]
    np.testing.assert_array_equal(np.load(folder / "full_1.npy"), np.arange(120))


def test_a_finished_run_is_not_trained_again(finished, points):
    before = (finished / "metrics.jsonl").read_bytes()
    summary = (finished / "summary.csv").read_bytes()
    again = run(finished.parents[1], points)
    assert again == finished
    assert (finished / "metrics.jsonl").read_bytes() == before
    assert (finished / "summary.csv").read_bytes() == summary


class StopAfter(StopRequest):
    """Interrupts at the n-th time that it is asked."""

    def __init__(self, asks):
        super().__init__()
        self.left = asks

    def check(self):
        self.left -= 1
        if self.left < 0:
            raise InterruptedRunError("stopped")


@pytest.mark.parametrize("checkpoint_every_epochs", [0, 1])
def test_interrupted_runs_continue_to_the_same_summary(
    tmp_path, points, finished, checkpoint_every_epochs
):
    options = {"checkpoint_every_epochs": checkpoint_every_epochs}
    # In the warm-up, between subsets, and within several trainings.
    for asks in (1, 4, 9, 3, 10):
        with pytest.raises(InterruptedRunError):
            run(tmp_path, points, StopAfter(asks), **options)
    folder = run(tmp_path, points, **options)
    for name in ("summary.csv", "bins.csv"):
        assert (folder / name).read_bytes() == (finished / name).read_bytes()
    records = read_jsonl(folder / "metrics.jsonl")
    epochs = [
        (r["method"], r["fraction"], r["repeat"], r["epoch"])
        for r in records
        if r["event"] == "epoch"
    ]
    assert len(epochs) == len(set(epochs)) == 14 * SMALL["epochs"]
    assert sum(r["event"] == "result" for r in records) == 14


@pytest.mark.parametrize("relabeler", ["divide_mix", "sop_plus"])
def test_other_relabelers(tmp_path, points, relabeler):
    folder = run(
        tmp_path,
        points,
        relabeler=relabeler,
        methods=("small_loss",),
        fractions=(0.5,),
        repeats=1,
        epochs=15,
        learning_rate=0.1,
        options=("lr_u=1",) if relabeler == "sop_plus" else ("divide_mix.alpha=1",),
    )
    (row,) = read_summary(folder)
    # Chance is a third.
    assert float(row["last_mean"]) > 50
    assert float(row["noisy_share_mean"]) < 40
    epochs = [r for r in read_jsonl(folder / "metrics.jsonl") if r["event"] == "epoch"]
    if relabeler == "divide_mix":
        # Divided from the end of the first epoch on, without a warm-up.
        assert epochs[0]["labeled_share"] == 1.0
        assert epochs[1]["labeled_share"] < 1.0


def test_views_and_rounding_of_the_published_code(tmp_path, pictures, monkeypatch):
    def shifted(name, mean):
        del name, mean
        return lambda key, images: as_float(images) + jax.random.normal(key)

    # AutoAugment takes long to compile.
    monkeypatch.setattr(programs.robust_methods, "strong_augmentation", shifted)
    options = {
        "methods": ("margin", "prune4rel"),
        "fractions": (0.5,),
        "repeats": 1,
        "augment": "flip",
        "epochs": 1,
        "warmup_epochs": 1,
    }
    plain = run(tmp_path, pictures, name="plain", **options)
    authors = run(
        tmp_path,
        pictures,
        name="authors",
        evaluation_view="strong",
        half_precision=True,
        ranking="float32",
        **options,
    )
    found = [arrays_of(folder / "warmup/repeat_0.npz") for folder in (plain, authors)]
    for name in ("features", "probabilities", "margin"):
        np.testing.assert_array_equal(found[0][name], found[1][name])
    assert set(found[1]) - set(found[0]) == {"view_features", "view_probabilities"}
    assert np.abs(found[1]["view_features"] - found[1]["features"]).max() > 1e-3
    # Baselines look at the images as they are.
    path = "subsets/repeat_0/margin_0.5.npy"
    np.testing.assert_array_equal(np.load(plain / path), np.load(authors / path))


def command(tmp_path, dataset, *flags):
    return [
        sys.executable,
        "-m",
        "experiments.pruning",
        f"--dataset={dataset}",
        "--methods=uniform,prune4rel",
        "--fractions=0.5",
        "--relabeler=ce",
        "--epochs=40",
        "--warmup_epochs=5",
        "--batch_size=16",
        "--repeats=2",
        "--hidden=16",
        "--name=run",
        f"--run_dir={tmp_path}",
        *flags,
    ]


@pytest.mark.slow
def test_killed_runs_continue_to_the_same_summary(tmp_path, points):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    options = {"cwd": ROOT, "env": environment, "capture_output": True, "text": True}
    whole = subprocess.run(command(tmp_path / "whole", points), **options)
    assert whole.returncode == 0, whole.stderr
    want = (tmp_path / "whole/pruning/run/summary.csv").read_bytes()
    killed = tmp_path / "killed/pruning/run"
    log = killed / "metrics.jsonl"
    # In the warm-up, in the first and in the last training.
    for lines in (2, 20, 150):
        process = subprocess.Popen(
            command(tmp_path / "killed", points),
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 200
        while process.poll() is None and time.monotonic() < deadline:
            if log.exists() and len(log.read_text().splitlines()) >= lines:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run(command(tmp_path / "killed", points), **options)
    assert done.returncode == 0, done.stderr
    assert (killed / "summary.csv").read_bytes() == want


def test_bad_flags_end_in_one_line_and_status_2(tmp_path, points):
    done = subprocess.run(
        command(tmp_path, points, "--threshold=2"),
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr == "error: threshold: got 2.0, expected a number in [0, 1]\n"
