"""What verbs say of a data set of one's own, and what they show of it."""

from __future__ import annotations

import html
import subprocess
import sys

import jax
import numpy as np
import pytest

from robustjax import data
from robustjax.tools.inputs import classes_found
from robustjax.tools.options.label import LabelConfig
from robustjax.tools.own_pool import known_labels
from robustjax.training import write_csv
from tests.harness.tool_runs import endings, options_of, run_verb


def test_classes_are_told_and_where_they_count_from():
    def said(names):
        count = len(names)
        found = data.make_dataset(np.zeros((count, 2)), range(count), class_names=names)
        return classes_found(found).partition("classes: ")[2]

    assert said([str(c) for c in range(1, 6)]) == "1 … 5, which count from 1"
    assert said([str(c) for c in range(3)]) == "0 … 2"
    assert said(["1", "3"]) == "1, 3"
    assert said(["owl", "cat"]) == "owl, cat"
    assert said([f"c{i}" for i in range(20)]).endswith("c11, …")


@pytest.fixture
def reviews(tmp_path):
    """A table with labels from 1 to 3, numbers, and what was written."""
    pytest.importorskip("pyarrow")
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    inputs = rng.normal(size=(30, 3)) + 6 * np.eye(3)[labels]
    lines = ["key;label;said;a;b;c"]
    for row, numbers in enumerate(inputs):
        cells = [f"r{row}", str(labels[row] + 1), f'"=sum ""{row}""; or so"']
        lines.append(";".join([*cells, *(f"{x:.3f}" for x in numbers)]))
    (tmp_path / "reviews.csv").write_text("\n".join(lines))
    wrong = np.where(np.arange(30) == 4, (labels + 1) % 3, labels)
    np.save(tmp_path / "p.npy", 0.9 * np.eye(3)[wrong] + 0.1 / 3)
    return tmp_path


def _flags(folder, **more):
    return {
        "dataset": folder / "reviews.csv",
        "id_column": "key",
        "probabilities": folder / "p.npy",
        "out": folder / "issues.csv",
        "audit": 2,
    } | more


def test_a_column_of_the_table_is_shown_and_is_no_input(reviews):
    done = run_verb("find-issues", **_flags(reviews, texts="said"))
    assert done.returncode == 0, done.stderr
    assert "30 examples, 3 classes: 1 … 3, which count from 1" in done.stdout
    page = (reviews / "issues.html").read_text()
    assert '=sum "4"; or so' in html.unescape(page)
    whole = data.load_table(
        reviews / "reviews.csv", id_column="key", text_column="said"
    )
    assert whole.inputs.shape == (30, 3)
    assert data.read_texts(reviews / "reviews.csv", "said")[7] == '=sum "7"; or so'


def test_a_column_that_is_not_there_is_named(reviews):
    runs = [
        _flags(reviews),
        _flags(reviews, texts="heard"),
        _flags(reviews, dataset="digits", id_column=None, texts="said"),
    ]
    without, unknown, elsewhere = endings("find-issues", runs)
    assert without.startswith("feature_columns: 'said' holds string, expected numbers")
    assert unknown.startswith("texts: got 'heard', expected one of 'key', 'label', ")
    assert elsewhere.startswith("texts: cannot read 'said'")


@pytest.mark.slow
def test_a_platform_that_is_not_here_is_one_line(reviews):
    if any(device.platform in ("gpu", "cuda") for device in jax.devices()):
        pytest.skip("CUDA is here")
    # What JAX has found in this process it does not look for again.
    typed = options_of(_flags(reviews, jax_platforms="cuda"))
    done = subprocess.run(
        [sys.executable, "-m", "robustjax", "find-issues", *typed],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(
        "error: --jax-platforms: got cuda, expected a platform of this machine: "
    )
    assert not (reviews / "issues.csv").exists()


def test_two_arrays_are_a_data_set(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    inputs = rng.normal(size=(40, 3)) + 6 * labels[:, None]
    given = np.where(np.arange(40) == 9, 1 - labels, labels)
    np.save(tmp_path / "x.npy", inputs)
    np.save(tmp_path / "y.npy", np.array(["Uhu", "Kauz ü"])[given])
    np.save(tmp_path / "p.npy", 0.9 * np.eye(2)[1 - labels] + 0.05)
    flags = {
        "dataset": tmp_path / "x.npy",
        "labels": tmp_path / "y.npy",
        "probabilities": tmp_path / "p.npy",
        "issues": "labels,unlabeled",
        "out": tmp_path / "issues.csv",
        "audit": 0,
    }
    done = run_verb("find-issues", **flags)
    assert done.returncode == 0, done.stderr
    assert "40 examples, 2 classes: Kauz ü, Uhu" in done.stdout
    rows = data.read_csv(flags["out"], name="issues")
    assert [r["id"] for r in rows if r["is_issue"] == "True"] == ["9"]
    assert (rows[0]["given_label"], rows[0]["suggested_label"]) == ("Uhu", "Kauz ü")
    np.save(tmp_path / "short.npy", np.arange(39))
    np.save(tmp_path / "float.npy", np.ones(40))
    np.save(tmp_path / "objects.npy", np.array([{}] * 40), allow_pickle=True)
    for change, message in (
        ({"labels": None}, "labels: got none, expected an .npy file of labels"),
        ({"labels": tmp_path / "short.npy"}, "labels: got shape (39,), expected (40,)"),
        ({"labels": tmp_path / "float.npy"}, "labels: got float64, expected integers"),
        ({"labels": tmp_path / "objects.npy"}, "labels: cannot read"),
        ({"split": "test"}, "split: got 'test', but"),
        (
            {"image_size": 6},
            "image_size: got 6 for inputs of shape (3,), which keep it",
        ),
        ({"id_column": "key"}, "id_column: got 'key' for"),
        ({"embed_column": "text"}, "embed_column: got 'text' for"),
    ):
        (found,) = endings("find-issues", [flags | change])
        assert found.startswith(message), found
    # A pool alike, and those that are read without their labels.
    np.savez(tmp_path / "pool.npz", inputs=inputs)
    pool = {"classes": "Uhu,Kauz", "folder": tmp_path / "labelling"}
    for source in ("x.npy", "pool.npz"):
        for change, message in (
            ({"id_column": "key"}, "id_column: got 'key' for"),
            ({"label_column": "kind"}, "label_column: got 'kind' for"),
            ({"split": "test"}, ("split: got 'test'", "dataset: '")),
        ):
            asked = pool | change | {"dataset": tmp_path / source}
            (found,) = endings("label", [asked])
            assert found.startswith(message), found
    assert not pool["folder"].exists()


def test_what_is_known_of_a_pool_is_a_class_or_ood(tmp_path):
    """Codes that count from 1 made the last class foreign."""
    ids = np.array(["a", "b", "c"])
    config = LabelConfig(classes=("Uhu", "Kauz"), known=str(tmp_path / "known.csv"))
    for cells, expected in (
        (("Kauz", "ood", ""), [1, 2, -1]),
        (("1.0", "none of them", "0"), [1, 2, 0]),
        (("1", "2", ""), "no class"),
        (("Uhu", "don't know", ""), "expected a class or 'ood'"),
    ):
        rows = [{"id": i, "label": c} for i, c in zip(ids[::-1], cells[::-1])]
        write_csv(tmp_path / "known.csv", rows)
        if isinstance(expected, str):
            with pytest.raises(ValueError, match=expected):
                known_labels(config, np.eye(3), ids)
        else:
            assert known_labels(config, np.eye(3), ids).tolist() == expected


@pytest.mark.slow
def test_texts_are_embedded_and_shown(tmp_path):
    rng = np.random.default_rng(0)
    words = (["owl", "night", "wing", "hoot"], ["train", "rail", "station", "late"])
    lines = ["key,kind,said"]
    for row in range(60):
        of = row % 2
        text = " ".join(rng.choice(words[of], 6))
        kind = ("bird", "travel")[1 - of if row == 7 else of] if row != 9 else ""
        lines.append(f'n{row},{kind},"{text}, {row}"')
    (tmp_path / "texts.csv").write_text("\n".join(lines))
    flags = {
        "dataset": tmp_path / "texts.csv",
        "embed_column": "said",
        "label_column": "kind",
        "id_column": "key",
        "issues": "labels,unlabeled",
        "out": tmp_path / "issues.csv",
        "hidden": "16",
        "epochs": 12,
        "folds": 3,
        "batch_size": 8,
    }
    done = run_verb("find-issues", **flags)
    assert done.returncode == 0, done.stderr
    rows = data.read_csv(flags["out"], name="issues")
    assert (rows[0]["id"], rows[0]["suggested_label"]) == ("n7", "travel")
    assert rows[-1]["id"] == "n9"
    assert ", 7" in (tmp_path / "issues.html").read_text()
    found = data.load_text_table(
        flags["dataset"], "said", label_column="kind", skip_unlabeled=True
    )
    assert found.inputs.shape == (59, 58)
    for change, message in (
        ({"embed_column": "x"}, "embed_column: got 'x', expected one of 'key', 'kind'"),
        ({"embedding": "minilm"}, "embedding_model: got None with embedding=minilm"),
        (
            {"embed_column": None, "embedding_model": "m", "texts": "said"},
            "embedding_model: needs --embed-column",
        ),
        ({"dataset": "digits"}, "embed_column: got 'said' for 'digits', expected it"),
    ):
        (ending,) = endings("find-issues", [flags | change])
        assert ending.startswith(message), ending
