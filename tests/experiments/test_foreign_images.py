"""Foreign images among those that are pruned."""

from __future__ import annotations

import csv
import dataclasses

import numpy as np
import pytest

from experiments.studies.pruning import setup
from experiments.studies.pruning.config import DataPruningConfig
from experiments.studies.pruning.study import STUDY
from experiments.study.run import Request, run_study
from robustjax import data
from robustjax.training import StopRequest

SMALL = {"hidden": (16,), "repeats": 1, "relabeler": "ce"}


@pytest.fixture
def sets(tmp_path):
    """Files of gray images, of larger ones in colour, and of what is no image."""
    for name, side, channels, classes in (
        ("bars", 8, 1, ["left", "right"]),
        ("rocks", 12, 3, ["flint", "slate"]),
    ):
        pixels = np.zeros((50, side, side, channels), np.uint8)
        pixels[1::2, : side // 2] = 90 if name == "bars" else 200
        images = data.make_dataset(pixels, np.arange(50) % 2, class_names=classes)
        data.save_npz(tmp_path / f"{name}.npz", train=images, test=images)
    points = data.make_dataset(np.ones((50, 3), np.float32), np.arange(50) % 2)
    data.save_npz(tmp_path / "points.npz", train=points, test=points)
    return {name: str(tmp_path / f"{name}.npz") for name in ("bars", "rocks", "points")}


def test_foreign_images_keep_their_labels_and_all_are_wrong(sets):
    plain = DataPruningConfig(**{**SMALL, "dataset": sets["bars"], "repeats": 2})
    own = setup.prepare(plain)
    assert not own.is_foreign.any()
    config = dataclasses.replace(plain, foreign=sets["rocks"], foreign_share=0.2)
    task = setup.prepare(config)
    assert task.is_foreign.sum() == 10
    np.testing.assert_array_equal(task.given, own.given)
    np.testing.assert_array_equal(task.train.labels, own.train.labels)
    rows = ~task.is_foreign
    np.testing.assert_array_equal(task.train.inputs[rows], own.train.inputs[rows])
    assert task.train.inputs.dtype == np.uint8
    assert set(task.train.inputs[task.is_foreign].max((1, 2, 3))) <= {0, 200}
    for repeat in range(2):
        wrong = task.given[repeat] != task.train.labels
        np.testing.assert_array_equal(task.is_noisy(repeat), wrong | task.is_foreign)
    both = [task.is_noisy(repeat).mean() for repeat in range(2)]
    assert task.noise_rate == pytest.approx(np.mean(both))
    assert "20.00% of the images are of" in task.description
    assert f"{task.noise_rate:.2%} of the labels are wrong in all" in task.description
    digests = own.digested(), task.digested()
    assert (digests[0]["training inputs"] != digests[1]["training inputs"]).any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"foreign": "rocks"}, "foreign_share: got 0 with foreign='.*', expected both"),
        ({"foreign_share": 0.1}, "foreign_share: got 0.1 with foreign='', expected"),
        ({"foreign": "rocks", "foreign_share": 1.0}, "foreign_share: got 1"),
        (
            {"foreign": "rocks", "foreign_share": 0.1, "standardize": True},
            "foreign: got '.*' with --standardize",
        ),
        ({"foreign": "mnits", "foreign_share": 0.1}, "foreign: tfds knows no 'mnits'"),
        ({"foreign": "no.npz", "foreign_share": 0.1}, "foreign: .*no.npz"),
        (
            {"foreign": "rocks", "foreign_share": 0.001},
            "foreign_share: got 0.001, which is 0 of the 50 training images, expected",
        ),
        (
            {"foreign": "rocks", "foreign_share": 0.995},
            "foreign_share: got 0.995, which is 50 of the 50",
        ),
        (
            {"foreign": "bars", "foreign_share": 0.1},
            "foreign: .*left",
        ),
        (
            {"foreign": "rocks", "foreign_share": 0.1, "dataset": "points"},
            "foreign: got .* for inputs of shape .*expected images in memory",
        ),
    ],
)
def test_bad_foreign_images(sets, given, message):
    given = {"dataset": "bars", **given}
    given = {
        name: sets.get(value, value) if isinstance(value, str) else value
        for name, value in given.items()
    }
    with pytest.raises(ValueError, match=message):
        setup.prepare(DataPruningConfig(**{**SMALL, **given}))


@pytest.mark.slow
def test_foreign_images_are_told_in_every_file(tmp_path, sets):
    given = {
        "epochs": 2,
        "warmup_epochs": 2,
        "batch_size": 8,
        "fractions": (0.25, 0.5),
    }
    fields = {
        **SMALL,
        **given,
        "dataset": sets["bars"],
        "methods": ("uniform",),
        "foreign": sets["rocks"],
        "foreign_share": 0.3,
    }
    request = Request((), None, fields, run_dir=str(tmp_path), name="run")
    run_study(STUDY, request, StopRequest())
    folder = tmp_path / "pruning" / "run"
    with open(folder / "examples.csv", newline="") as file:
        examples = list(csv.DictReader(file))
    foreign = [row for row in examples if row["foreign"] == "True"]
    assert len(foreign) == 15
    assert {row["true"] for row in foreign} == {"-1"}
    with open(folder / "summary.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        column = f"uniform_{float(row['fraction']):g}.order"
        kept = [example["foreign"] == "True" for example in examples if example[column]]
        assert len(kept) == int(row["examples"])
        share = np.mean(kept)
        assert float(row["foreign_share_mean"]) == pytest.approx(100 * share, abs=1e-3)
