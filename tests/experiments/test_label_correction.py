"""The label-correction study: bad flags, what is measured, and who was asked when."""

from __future__ import annotations

import csv
import json

import numpy as np
import orbax.checkpoint as ocp
import pytest

from experiments.studies.label_correction import report, setup
from experiments.studies.label_correction.study import STUDY
from experiments.study.run import Request, run_study
from experiments.study.table import Table
from robustjax import data
from robustjax.training import StopRequest
from tests.models.published import basic_keys, random_state

SMALL = {
    "dataset": "digits",
    "methods": ("random", "alc"),
    "budget": 20,
    "batch": 10,
    "repeats": 2,
    "hidden": (16, 16, 16),
    "epochs": 2,
    "batch_size": 64,
}


def _run(tmp_path, preset=None, name=None, **given):
    request = Request((), preset, {**SMALL, **given}, run_dir=str(tmp_path), name=name)
    return run_study(STUDY, request, StopRequest())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished small run."""
    return _run(tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "digit"}, "preset: unknown 'digit' .*did you mean 'digits'"),
        ({"methods": ("alc", "magic")}, "methods: unknown 'magic'; known: random, "),
        ({"epochs": 3, "drop_at": (3, 9)}, "drop_at: got 3,9 with epochs=3, expected"),
        ({"epochs": 3, "drop_at": (5,), "drop_factor": 0.5}, "drop_at: got 5 with"),
        ({"epochs": 3, "drop_factor": 0.5}, "drop_factor: got 0.5 with.* drop_at"),
        ({"methods": ()}, "methods: got none"),
        ({"methods": ("alc", "alc")}, "methods: got alc twice, expected each"),
        (
            {"dataset": "mnits"},
            "dataset: tfds knows no 'mnits' .did you mean 'mnist'.*neither 'digits'",
        ),
        (
            {"dataset": "./none.npz"},
            "dataset: cannot read 'none.npz' as .npz: .*No such file",
        ),
        (
            {"train_split": "training"},
            "train_split: got 'training', expected 'train' or 'test'",
        ),
        ({"noise": "uniforme"}, "noise: unknown 'uniforme' .*did you mean 'uniform'"),
        ({"noise_rate": 1.5}, r"noise_rate: got 1.5, expected a number in \[0, 1\]"),
        ({"noise": "file"}, "noisy_labels: got None"),
        ({"noise": "key"}, "label_set: got None"),
        ({"budget": 5000}, "budget: got 5000, expected at most the pool of 1437"),
        ({"batch": 21}, "batch: got 21, expected at most the budget, 20"),
        ({"batch": 0}, "batch: got 0, expected an integer >= 1"),
        ({"repeats": 0}, "repeats: got 0"),
        (
            {"options": ("alc.neighbors=1437",)},
            r"options .alc.neighbors.: got 1437 for 1437 examples",
        ),
        ({"batch_size": 4096}, "batch_size: got 4096, expected at most"),
        (
            {"batch_size": 60},
            "batch_size: got 60, expected a multiple of the 8 devices",
        ),
        (
            {
                "methods": ("random", "o2u_net"),
                "options": ("o2u_net.batch_size=2000",),
            },
            r"options .o2u_net.batch_size.: got 2000, expected at most",
        ),
        (
            {"methods": ("random", "o2u_net"), "noise_rate": 0.0},
            r"^noise_rate: got 0.0, expected a number in \(0, 1\)",
        ),
        *(
            ({"options": (f"alc.{text}",)}, rf"options .alc.{message}")
            for text, message in (
                ("weight_step=2", "weight_step.: got 2.0"),
                ("weight_scale=mean", "weight_scale.: unknown 'mean'"),
                ("diffusion_step_size=2", "diffusion_step_size.: got 2.0"),
                ("diffusion_mode=both", "diffusion_mode.: unknown 'both'"),
                ("loss_pass=none", "loss_pass.: unknown 'none'"),
                ("candidates_per_query=0.5", "candidates_per_query.: got 0.5"),
            )
        ),
        (
            {"options": ("alc.weight_stp=1",)},
            r"options: alc has no 'weight_stp' .did you mean 'weight_step'",
        ),
        ({"options": ("random.x=1",)}, "options: random has no 'x'; it has none"),
        ({"options": ("robust.weight_step=1",)}, "options: unknown 'robust'"),
        ({"features": "resnet34"}, "features: unknown 'resnet34' .*resnet101"),
        ({"features": "resnet18"}, "weights: got None, expected the file of"),
        ({"weights": "a.pth"}, "weights: got a.pth without --features, expected the"),
        ({"noisy_labels": "a.csv"}, "noisy_labels: got a.csv with .*uniform, expected"),
        (
            {"features": "resnet18", "weights": "none.pth"},
            "none.pth",
        ),
        ({"learning_rate": -1.0}, "learning_rate: got -1"),
        *(
            ({"label_costs": text}, f"label_costs: {message}")
            for text, message in (
                ("normal:1", "got 'normal:1', expected a deviation such as"),
                ("lognormal", "got 'lognormal', expected a deviation such as"),
                ("lognormal:1:2", "got .*, expected one deviation"),
                ("lognormal:nan", "got 'lognormal:nan', expected numbers above 0"),
                ("classes:1:0", "got 'classes:1:0', expected numbers above 0"),
                ("classes:1:2", "got 2 costs, expected one for each of 10 classes"),
                ("none.csv", "cannot read 'none.csv'"),
            )
        ),
        ({"cost_blind": ("alc",)}, "cost_blind: got alc without --label_costs"),
        (
            {"cost_blind": ("dalc",), "label_costs": "lognormal:1"},
            "cost_blind: got 'dalc', expected some of random, alc",
        ),
        (
            {"label_costs": "lognormal:1", "budget": 1500},
            "budget: got 1500, expected at most the cost of all examples that a round",
        ),
        (
            {"label_costs": ":".join(["classes", *["11"] * 10])},
            "batch: a round has 10, expected at least the cost of the cheapest",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_flags_are_named_before_any_training(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        _run(tmp_path, **changes)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir()), "a run folder was left behind"


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
        _run(tmp_path, dataset=str(tmp_path / "bad.npz"), batch=1, budget=2)


def _rows(folder, name):
    with open(folder / name, newline="") as file:
        return list(csv.DictReader(file))


def _columns(folder, repeats=2):
    """`examples.csv` as arrays (R, N) of its columns; NaN for empty cells."""
    rows = _rows(folder, "examples.csv")
    return {
        key: np.array([float(row[key] or "nan") for row in rows]).reshape(repeats, -1)
        for key in rows[0]
    }


@pytest.mark.slow
def test_what_is_measured(finished):
    assert finished.name == "digits"
    config = json.loads((finished / "config.json").read_text())["config"]
    assert config["hidden"] == [16, 16, 16]
    assert config["methods"] == ["random", "alc"]
    rows = _rows(finished, "summary.csv")
    assert [(row["method"], row["labels"]) for row in rows] == [
        (method, labels) for method in ("random", "alc") for labels in ("0", "10", "20")
    ]
    for name in ("accuracy.png", "examples.png"):
        assert (finished / name).read_bytes().startswith(b"\x89PNG")
    table = Table.read(finished)
    for method in ("random", "alc"):
        epochs = [r for r in table.records("epoch") if r["method"] == method]
        assert len(epochs) == 3 * 2
        rounds = [r for r in table.records("round") if r["method"] == method]
        assert [r["labels"] for r in rounds] == [0, 10, 20]
        each = [r["accuracy_of_repeats"] for r in rounds]
        labels, values = table.line("accuracy", "labels", method=method)
        np.testing.assert_array_equal(labels, [0, 10, 20])
        np.testing.assert_allclose(values, np.transpose(each), atol=1e-6)
    for row in rows:
        values = table.one(method=row["method"], labels=int(row["labels"])).values
        accuracy = 100 * values["accuracy"]
        assert float(row["accuracy_mean"]) == pytest.approx(accuracy.mean(), abs=1e-4)
        # Whose labels are asked is known from the first batch on.
        assert (row["selection_accuracy_mean"] == "") is (row["labels"] == "0")


def test_what_is_told(finished):
    table = Table.read(finished)
    text = STUDY.report(table)
    accuracy, selection, meaning = text.split("\n\n")
    header = " ".join(accuracy.splitlines()[0].split())
    assert header == "accuracy % at labels 0 10 20"
    # As in Table 1 of Kim (2022), with the mean over batches.
    header, _, *lines = (line.split() for line in selection.splitlines())
    assert " ".join(header) == "noisy % of batch at 10 20 mean"
    means = {}
    for line in lines:
        batches = 100 * table.line("selection_accuracy", "labels", method=line[0])[1]
        means[line[0]] = batches.mean()
        shown = [*batches.mean(axis=0), batches.mean()]
        assert [float(cell) for cell in line[1::2]] == pytest.approx(shown, abs=0.051)
    assert meaning == report.meaning(table)
    assert f"asked for, {means['alc']:.1f} % really were wrong" in meaning
    assert f"(random: {means['random']:.1f} %)" in meaning


def test_a_smaller_last_batch_weighs_less():
    values = np.array([[1.0, 1.0, 0.0], [0.5, np.nan, 1.0], [np.nan] * 3])
    found = report._of_all_queries(np.array([10, 20, 25]), values)
    np.testing.assert_allclose(found, [0.8, 2 / 3, np.nan])


def test_what_is_kept_of_examples(finished):
    plan = STUDY.plan(Request((), None, SMALL))
    study = setup.prepare(plan.settings.config)
    found = _columns(finished)
    np.testing.assert_array_equal(found["repeat"][:, 0], [0, 1])
    np.testing.assert_array_equal(found["given"], study.task.labels)
    for repeat in range(2):
        np.testing.assert_array_equal(found["id"][repeat], study.train.ids)
        np.testing.assert_array_equal(found["true"][repeat], study.train.labels)
    table = Table.read(finished)
    for method in ("random", "alc"):
        path = finished / method / "checkpoints" / "2" / "state"
        with ocp.StandardCheckpointer() as checkpointer:
            picks = checkpointer.restore(path)["picks"]
        assert picks.shape == (2, 20)
        asked = found[f"{method}.asked"]
        order = np.argsort(asked, axis=1)[:, :20]
        np.testing.assert_array_equal(order, picks)
        values = np.take_along_axis(asked, picks, axis=1)
        np.testing.assert_array_equal(values, np.stack([np.arange(20)] * 2))
        # The others were not asked, and only who was asked has another label.
        assert np.isfinite(asked).sum() == 2 * 20
        current = np.where(np.isfinite(asked), found["true"], found["given"])
        np.testing.assert_array_equal(found[f"{method}.current"], current)
        wrong = found["given"] != found["true"]
        shares = [
            [wrong[r, batch].mean() for batch in np.split(picks[r], 2)] for r in (0, 1)
        ]
        _, selection = table.line("selection_accuracy", "labels", method=method)
        np.testing.assert_allclose(selection, shares)
    assert "random.weight" not in found, "all examples weigh the same"
    weight = found["alc.weight"]
    assert (weight >= 0).all()
    np.testing.assert_allclose(weight.mean(axis=1), 1, atol=1e-4)
    # Wrong labels are given less weight.
    wrong = found["alc.current"] != found["true"]
    assert weight[wrong].mean() < weight[~wrong].mean()


@pytest.mark.slow
def test_what_is_measured_against_what_was_spent(tmp_path):
    folder = _run(
        tmp_path,
        name="costs",
        methods=("entropy", "blind=entropy"),
        label_costs="lognormal:1",
        cost_blind=("blind",),
    )
    rows = _rows(folder, "summary.csv")
    assert [(row["method"], row["budget"]) for row in rows] == [
        (method, budget)
        for method in ("entropy", "blind")
        for budget in ("0", "10", "20")
    ]
    found = _columns(folder)
    cost = found["cost"]
    np.testing.assert_allclose(cost.mean(axis=1), 1, rtol=1e-5)
    assert abs(np.log(cost).std() - 1) < 0.1
    assert not np.array_equal(*cost)
    wrong = found["given"] != found["true"]
    table = Table.read(folder)
    for method in ("entropy", "blind"):
        order = found[f"{method}.asked"]
        asked = np.isfinite(order)
        last = table.one(method=method, budget=20).values
        np.testing.assert_allclose(last["asked"], asked.sum(axis=1))
        spent = np.where(asked, cost, 0).sum(axis=1)
        np.testing.assert_allclose(last["spent"], spent, rtol=1e-5)
        first = table.one(method=method, budget=10).values
        assert (first["spent"] <= 10).all()
        assert (spent <= 20).all()
        assert (spent > 19).all()
        for repeat in range(2):
            # What was asked is numbered from 0, and its first batch is the first.
            count = int(first["asked"][repeat])
            numbers = np.sort(order[repeat][asked[repeat]])
            np.testing.assert_array_equal(numbers, np.arange(asked[repeat].sum()))
            batch = order[repeat] < count
            share = wrong[repeat][batch].mean()
            assert first["selection_accuracy"][repeat] == pytest.approx(share)
            paid = cost[repeat][batch].sum()
            assert paid == pytest.approx(first["spent"][repeat], rel=1e-5)
    counts = [
        table.one(method=m, budget=20).values["asked"] for m in ("entropy", "blind")
    ]
    assert (counts[0] > counts[1]).all()
    text = STUDY.report(table)
    assert "accuracy % at budget" in text
    assert "spent at" in text


@pytest.mark.slow
def test_costs_of_classes_go_by_the_given_label(tmp_path):
    costs = ":".join(["classes", *"1111144444"])
    folder = _run(tmp_path, methods=("random",), label_costs=costs, epochs=1)
    found = _columns(folder)
    np.testing.assert_array_equal(found["cost"], np.where(found["given"] < 5, 1, 4))


@pytest.mark.slow
def test_labels_from_a_file_join_by_id(tmp_path):
    train = data.load("digits", "train")
    rng = np.random.default_rng(0)
    noisy = rng.integers(0, 10, len(train))
    order = rng.permutation(len(train))
    lines = [f"{train.ids[i]},{noisy[i]},{train.labels[i]}" for i in order]
    path = tmp_path / "noisy.csv"
    path.write_text("\n".join(["id,label,clean_label", *lines]))
    flags = {"noise": "file", "noisy_labels": str(path), "methods": ("random",)}
    folder = _run(tmp_path, **flags, repeats=1, batch=20, epochs=1)
    assert folder.name == "digits-file"
    found = _columns(folder, repeats=1)
    np.testing.assert_array_equal(found["given"][0], noisy)
    asked = np.isfinite(found["random.asked"][0])
    (share,) = Table.read(folder).one(labels=20).values["selection_accuracy"]
    assert share == pytest.approx((noisy != train.labels)[asked].mean())

    wrong = [f"{train.ids[i]},{noisy[i]},{(train.labels[i] + 1) % 10}" for i in order]
    path.write_text("\n".join(["id,label,clean_label", *wrong]))
    with pytest.raises(ValueError, match="1437 of 1437 clean labels disagree"):
        _run(tmp_path, **flags, name="other")


@pytest.mark.slow
def test_features_of_a_frozen_network_are_extracted_once(tmp_path, capsys):
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 60), ("test", 20)):
        labels = np.arange(count) % 2
        bright = 100 * labels[:, None, None, None]
        images = rng.integers(0, 128, (count, 16, 16, 1)) + bright
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
        "methods": ("random",),
    }
    folder = _run(tmp_path, name="images", **flags)
    blocks = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.npy")}
    assert len(blocks) == 2
    assert "60/60" in capsys.readouterr().err
    _run(tmp_path, name="images", **flags)
    assert blocks == {p: p.stat().st_mtime_ns for p in blocks}
    # Dark against bright images: even random features tell them apart.
    assert Table.read(folder).one(labels=20).values["accuracy"].mean() > 0.8
