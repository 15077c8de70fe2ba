"""What a run of the study of features leaves behind."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from experiments.studies.features.classification import DETECTION_SCORES
from experiments.studies.features.report import MEASURES, meaning
from experiments.study.journal import Journal
from experiments.study.run_folder import open_run_folder
from experiments.study.table import Table
from robustjax import data
from tests.experiments.features.feature_runs import composed, read_rows, run


@pytest.fixture(scope="module")
def finished(tmp_path_factory, sets):
    """The folder of a finished comparison of all methods in classification."""
    return run(
        tmp_path_factory.mktemp("runs"),
        sets,
        detection_ood=("textures", sets["rocks"]),
        picture_examples=24,
    )


@pytest.mark.slow
def test_classification_leaves_what_people_look_at(finished):
    record = json.loads((finished / "config.json").read_text())["config"]
    assert record["methods"] == ["standard", "oat", "taufe"]
    assert record["num_examples"] == [16, 24]
    rows = read_rows(finished / "summary.csv")
    assert [(row["method"], int(row["num_examples"])) for row in rows] == [
        (method, n) for n in (16, 24) for method in ("standard", "oat", "taufe")
    ]
    records = Table.read(finished).records("epoch")
    for row in rows:
        mine = [
            r
            for r in records
            if r["method"] == row["method"]
            and str(r["num_examples"]) == row["num_examples"]
        ]
        assert [r["epoch"] for r in mine] == [0, 1]
        for key, scale in (("test_accuracy", 100), ("heldout_ood_square", 1)):
            last = scale * np.array(mine[-1]["of_repeats"][key])
            assert float(row[f"{key}_mean"]) == pytest.approx(last.mean(), abs=1e-4)
            assert float(row[f"{key}_std"]) == pytest.approx(last.std(ddof=1), abs=1e-4)
        assert ("ood_norm" in mine[0]) == (row["method"] != "standard")
        assert (row["repeats"], row["epochs"]) == ("2", "2")
    assert not any("auroc" in key for key in rows[0])
    speeds = read_rows(finished / "speed.csv")
    assert [(row["method"], row["num_examples"]) for row in speeds] == [
        (row["method"], row["num_examples"]) for row in rows
    ]
    for name in ("curves.png", "activations.png"):
        assert (finished / name).stat().st_size > 0


def test_detection_has_a_row_per_score(finished):
    detection = read_rows(finished / "detection.csv")
    assert len(detection) == 12
    assert {row["score"] for row in detection} == {"msp", "energy"}
    assert set(DETECTION_SCORES) == {"msp", "energy"}
    table = Table.read(finished)
    for row in detection:
        where = {"method": row["method"], "num_examples": int(row["num_examples"])}
        values = table.one(**where).values[f"{row['score']}_fpr95_in_pos"]
        mean = float(row["fpr95_in_pos_mean"])
        assert mean == pytest.approx(100 * values.mean(), abs=1e-4)
        assert float(row["fpr95_in_pos_std"]) == pytest.approx(
            100 * values.std(ddof=1), abs=1e-4
        )


def test_examples_are_those_that_were_drawn(finished, sets):
    rows = read_rows(finished / "examples.csv")
    whole = data.load(sets["target"], "train")
    labels = dict(zip(whole.ids.astype(str), whole.labels, strict=True))
    places = {}
    for row in rows:
        place = int(row["num_examples"]), int(row["repeat"])
        places.setdefault(place, {}).setdefault(row["role"], set()).add(row["id"])
        if row["role"] == "ood":
            assert row["id"].startswith("ood-")
            assert row["given"] == row["taufe.predicted"] == ""
            continue
        assert int(row["given"]) == labels[row["id"]]
        for method in ("standard", "oat", "taufe"):
            probability = float(row[f"{method}.given_probability"])
            assert 0 <= probability <= 1
            if probability > 0.5:
                assert row[f"{method}.predicted"] == row["given"]
    assert set(places) == {(n, r) for n in (16, 24) for r in (0, 1)}
    for (count, repeat), roles in places.items():
        assert {name: len(ids) for name, ids in roles.items()} == {
            "target": count,
            "ood": count,
        }
        # Draws are nested, and those of repeats differ.
        for name, ids in roles.items():
            assert ids <= places[24, repeat][name]
            assert ids != places[count, 1 - repeat][name]


def test_repeats_differ_and_methods_share_their_draws(finished):
    records = Table.read(finished).records("epoch")
    values = np.array([r["of_repeats"]["heldout_ood_norm"] for r in records])
    assert (values[:, 0] != values[:, 1]).all()


@pytest.mark.slow
def test_boxes(tmp_path, sets, capsys):
    given = composed(sets, "boxes", box_loss="d_iou", position_correlation=0.9)
    given |= {"train_image_size": 16, "augment": "window"}
    folder = run(tmp_path, sets, **given)
    rows = read_rows(folder / "summary.csv")
    assert [row["method"] for row in rows] == ["standard", "taufe"]
    assert 0 <= float(rows[0]["test_iou_mean"]) <= 100
    printed = capsys.readouterr().out
    assert "mean IoU (%), N =" in printed
    assert "taufe against standard" in printed
    assert not (folder / "detection.csv").exists()


@pytest.mark.slow
def test_localization(tmp_path, sets):
    given = composed(sets, "localization", standard_batch="half", num_examples=(0,))
    folder = run(tmp_path, sets, methods=("standard", "taufe"), **given)
    rows = read_rows(folder / "summary.csv")
    assert [row["num_examples"] for row in rows] == ["48", "48"]
    for row in rows:
        best, fixed = row["max_box_accuracy_mean"], row["fixed_box_accuracy_mean"]
        assert 0 <= float(fixed) <= float(best) <= 100
        assert row["test_accuracy_mean"]


def test_meaning_pairs_repeats(tmp_path):
    record = {"title": "", "config": {}, "data": {}}
    record |= {"measures": [dataclasses.asdict(measure) for measure in MEASURES]}
    record |= {"cells": ["standard", "taufe"]}
    with (
        open_run_folder(tmp_path / "run", record) as folder,
        Journal(folder) as journal,
    ):
        for method, values in (("standard", [0.4, 0.6]), ("taufe", [0.62, 0.43])):
            journal.cell(method).result(
                {"method": method, "num_examples": 5},
                {"test_accuracy": np.array(values)},
                repeats=(0, 1) if method == "standard" else (1, 0),
            )
    table = Table.read(folder)
    text = meaning(table, table.measures["test_accuracy"])
    assert "+2.5 ±0.5 (N = 5; paired by repeat" in text
