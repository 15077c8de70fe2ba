"""The order that `correct` takes by itself, and keeps."""

from __future__ import annotations

import json

import numpy as np
import pytest

from robustjax import data
from robustjax.tools.correction_order import MANY_WRONG, order_for
from tests.harness.tool_runs import run_verb

SIZE = 60


@pytest.fixture
def points(tmp_path):
    """Options for 60 points in three clusters with right labels, and the inputs."""
    true = np.arange(SIZE) % 3
    rng = np.random.default_rng(0)
    inputs = (rng.normal(size=(SIZE, 4)) + 6 * np.eye(3, 4)[true]).astype("f4")
    return inputs, true, tmp_path


def _run(points, labels, name, **more):
    inputs, _, folder = points
    path = folder / f"{name}.npz"
    data.save_npz(path, train=data.make_dataset(inputs, labels))
    flags = {
        "dataset": path,
        "folder": folder / name,
        "batch": 6,
        "page": False,
        "hidden": "8",
        "epochs": 15,
        "batch_size": 8,
    }
    return run_verb("correct", **flags | more), folder / name


@pytest.mark.slow
def test_few_wrong_labels_are_asked_about_by_those_that_have_not_seen_them(points):
    _, true, _ = points
    wrong = np.arange(SIZE) % 10 == 0
    done, folder = _run(points, np.where(wrong, (true + 1) % 3, true), "few")
    assert done.returncode == 0, done.stderr
    assert "below 30%: asks in the order of label_issues (--method=alc" in done.stdout
    kept = json.loads((folder / "order.json").read_text())
    assert kept["method"] == "label_issues"
    assert 0.05 < kept["noise_rate"] < 0.2
    lines = (folder / "to_label.csv").read_text().splitlines()[1:]
    rows = [line.split(",") for line in lines]
    assert {int(row[0]) for row in rows} == set(np.flatnonzero(wrong).tolist())
    # What they suggest is right, for they were not taught the wrong one.
    assert all(int(row[2]) == true[int(row[0])] for row in rows)


@pytest.mark.slow
def test_where_many_seem_wrong_alc_asks(points):
    _, true, folder = points
    (folder / "many").mkdir()
    (folder / "many" / "order.json").write_text('{"method":"alc","noise_rate":0.71}')
    done, _ = _run(points, true, "many", epochs=1)
    assert done.returncode == 0, done.stderr
    assert "about 71% of the labels seem wrong, at least 30%: asks in" in done.stdout
    assert "estimating" not in done.stderr
    assert order_for(0.71).method == order_for(MANY_WRONG).method == "alc"
    assert order_for(MANY_WRONG - 0.01).method == "label_issues"


@pytest.mark.slow
def test_a_folder_keeps_its_order(points):
    _, true, folder = points
    done, _ = _run(points, true, "mine", epochs=1, method="random")
    assert done.returncode == 0, done.stderr
    done, _ = _run(points, true, "mine", epochs=1)
    assert done.returncode == 2
    assert "was begun with --method or --scores; give the same" in done.stderr
    (folder / "bad").mkdir()
    (folder / "bad" / "order.json").write_text('{"method": "alc"')
    done, _ = _run(points, true, "bad", epochs=1)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --folder: ")
    assert done.stderr.count("\n") == 1
