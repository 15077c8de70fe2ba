"""The launcher: bad flags, what it leaves behind, and continuing a run."""

from __future__ import annotations

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import label_correction as launcher
from robustjax import data
from robustjax.training import StopRequest
from tests.models.published import basic_keys, random_state

ROOT = pathlib.Path(__file__).parents[2]
SMALL = {
    "dataset": "digits",
    "methods": ["random", "alc"],
    "budget": 20,
    "batch": 10,
    "repeats": 2,
    "hidden": ["16", "16", "16"],
    "epochs": 2,
    "batch_size": 64,
}


def _launch(tmp_path, **changes):
    """Runs the launcher in this process; its errors come through."""
    with flagsaver.flagsaver(**{**SMALL, "run_dir": str(tmp_path), **changes}):
        launcher.main(StopRequest())
    return tmp_path / "label_correction" / (changes.get("name") or "digits")


@pytest.fixture(autouse=True)
def _parsed_flags():
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished small run."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    return _launch(tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "digit"}, "preset: unknown 'digit' .*did you mean 'digits'"),
        ({"methods": ["alc", "magic"]}, "methods: unknown 'magic'; known: random, "),
        ({"methods": []}, "methods: got none"),
        (
            {"methods": ["alc", "alc"]},
            "methods: got alc twice, expected each",
        ),
        (
            {"dataset": "mnits"},
            "dataset: tfds knows no 'mnits' .did you mean 'mnist'.*neither 'digits'",
        ),
        (
            {"dataset": "./none.npz"},
            "path: cannot read 'none.npz' as .npz: .*No such file",
        ),
        (
            {"train_split": "training"},
            "split: got 'training', expected 'train' or 'test'",
        ),
        ({"noise": "uniforme"}, "noise: unknown 'uniforme' .*did you mean 'uniform'"),
        ({"noise_rate": 1.5}, r"noise_rate: got 1.5, expected a number in \[0, 1\]"),
        ({"noise": "file"}, "noisy_labels: got None"),
        ({"noise": "key"}, "label_set: got None"),
        ({"budget": 5000}, "budget: got 5000, expected at most the pool of 1437"),
        ({"batch": 21}, "batch: got 21, expected at most the budget, 20"),
        ({"batch": 0}, "batch: got 0, expected an integer >= 1"),
        ({"repeats": 0}, "repeats: got 0"),
        ({"neighbors": 1437}, "neighbors: got 1437 for 1437 examples"),
        ({"hidden": ["16", "wide"]}, "hidden: got 16,wide, expected .* list of int"),
        ({"batch_size": 4096}, "batch_size: got 4096, expected at most"),
        (
            {"batch_size": 60},
            "batch_size: got 60, expected a multiple of the 8 devices",
        ),
        (
            {"methods": ["random", "o2u_net"], "o2u_batch_size": 2000},
            "o2u_batch_size: got 2000, expected at most",
        ),
        (
            {"methods": ["random", "o2u_net"], "noise_rate": 0.0},
            r"noise_rate: got 0.0, expected a number in \(0, 1\)",
        ),
        ({"weight_step": 2.0}, "weight_step: got 2.0"),
        ({"weight_scale": "mean"}, "weight_scale: unknown 'mean'"),
        ({"diffusion_step_size": 2.0}, "diffusion_step_size: got 2.0"),
        ({"diffusion_mode": "both"}, "diffusion_mode: unknown 'both'"),
        ({"loss_pass": "none"}, "loss_pass: unknown 'none'"),
        ({"candidates_per_query": 0.5}, "candidates_per_query: got 0.5"),
        ({"features": "resnet34"}, "features: unknown 'resnet34' .*resnet101"),
        ({"features": "resnet18"}, "weights: got None, expected the file of"),
        (
            {"features": "resnet18", "weights": "none.pth"},
            "none.pth",
        ),
        ({"learning_rate": -1.0}, "learning_rate: got -1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_flags_are_named_before_any_training(tmp_path, changes, message):
    started = time.monotonic()
    with pytest.raises(ValueError, match=message) as caught:
        _launch(tmp_path, **changes)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir()), "a run folder was left behind"
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": np.array([0, 1, 5, 1])}, "labels: .* have no example"),
        ({"labels": np.array([0, 1, -1, 1])}, "out of range .*-1 at row 2"),
        ({"labels": np.array([0.0, 1.0, np.nan, 1.0])}, "float64 with NaN at row 2"),
        ({"labels": np.array([0, 1, 1])}, "lengths differ .*inputs 4, labels 3"),
        ({"ids": np.array([1, 2, 2, 3])}, r"ids: 1 id\(s\) occur more than once"),
        (
            {"inputs": np.array([[0.0], [np.inf], [1], [2]], np.float32)},
            r"inputs: 1 row\(s\) hold NaN or infinity \(first: row 1\)",
        ),
    ],
)
def test_bad_data_is_named_before_any_training(tmp_path, arrays, message):
    good = {"inputs": np.eye(4, 1, dtype=np.float32), "labels": np.array([0, 1, 0, 1])}
    np.savez(tmp_path / "bad.npz", **{**good, **arrays})
    with pytest.raises(ValueError, match=message):
        _launch(tmp_path, dataset=str(tmp_path / "bad.npz"), batch=1, budget=2)


def _summary(folder):
    with open(folder / "summary.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_leaves_what_people_look_at(finished):
    rows = _summary(finished)
    assert [(row["method"], row["labels"]) for row in rows] == [
        (method, labels) for method in ("random", "alc") for labels in ("0", "10", "20")
    ]
    assert (finished / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((finished / "config.json").read_text())
    assert config["config"]["hidden"] == [16, 16, 16]
    assert "jax" in config["versions"]
    records = [
        json.loads(line)
        for line in (finished / "metrics.jsonl").read_text().split("\n")[:-1]
    ]
    epochs = [r for r in records if r["event"] == "epoch" and r["method"] == "alc"]
    assert len(epochs) == 3 * 2
    picks = np.load(finished / "alc" / "indices.npy")
    assert picks.shape == (2, 20)
    assert all(len(set(row.tolist())) == 20 for row in picks)
    assert len(np.load(finished / "ids.npy")) == 1437
    assert list(finished.rglob("events.out.tfevents*"))


def test_a_finished_run_is_not_trained_again(finished):
    before = (finished / "summary.csv").read_bytes()
    lines = (finished / "metrics.jsonl").read_text()
    assert _launch(finished.parents[1]) == finished
    assert (finished / "summary.csv").read_bytes() == before
    assert (finished / "metrics.jsonl").read_text() == lines


def test_other_flags_do_not_mix_into_a_run(finished):
    with pytest.raises(ValueError, match=r"run_dir: .* \(epochs was 2, is 3\)"):
        _launch(finished.parents[1], epochs=3)


def test_a_corrupted_checkpoint_falls_back_and_says_so(finished, capsys):
    before = (finished / "summary.csv").read_bytes()
    newest = max(
        (p for p in (finished / "alc" / "checkpoints").iterdir() if p.name.isdigit()),
        key=lambda p: int(p.name),
    )
    biggest = max(
        (p for p in newest.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size
    )
    biggest.write_bytes(b"\0" * biggest.stat().st_size)
    _launch(finished.parents[1])
    assert "checkpoint" in capsys.readouterr().out.split("accuracy %")[0]
    assert (finished / "summary.csv").read_bytes() == before


def test_run_folders_that_cannot_be_used(tmp_path):
    folder = tmp_path / "label_correction" / "digits"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("not json")
    with pytest.raises(ValueError, match="run_dir: .*cannot be read as a run"):
        _launch(tmp_path)
    (folder / "config.json").unlink()
    (folder / "other.txt").write_text("")
    with pytest.raises(ValueError, match="run_dir: .*is not empty but has no config"):
        _launch(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="run_dir: cannot use .*file"):
        _launch(tmp_path / "file")


def test_labels_from_a_file_join_by_id(tmp_path):
    train = data.load("digits", "train")
    rng = np.random.default_rng(0)
    noisy = rng.integers(0, 10, len(train))
    order = rng.permutation(len(train))
    lines = [f"{train.ids[i]},{noisy[i]},{train.labels[i]}" for i in order]
    path = tmp_path / "noisy.csv"
    path.write_text("\n".join(["id,label,clean_label", *lines]))
    folder = _launch(
        tmp_path, noise="file", noisy_labels=str(path), methods=["random"], name="file"
    )
    records = [
        json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]
    first = next(r for r in records if r["event"] == "round")
    picks = np.load(folder / "random" / "indices.npy")[:, :10]
    expected = (noisy != train.labels)[picks].mean()
    assert first["selection_accuracy"] == pytest.approx(expected)

    wrong = [f"{train.ids[i]},{noisy[i]},{(train.labels[i] + 1) % 10}" for i in order]
    path.write_text("\n".join(["id,label,clean_label", *wrong]))
    with pytest.raises(ValueError, match="1437 of 1437 clean labels disagree"):
        _launch(tmp_path, noise="file", noisy_labels=str(path), name="other")


@pytest.mark.slow
def test_features_of_a_frozen_network_are_extracted_once(tmp_path, capsys):
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 60), ("test", 20)):
        labels = np.arange(count) % 2
        images = (
            rng.integers(0, 128, (count, 16, 16, 1)) + 100 * labels[:, None, None, None]
        )
        arrays[f"{split}_inputs"] = images.astype(np.uint8)
        arrays[f"{split}_labels"] = labels
    np.savez(tmp_path / "images.npz", **arrays)
    np.savez(tmp_path / "weights.npz", **random_state(basic_keys()))
    flags = {
        "dataset": str(tmp_path / "images.npz"),
        "features": "resnet18",
        "weights": str(tmp_path / "weights.npz"),
        "feature_image_size": 32,
        "feature_batch_size": 20,
        "feature_cache": str(tmp_path / "cache"),
        "standardize": True,
        "noise_rate": 0.2,
        "batch_size": 8,
        "epochs": 20,
        "methods": ["random"],
    }
    folder = _launch(tmp_path, name="images", **flags)
    blocks = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.npy")}
    assert len(blocks) == 2
    assert "60/60" in capsys.readouterr().err
    _launch(tmp_path, name="images", **flags)
    assert blocks == {p: p.stat().st_mtime_ns for p in blocks}
    # Dark against bright images: even random features tell them apart.
    last = [row for row in _summary(folder) if row["labels"] == "20"]
    assert all(float(row["accuracy_mean"]) > 80 for row in last)


def _command(folder, *more):
    longer = {"run_dir": folder, "epochs": 40, "methods": ["random", "alc"]}
    flags = [
        f"--{name}={','.join(value) if isinstance(value, list) else value}"
        for name, value in {**SMALL, **longer}.items()
    ]
    module = "experiments.label_correction"
    return [sys.executable, "-m", module, *flags, *more]


def _run(folder, *more):
    return subprocess.run(
        _command(folder, *more), cwd=ROOT, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """What the command of `_command` gives when nothing stops it, and how long."""
    folder = tmp_path_factory.mktemp("whole")
    started = time.monotonic()
    done = _run(folder)
    assert done.returncode == 0, done.stderr
    summary = folder / "label_correction" / "digits" / "summary.csv"
    return summary.read_bytes(), time.monotonic() - started


@pytest.mark.slow
def test_bad_flags_end_in_one_line_and_status_2(tmp_path):
    done = _run(tmp_path, "--methods=magic")
    assert done.returncode == 2
    assert done.stderr.strip().startswith("error: methods: unknown 'magic'")
    assert done.stderr.strip().count("\n") == 0


@pytest.mark.slow
def test_killed_runs_continue_to_the_same_summary(tmp_path, uninterrupted):
    """`kill -9` at random moments; ROBUSTJAX_KILL_TRIALS says how many times."""
    summary, seconds = uninterrupted
    rng = np.random.default_rng()
    for trial in range(int(os.environ.get("ROBUSTJAX_KILL_TRIALS", "1"))):
        folder, moment = tmp_path / str(trial), rng.uniform(0.2, 1.0) * seconds
        process = subprocess.Popen(
            _command(folder),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        done = _run(folder)
        assert done.returncode == 0, done.stderr
        found = folder / "label_correction" / "digits" / "summary.csv"
        assert found.read_bytes() == summary, f"killed after {moment:.2f} s"
        print(f"trial {trial}: killed after {moment:.2f} s, same summary")


@pytest.mark.slow
def test_sigterm_stops_with_a_hint_and_can_be_continued(tmp_path, uninterrupted):
    summary, _ = uninterrupted
    folder = tmp_path / "label_correction" / "digits"
    process = subprocess.Popen(
        _command(tmp_path),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = folder / "metrics.jsonl"
    while process.poll() is None and not (log.exists() and log.stat().st_size):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 143, stderr
    assert "run the same command again to continue" in stderr
    done = _run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert (folder / "summary.csv").read_bytes() == summary
