"""What `find-issues` tells beside wrong labels: planted, and found in its files."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest

from robustjax import data
from robustjax.tools import data_report
from robustjax.tools.options.find_issues import FindIssuesConfig
from tests.harness.tool_runs import endings, run_verb

NAMES = ("cat", "dog", "=cow")


@pytest.fixture
def pool(tmp_path):
    """120 points, where 5 repeats 2, 9 nearly 4, 11 is far, and cows are two."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 2
    inputs = (rng.normal(size=(120, 16)) + 4 * np.eye(2, 16)[labels] + 1).astype("f4")
    labels[:2] = 2
    inputs[5], inputs[9] = inputs[2], inputs[4] + 0.01
    inputs[11] = 40 * (-1) ** np.arange(16)
    dataset = data.make_dataset(
        inputs, labels, ids=[f"nr {row}" for row in range(120)], class_names=NAMES
    )
    data.save_npz(tmp_path / "pool.npz", train=dataset)
    np.save(tmp_path / "p.npy", 0.9 * np.eye(3)[labels] + 0.1 / 3)
    return dataset


def _flags(tmp_path, **more):
    return {
        "dataset": tmp_path / "pool.npz",
        "out": tmp_path / "report.csv",
        "metric": "euclidean",
        "page": False,
        **more,
    }


def _marked(rows, column):
    return {row["id"] for row in rows if row[column] in ("True", True)}


def test_all_that_was_planted_is_in_one_table(pool, tmp_path):
    flags = _flags(tmp_path, issues="all", probabilities=tmp_path / "p.npy")
    done = run_verb("find-issues", **flags, rare_threshold=0.2)
    assert done.returncode == 0, done.stderr
    with open(flags["out"], newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 120
    assert _marked(rows, "is_exact_duplicate") == {"nr 2", "nr 5"}
    assert _marked(rows, "is_near_duplicate") == {"nr 2", "nr 5", "nr 4", "nr 9"}
    assert _marked(rows, "is_outlier") == {"nr 11"}
    assert _marked(rows, "is_in_rare_class") == {"nr 0", "nr 1"}
    assert _marked(rows, "is_issue") == set()
    of = {row["id"]: row for row in rows}
    sets = {name: row["duplicate_set"] for name, row in of.items()}
    assert {n: s for n, s in sets.items() if s} == {
        "nr 2": "nr 2",
        "nr 5": "nr 2",
        "nr 4": "nr 4",
        "nr 9": "nr 4",
    }
    assert of["nr 5"]["nearest_id"] == "nr 2"
    assert float(of["nr 5"]["nearest_ratio"]) == 0
    assert of["nr 0"]["given_label"] == "'=cow"
    assert of["nr 0"]["class_size"] == "2"
    scores = [float(row["outlier_score"]) for row in rows]
    assert rows[int(np.argmax(scores))]["id"] == "nr 11"
    lines = done.stdout.splitlines()
    assert lines[1] == "distances: euclidean to the 10 nearest, by the inputs"
    (outliers,) = (line for line in lines if line.startswith("outliers "))
    assert outliers.split() == ["outliers", "1", "0.8%", "nr", "11"]
    assert [line.split("  ")[0] for line in lines if "%" in line][1:] == [
        "labels",
        "exact duplicates",
        "near duplicates",
        "outliers",
        "in an order",
        "in rare classes",
    ]


def test_without_labels_nothing_is_trained_and_the_worst_come_first(pool, tmp_path):
    flags = _flags(tmp_path, issues="outliers,duplicates")
    flags |= {"out": tmp_path / "report.jsonl", "page": True}
    done = run_verb("find-issues", **flags)
    assert done.returncode == 0, done.stderr
    assert "cross-validation" not in done.stderr
    assert not (tmp_path / "report.html").exists()
    rows = [json.loads(line) for line in flags["out"].read_text().splitlines()]
    assert [row["id"] for row in rows[:5]] == ["nr 2", "nr 5", "nr 4", "nr 9", "nr 11"]
    assert rows[0]["duplicate_set"] == "nr 2"
    assert rows[-1]["duplicate_set"] is None
    assert "score" not in rows[0]
    assert "class_size" not in rows[0]


def test_distances_of_features_by_id(pool, tmp_path):
    features = np.random.default_rng(3).normal(size=(120, 24))
    features[77] = features[30]
    shuffled = np.random.default_rng(4).permutation(120)
    np.savez(
        tmp_path / "f.npz", inputs=features[shuffled], ids=np.array(pool.ids)[shuffled]
    )
    flags = _flags(tmp_path, issues="duplicates", features=tmp_path / "f.npz")
    done = run_verb("find-issues", **flags | {"metric": None})
    assert done.returncode == 0, done.stderr
    assert "\ndistances: cosine to the 10 nearest, by /" in done.stdout
    with open(flags["out"], newline="") as file:
        rows = list(csv.DictReader(file))
    assert _marked(rows, "is_near_duplicate") == {"nr 30", "nr 77"}
    # Of the inputs themselves.
    assert _marked(rows, "is_exact_duplicate") == {"nr 2", "nr 5"}


def test_distances_of_features_of_the_split(pool, tmp_path):
    """Those of the training set were taken for a test set of the same size."""
    features = {"train": np.zeros((120, 2)), "test": np.ones((120, 2))}
    np.savez(tmp_path / "f.npz", **{f"{s}_inputs": x for s, x in features.items()})
    for split, expected in features.items():
        config = FindIssuesConfig(features=str(tmp_path / "f.npz"), split=split)
        np.testing.assert_array_equal(data_report._vectors(config, pool), expected)


def test_a_row_of_zeros_is_compared_by_lengths(tmp_path):
    inputs = np.random.default_rng(0).normal(size=(30, 5))
    inputs[8] = 0
    np.savez(tmp_path / "pool.npz", inputs=inputs, labels=np.arange(30) % 3)
    flags = _flags(tmp_path, issues="outliers") | {"metric": None}
    done = run_verb("find-issues", **flags)
    assert done.returncode == 0, done.stderr
    assert "euclidean (a row of zeros has no cosine)" in done.stdout
    (message,) = endings("find-issues", [flags | {"metric": "cosine"}])
    assert message == "dataset: row 8 is zero and has no cosine distance"


def test_bad_options_are_named(pool, tmp_path):
    np.save(tmp_path / "short.npy", np.ones((5, 3)))
    np.savez(tmp_path / "other.npz", depth=np.ones((120, 3)))
    cases = [
        ({"issues": "labels,copies"}, "issues: unknown 'copies'"),
        ({"issues": ""}, "issues: got none, expected any of labels, duplicates, "),
        ({"outlier_threshold": 0}, "outlier_threshold: got 0.0, expected a number"),
        (
            {"issues": "classes", "features": tmp_path / "short.npy"},
            "features: distances are measured for --issues=duplicates, outliers",
        ),
        (
            {"issues": "outliers", "features": tmp_path / "short.npy"},
            "features: got shape (5, 3), expected (120, d): a row for every example",
        ),
        (
            {"issues": "outliers", "features": tmp_path / "other.npz"},
            f"features: '{tmp_path}/other.npz' lacks features; it holds depth",
        ),
        (
            {"issues": "classes", "probabilities": tmp_path / "p.npy"},
            "probabilities: judges labels, which --issues leaves out",
        ),
    ]
    runs = [_flags(tmp_path, **changes) for changes, _ in cases]
    for message, (_, expected) in zip(endings("find-issues", runs), cases):
        assert message.startswith(expected), message


def test_rows_in_an_order_are_told_and_what_it_is_the_order_of(pool, tmp_path):
    flags = _flags(tmp_path, issues="order")
    done = run_verb("find-issues", **flags)
    assert done.returncode == 0, done.stderr
    with open(flags["out"], newline="") as file:
        assert _marked(list(csv.DictReader(file)), "is_in_order") == set()
    assert re.search(r"\norder: neighbours are (0.9|1.0)\d times as", done.stdout)
    by_class = np.argsort(pool.labels, kind="stable")
    data.save_npz(tmp_path / "sorted.npz", train=data.take(pool, by_class))
    flags["dataset"] = tmp_path / "sorted.npz"
    done = run_verb("find-issues", **flags)
    with open(flags["out"], newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(_marked(rows, "is_in_order")) == 120
    assert min(float(row["order_gap"]) for row in rows) < 0.5
    assert ", so it is the order of the classes\n" in done.stdout
    assert "in an order" in done.stdout
    assert _marked(rows, "is_in_order") == set(pool.ids.tolist())


def _with_blanks(pool, path):
    """A table of the pool, three rows of which have no label."""
    lines = ["id,label,said," + ",".join(f"x{i}" for i in range(16))]
    for row, (name, label, numbers) in enumerate(
        zip(pool.ids, pool.labels, pool.inputs)
    ):
        given = {3: "", 50: "  ", 119: ""}.get(row, NAMES[label].strip("="))
        cells = [name, given, f"text {row}", *(f"{x:.5f}" for x in numbers)]
        lines.append(",".join(cells))
    path.write_text("\n".join(lines) + "\n")


def test_rows_without_a_label_are_listed_and_the_others_judged(pool, tmp_path):
    _with_blanks(pool, tmp_path / "pool.csv")
    missing = ["nr 3", "nr 50", "nr 119"]
    kept = [row for row in range(120) if pool.ids[row] not in missing]
    np.save(tmp_path / "p.npy", np.load(tmp_path / "p.npy")[kept][:, [0, 2, 1]])
    flags = _flags(
        tmp_path,
        issues="labels,unlabeled",
        probabilities=tmp_path / "p.npy",
        dataset=tmp_path / "pool.csv",
        texts="said",
        page=True,
    )
    done = run_verb("find-issues", **flags)
    assert done.returncode == 0, done.stderr
    with open(flags["out"], newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows if row["is_unlabeled"] == "True"] == missing
    assert [row["id"] for row in rows[-3:]] == missing
    assert {row["given_label"] for row in rows[-3:]} == {""}
    assert all(row["score"] and row["is_unlabeled"] == "False" for row in rows[:-3])
    assert "3 (2.5%) without a label, at the end of the table" in done.stdout
    page = (tmp_path / "report.html").read_text()
    shown = [
        row
        for row in range(120)
        if f"text {row}\\u0022" in page
        or f'text {row}"' in page
        or f">text {row}<" in page
    ]
    assert shown
    assert not {3, 50, 119} & set(shown)
    # Not asked for, a blank is no label.
    (message,) = endings("find-issues", [flags | {"issues": "labels"}])
    assert message.startswith("label_column: row 3 (from 0) has a blank in 'label'")
    assert message.endswith("(robustjax find-issues --issues=all lists such rows)")


def test_labels_that_are_elsewhere_may_lack_some(pool, tmp_path):
    lines = ["id,label", *(f"nr {i},{pool.labels[i]}" for i in range(119, 4, -1))]
    (tmp_path / "labels.csv").write_text("\n".join([*lines, "nr 4,"]) + "\n")
    flags = _flags(tmp_path, issues="unlabeled,classes", labels=tmp_path / "labels.csv")
    done = run_verb("find-issues", **flags)
    assert done.returncode == 0, done.stderr
    with open(flags["out"], newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows[-5:]] == [f"nr {i}" for i in range(5)]
    given = {row["id"]: row["given_label"] for row in rows[:-5]}
    assert given == {f"nr {i}": NAMES[pool.labels[i]] for i in range(5, 120)}
    full = "\n".join(["id,label", *(f"nr {i},0" for i in range(120))])
    (tmp_path / "labels.csv").write_text(full)
    done = run_verb("find-issues", **flags)
    assert done.stdout.endswith("every example has a label\n")
