"""The noisy-label study: bad flags, what it leaves behind, and continuing a run."""

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

from experiments.studies.label_noise import configs
from experiments.studies.label_noise.method_presets import METHOD_PRESETS
from experiments.studies.label_noise.presets import PRESETS, PUBLISHED
from experiments.studies.label_noise.study import run_study
from experiments.study.options import choose_methods
from robustjax import data
from robustjax.methods import entries
from robustjax.training import StopRequest
from robustjax.training._metrics import read_jsonl

ROOT = pathlib.Path(__file__).parents[2]
SMALL = {
    "dataset": "digits",
    "epochs": 3,
    "repeats": 2,
    "hidden": (16,),
    "watch_examples": 200,
}


def run(tmp_path, methods=("ce",), preset=None, name=None, **given):
    return run_study(
        methods,
        preset,
        {**SMALL, **given},
        run_dir=str(tmp_path),
        name=name,
        stop=StopRequest(),
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished small comparison."""
    return run(
        tmp_path_factory.mktemp("runs"),
        ("ce", "elr"),
        options=("elr.strength=2",),
        validation_fraction=0.1,
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"preset": "mnits"}, "preset: unknown 'mnits' .*did you mean 'mnist'"),
        ({"methods": ("elrr",)}, "methods: unknown 'elrr' .*did you mean 'elr'.*known"),
        ({"methods": ()}, "methods: got none"),
        ({"methods": ("ce", "ce")}, "methods: got ce twice, expected each name once"),
        ({"dataset": "mnits"}, "dataset: tfds knows no 'mnits'"),
        ({"noise": "uniforme"}, "noise: unknown 'uniforme' .*did you mean 'uniform'"),
        ({"noise_rate": 1.2}, r"noise_rate: got 1.2, expected a number in \[0, 1\]"),
        ({"noise_count": "all"}, "noise_count: unknown 'all'; known: exact"),
        ({"noise": "key"}, "label_set: got None"),
        ({"noise": "file"}, "noisy_labels: got None"),
        ({"network": "resnet19"}, "network: unknown 'resnet19' .*resnet18"),
        ({"dtype": "float16"}, "dtype: unknown 'float16' .*known: float32, bfloat16"),
        (
            {"augment": "crop", "standardize": True},
            "augment: got 'crop' for inputs .* standardize=True, expected none unless",
        ),
        ({"augment": "mirror"}, "augment: unknown 'mirror'"),
        ({"batch_size": 4096}, "batch_size: got 4096, expected at most .*1437"),
        ({"epochs": 0}, "epochs: got 0"),
        ({"repeats": 0}, "repeats: got 0"),
        ({"optimizer": "lion"}, "optimizer: unknown 'lion'"),
        ({"learning_rate": 0.0}, "learning_rate: got 0.0"),
        ({"validation_fraction": 1.0}, "validation_fraction: got 1.0"),
        (
            {"options": ("strength=1",)},
            "options: ce has no 'strength'; it has none",
        ),
        (
            {"methods": ("elr",), "options": ("decay=1.5",)},
            r"options .decay.: got 1.5, expected a number in \[0, 1\]",
        ),
        (
            {"methods": ("elr",), "options": ("decay",)},
            "options: got 'decay', expected method.name=value",
        ),
        (
            {"methods": ("ce", "elr"), "options": ("decay=0.5",)},
            "for several methods, expected method.decay=0.5",
        ),
        (
            {"methods": ("divide_mix",), "epochs": 2},
            r"warmup_epochs\): got 5, expected a number in \[0, 1\]",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_flags_are_named_before_any_training(tmp_path, given, message):
    with pytest.raises(ValueError, match=message) as caught:
        run(tmp_path, **given)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir()), "a run folder was left behind"


def test_networks_for_images_refuse_vectors(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    points = data.make_dataset(vectors, np.arange(40) % 2)
    path = tmp_path / "vectors.npz"
    data.save_npz(path, train=points, test=points)
    options = {"dataset": str(path), "batch_size": 8}
    with pytest.raises(ValueError, match="network: 'resnet18' needs images, got vec"):
        run(tmp_path / "runs", network="resnet18", **options)
    with pytest.raises(ValueError, match="augment: got 'crop' for inputs of shape .3,"):
        run(tmp_path / "runs", augment="crop", **options)
    assert not (tmp_path / "runs").exists()


def test_leaves_what_people_look_at(finished):
    assert finished.name == "digits-symmetric-50"
    record = json.loads((finished / "config.json").read_text())
    settings = record["config"]["methods"]
    assert settings["elr"]["options"] == ["strength=2"]
    assert settings["ce"]["epochs"] == 3
    records = read_jsonl(finished / "metrics.jsonl")
    for method in ("ce", "elr"):
        mine = [r for r in records if r["method"] == method]
        assert [r["epoch"] for r in mine] == [0, 1, 2]
        assert len(mine[0]["of_repeats"]["test_accuracy"]) == 2
    with open(finished / "summary.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["ce", "elr"]
    last = [r["of_repeats"]["test_accuracy"] for r in records if r["epoch"] == 2]
    np.testing.assert_allclose(
        [float(row["last_mean"]) for row in rows],
        100 * np.mean(last, axis=1),
        atol=1e-3,
    )
    for row in rows:
        best, chosen = float(row["best_on_test_mean"]), row["at_best_validation_mean"]
        assert best >= max(float(row["last_mean"]), float(chosen))
        assert row["noisy_memorized_mean"]
    for name in ("accuracy.png", "memorisation.png", "speed.csv"):
        assert (finished / name).stat().st_size > 0


def test_a_finished_run_is_not_trained_again(finished):
    before = (finished / "metrics.jsonl").read_bytes()
    summary = (finished / "summary.csv").read_bytes()
    again = run(
        finished.parents[1],
        ("ce", "elr"),
        options=("elr.strength=2",),
        validation_fraction=0.1,
    )
    assert again == finished
    assert (finished / "metrics.jsonl").read_bytes() == before
    assert (finished / "summary.csv").read_bytes() == summary


def test_groups_of_repeats_change_nothing_but_the_order_of_work(tmp_path):
    rows = []
    for parallel in (2, 1):
        folder = run(tmp_path, name=str(parallel), parallel_repeats=parallel)
        with open(folder / "summary.csv") as file:
            rows.append(next(csv.DictReader(file)))
    for key, value in rows[0].items():
        if key != "method":
            # Rounding differs, and with it now and then a prediction.
            assert float(value) == pytest.approx(float(rows[1][key]), abs=0.5), key


def test_every_method_preset_of_ours_is_reached_by_its_name():
    """Those of published data sets are in the table of `test_published_presets`."""
    for name in METHOD_PRESETS:
        method, scope, *kind = name.split("/")
        assert scope in PRESETS
        if scope in PUBLISHED:
            continue
        noise = kind[0].partition("-") if kind else ("", "", "")
        fields = {"dataset": PRESETS[scope].fields["dataset"]}
        if noise[0] in ("symmetric", "asymmetric", "pairflip"):
            fields["noise"] = noise[0]
        elif kind:
            fields["label_set"] = kind[0]
        else:
            fields["noise"] = "none"
        if noise[2]:
            fields["noise_rate"] = int(noise[2]) / 100
        chosen = choose_methods((method,), entries("label_noise"))
        found = configs.resolve(chosen, scope, fields)[method]
        assert found.method_preset == name


def command(tmp_path, *flags):
    return [
        sys.executable,
        "-m",
        "experiments.label_noise",
        "--dataset=digits",
        "--methods=ce,elr",
        "--epochs=6",
        "--repeats=1",
        "--hidden=16",
        "--checkpoint_every_epochs=2",
        "--name=run",
        f"--run_dir={tmp_path}",
        *flags,
    ]


@pytest.mark.slow
def test_killed_runs_continue_to_the_same_summary(tmp_path):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    options = {"cwd": ROOT, "env": environment, "capture_output": True, "text": True}
    whole = subprocess.run(command(tmp_path / "whole"), **options)
    assert whole.returncode == 0, whole.stderr
    want = (tmp_path / "whole/label_noise/run/summary.csv").read_bytes()
    killed = tmp_path / "killed/label_noise/run"
    log = killed / "metrics.jsonl"
    process = subprocess.Popen(
        command(tmp_path / "killed"),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 200
    # In the middle of the second method.
    while process.poll() is None and time.monotonic() < deadline:
        if log.exists() and len(log.read_text().splitlines()) >= 9:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = subprocess.run(command(tmp_path / "killed"), **options)
    assert done.returncode == 0, done.stderr
    assert (killed / "summary.csv").read_bytes() == want
    records = read_jsonl(log)
    assert [(r["method"], r["epoch"]) for r in records] == [
        (method, epoch) for method in ("ce", "elr") for epoch in range(6)
    ]


def test_bad_flags_end_in_one_line_and_status_2(tmp_path):
    done = subprocess.run(
        command(tmp_path, "--noise_rate=2"),
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr == ("error: noise_rate: got 2.0, expected a number in [0, 1]\n")
