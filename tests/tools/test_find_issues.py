"""The list of suspicious labels, as a person makes it: commands and files."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from robustjax import data, scores
from tests.harness.tool_runs import endings, run_verb

NAMES = ("cat", "dog", "cow")


def _read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def small(tmp_path):
    """Flags for 60 points in three clusters, the data set, where labels are wrong."""
    rng = np.random.default_rng(0)
    true = np.arange(60) % 3
    wrong = np.arange(60) % 10 == 0
    labels = np.where(wrong, (true + 1) % 3, true)
    inputs = rng.normal(size=(60, 4)) + 8 * np.eye(3, 4)[true]
    dataset = data.make_dataset(
        inputs.astype(np.float32),
        labels,
        ids=[f"animal {row}" for row in range(60)],
        class_names=NAMES,
    )
    data.save_npz(tmp_path / "animals.npz", train=dataset)
    flags = {"dataset": tmp_path / "animals.npz", "out": tmp_path / "issues.csv"}
    return flags, dataset, wrong


def _probabilities(dataset, wrong, seed=0):
    """Of a model that knows better."""
    true = np.where(wrong, (dataset.labels - 1) % 3, dataset.labels)
    logits = np.random.default_rng(seed).normal(size=(60, 3)) + 4 * np.eye(3)[true]
    p = np.exp(logits)
    return p / p.sum(1, keepdims=True)


def test_a_table_with_labels_as_text(small, tmp_path):
    pytest.importorskip("pyarrow")
    flags, dataset, wrong = small
    np.save(tmp_path / "p.npy", _probabilities(dataset, wrong)[:, [0, 2, 1]])
    lines = ["name,a,b,c,d,animal"]
    for name, row, label in zip(dataset.ids, dataset.inputs, dataset.labels):
        lines.append(",".join([name, *map(str, row), NAMES[label]]))
    (tmp_path / "animals.csv").write_text("\n".join(lines))
    given = {
        "dataset": tmp_path / "animals.csv",
        "label_column": "animal",
        "id_column": "name",
        "probabilities": tmp_path / "p.npy",
    }
    bad = [{"label_column": "pet"}, {"label_column": None}, {"id_column": "number"}]
    runs = [flags | given | changes for changes in ({}, *bad)]
    fine, *messages = endings("find-issues", runs)
    assert fine == "fine"
    for message, begin in zip(
        messages,
        ("label_column: got 'pet'", "label_column: ", "id_column: got 'number'"),
    ):
        assert message.startswith(begin), message
    rows = _read(flags["out"])
    assert len(rows) == 60
    flagged = {row["id"] for row in rows if row["is_issue"] == "True"}
    assert flagged == set(dataset.ids[wrong].tolist())
    true = {f"animal {row}": NAMES[row % 3] for row in range(60)}
    for row in rows:
        if row["id"] in flagged:
            assert row["given_label"] == NAMES[(NAMES.index(true[row["id"]]) + 1) % 3]
            assert row["suggested_label"] == true[row["id"]]


@pytest.mark.slow
def test_with_probabilities_of_a_model_of_ones_own(small, tmp_path):
    flags, dataset, wrong = small
    p = _probabilities(dataset, wrong)
    shuffled = np.random.default_rng(1).permutation(60)
    np.savez(tmp_path / "p.npz", pred_probs=p[shuffled], ids=dataset.ids[shuffled])
    done = run_verb(
        "find-issues",
        **flags,
        probabilities=tmp_path / "p.npz",
        method="normalized_margin",
        filter_by="confident_learning",
    )
    assert done.returncode == 0, done.stderr
    issues = scores.find_label_issues(dataset.labels, p, filter_by="confident_learning")
    share = f"{issues.sum()} ({issues.mean():.1%}) of 60 labels are likely wrong"
    classes, counted = done.stdout.splitlines()[:2]
    assert classes.endswith("60 examples, 3 classes: cat, dog, cow")
    assert counted.startswith(share)
    quality = scores.label_quality_scores(dataset.labels, p, method="normalized_margin")
    rows = _read(flags["out"])
    assert len(rows) == 60
    for row, place in zip(rows, np.argsort(quality, kind="stable")):
        assert row == {
            "id": f"animal {place}",
            "given_label": NAMES[dataset.labels[place]],
            "suggested_label": NAMES[p[place].argmax()],
            "score": f"{quality[place]:.9g}",
            "is_issue": str(bool(issues[place])),
        }


@pytest.mark.slow
def test_training_finds_what_is_wrong_and_keeps_its_probabilities(small, tmp_path):
    flags, dataset, wrong = small
    # The labels can come from elsewhere, too.
    with open(tmp_path / "labels.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label"])
        right = np.where(np.arange(60) == 30, (dataset.labels - 1) % 3, dataset.labels)
        for row in reversed(range(60)):
            writer.writerow([dataset.ids[row], NAMES[right[row]]])
    flags |= {"labels": tmp_path / "labels.csv"}
    done = run_verb(
        "find-issues",
        **flags,
        hidden="16",
        epochs=20,
        folds=3,
        batch_size=8,
        learning_rate=0.001,
        save_probabilities=tmp_path / "kept.npz",
    )
    assert done.returncode == 0, done.stderr
    rows = _read(flags["out"])
    expected = {f"animal {row}" for row in np.flatnonzero(wrong) if row != 30}
    assert {row["id"] for row in rows[:5]} == expected
    first = flags["out"].read_text()
    done = run_verb("find-issues", **flags, probabilities=tmp_path / "kept.npz")
    assert done.returncode == 0, done.stderr
    assert flags["out"].read_text() == first


@pytest.mark.slow
def test_an_offset_of_the_inputs_changes_no_issue(small, tmp_path):
    """Standardised in double precision: times in 2024, or degrees of a small town."""
    _, dataset, wrong = small
    rng = np.random.default_rng(3)
    inputs = dataset.inputs.astype(np.float64) + 0.1 * rng.normal(size=(60, 4))
    changed = {
        "plain": inputs,
        "milliseconds": 1.7e12 + inputs,
        "degrees": 48.137 + 1e-9 * inputs,
    }
    runs = []
    for name, array in changed.items():
        arrays = {"inputs": array, "labels": dataset.labels}
        np.savez(tmp_path / f"{name}.npz", **arrays)
        paths = {kind: tmp_path / f"{name}.{kind}" for kind in ("npz", "csv")}
        runs.append({"dataset": paths["npz"], "out": paths["csv"], "standardize": True})
        runs[-1] |= {"hidden": 16, "epochs": 15, "folds": 3, "learning_rate": 0.1}
    assert endings("find-issues", runs) == ["fine"] * 3
    flagged = [
        {int(row["id"]) for row in _read(run["out"]) if row["is_issue"] == "True"}
        for run in runs
    ]
    assert flagged[0] == set(np.flatnonzero(wrong).tolist())
    assert flagged[1] == flagged[2] == flagged[0]


@pytest.mark.slow
def test_bad_flags_are_named(small, tmp_path):
    flags, dataset, wrong = small
    p = _probabilities(dataset, wrong)
    files = {
        "short.npy": p[1:],
        "narrow.npy": p[:, :2],
        "logits.npy": np.log(p),
        "negative.npy": p + np.array([[1, -1, 0]]),
        "whole.npy": p.round().astype(int),
        "lone.npy": np.array({"a": 1}),
    }
    for name, array in files.items():
        np.save(tmp_path / name, array)
    np.savez(tmp_path / "unnamed.npz", predictions=p)
    np.savez(tmp_path / "strange.npz", pred_probs=p, ids=np.arange(60))
    (tmp_path / "text.npy").write_text("0.5,0.5")
    (tmp_path / "labels.csv").write_text("id,label\nanimal 0,pig\n")
    shape = "expected (60, 3): a row for every example and a column for every class"
    cases = [
        ({"dataset": None}, "dataset: got nothing, expected --dataset=…"),
        ({"out": None}, "out: got nothing, expected --out=…"),
        ({"out": "/absent/issues.csv"}, "out: the folder of '/absent/issues.csv' does"),
        (
            {"method": "margin"},
            "method: unknown 'margin'; known: self_confidence, normalized_margin, ",
        ),
        (
            {"filter_by": "prune"},
            "filter_by: unknown 'prune'; known: prune_by_noise_rate, prune_by_class, ",
        ),
        ({"frac_noise": 2}, "frac_noise: got 2.0, expected a number in [0, 1]"),
        (
            {"frac_noise": 0.5, "filter_by": "predicted_neq_given"},
            "frac_noise: got 0.5, expected 1 with filter_by='predicted_neq_given'",
        ),
        ({"min_examples_per_class": 0}, "min_examples_per_class: got 0, expected"),
        (
            {"adjust_probabilities": True, "method": "confidence_weighted_entropy"},
            "adjust_probabilities: got True, expected False",
        ),
        ({"folds": 1}, "folds: got 1, expected an integer >= 2"),
        ({"folds": 61}, "folds: got 61, expected at most the number of examples, 60"),
        ({"labels": tmp_path / "labels.csv"}, "labels[label]: 1 value(s) are no class"),
        ({"probabilities": "short.npy"}, f"probabilities: got shape (59, 3), {shape}"),
        ({"probabilities": "narrow.npy"}, f"probabilities: got shape (60, 2), {shape}"),
        (
            {"probabilities": "logits.npy"},
            "probabilities: 60 row(s) do not sum to 1",
        ),
        ({"probabilities": "negative.npy"}, "probabilities: got -"),
        ({"probabilities": "short.npy", "epochs": 3}, "epochs: got 3 with --probab"),
        (
            {"probabilities": "short.npy", "standardize": True},
            "standardize: got True with --probabilities",
        ),
        ({"probabilities": "whole.npy"}, "probabilities: got int64, expected floats"),
        (
            {"probabilities": "unnamed.npz"},
            "probabilities: '*' lacks pred_probs; ",
        ),
        ({"probabilities": "strange.npz"}, "ids: 60 id(s) do not occur in animals.npz"),
        (
            {"probabilities": "text.npy"},
            "probabilities: cannot read '*' as .npy or",
        ),
        (
            {"probabilities": "lone.npy"},
            "probabilities: cannot read '*' as .npy or",
        ),
        (
            {"probabilities": "none.npy"},
            "probabilities: cannot read '*' as .npy or",
        ),
        (
            {
                "probabilities": "logits.npy",
                "save_probabilities": tmp_path / "kept.npz",
            },
            "save_probabilities: there is nothing to save with --probabilities",
        ),
    ]
    runs = []
    for changes, _ in cases:
        runs.append(flags | changes)
        if "probabilities" in changes:
            runs[-1]["probabilities"] = tmp_path / changes["probabilities"]
    messages = endings("find-issues", runs)
    assert len(messages) == len(cases)
    for (changes, expected), message in zip(cases, messages):
        name = tmp_path / str(changes.get("probabilities"))
        assert message.startswith(expected.replace("*", str(name))), message
    assert not flags["out"].exists()
    # As a command: one line and status 2.
    done = run_verb("find-issues", **flags | {"method": "margin"})
    assert done.returncode == 2
    assert done.stderr.startswith("error: --method: unknown 'margin'")
    assert done.stderr.count("\n") == 1


def test_columns_belong_to_classes_by_name(tmp_path):
    from robustjax.tools.verbs.find_issues import read_probabilities

    dataset = data.make_dataset(
        np.eye(3, dtype=np.float32), [0, 1, 2], class_names=["ape", "bee", "cow"]
    )
    found = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    order = [2, 0, 1]
    names = np.array(dataset.class_names)[order]
    path = tmp_path / "said.npz"
    np.savez(path, pred_probs=found[:, order], class_names=names)
    np.testing.assert_allclose(read_probabilities(str(path), dataset), found)
    np.savez(path, pred_probs=found, class_names=np.array(["ape", "bee", "zebra"]))
    with pytest.raises(ValueError, match="has columns for the classes ape, bee, zebra"):
        read_probabilities(str(path), dataset)
