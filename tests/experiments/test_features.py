"""The study of features: bad flags, measures, draws, and what it leaves behind."""

from __future__ import annotations

import csv
import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.studies.features import setup
from experiments.studies.features.classification import DETECTION_SCORES
from experiments.studies.features.config import FeatureDebiasingConfig
from experiments.studies.features.observation import Observer
from experiments.studies.features.options import published
from experiments.studies.features.presets import PRESETS, TASK_PRESETS, resolve
from experiments.studies.features.programs import build_network, make_loss
from experiments.studies.features.report import MEASURES, meaning
from experiments.studies.features.roles import draw_roles
from experiments.studies.features.runner import make_measure
from experiments.studies.features.study import STUDY
from experiments.studies.features.targets import load_target
from experiments.study.journal import Journal
from experiments.study.run import Request, run_study
from experiments.study.run_folder import open_run_folder
from experiments.study.table import Table
from robustjax import data, losses, scores
from robustjax.methods.features import OOD, TARGET, UNUSED
from robustjax.training import StopRequest, init_variables

RUN = {
    "epochs": 2,
    "repeats": 2,
    "parallel_repeats": 2,
    "batch_size": 16,
    "num_examples": (16, 24),
    "watch_every_epochs": 1,
    "checkpoint_every_epochs": 1,
    "ood_count": 40,
    "ood_test_count": 12,
    "hidden": (8,),
}
MLP = {**RUN, "network": "mlp"}
CNN = {**RUN, "network": "small_cnn", "channels": (4, 6), "hidden": ()}


def images(count, classes, size, channels, seed):
    """Noise with a bright row whose place is the class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    pixels = rng.integers(0, 80, (count, size, size, channels), np.uint8)
    pixels[np.arange(count), 2 * labels] += 150
    return pixels, labels


def save_images(path, names, *, size=8, channels=3, count=60, seed=0):
    splits = {}
    for number, split in enumerate(("train", "test")):
        pixels, labels = images(count, len(names), size, channels, seed + number)
        splits[split] = data.make_dataset(pixels, labels, class_names=names)
    data.save_npz(path, **splits)
    return str(path)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Small data sets as .npz files, by name."""
    folder = tmp_path_factory.mktemp("sets")
    digits = {}
    for number, split in enumerate(("train", "test")):
        labels = np.arange(40) % 4
        bars = np.zeros((40, 12, 12, 1), np.uint8)
        for image, label in zip(bars, labels):
            image[3:9, 2 + number : 4 + number + label] = 255
        digits[split] = data.make_dataset(bars, labels)
    data.save_npz(folder / "digits.npz", **digits)
    return {
        "target": save_images(folder / "target.npz", ["owl", "ship", "frog"]),
        "other": save_images(
            folder / "other.npz", ["sand", "grass"], size=10, channels=1, seed=5
        ),
        "rocks": save_images(folder / "rocks.npz", ["flint", "slate"], seed=7),
        "ships": save_images(folder / "ships.npz", ["boat", "cloud"], seed=9),
        "digits": str(folder / "digits.npz"),
        "backgrounds": save_images(
            folder / "backgrounds.npz", ["a1x", "b1x", "c1x", "d1x"], count=200, seed=3
        ),
    }


def run(tmp_path, sets, methods=(), name="run", **given):
    fields = {"dataset": sets["target"], "ood": (sets["other"],), **MLP, **given}
    request = Request(methods, None, fields, run_dir=str(tmp_path), name=name)
    return run_study(STUDY, request, StopRequest())


def composed(sets, task, **given):
    return {
        **CNN,
        "task": task,
        "dataset": "composed",
        "digits": sets["digits"],
        "backgrounds": sets["backgrounds"],
        "image_size": 12,
        "train_count": 48,
        "test_count": 20,
        "ood": ("backgrounds",),
        "num_examples": (16,),
        "options": published("taufe", "boxes"),
        **given,
    }


def read_rows(path):
    with open(path) as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, sets):
    """The folder of a finished comparison of all methods in classification."""
    return run(
        tmp_path_factory.mktemp("runs"),
        sets,
        detection_ood=("textures", sets["rocks"]),
        picture_examples=24,
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task": "clasification"}, "task: unknown 'clasification' .*classification"),
        ({"methods": ("oat", "taufee")}, "methods: unknown 'taufee' .*mean 'taufe'"),
        ({"methods": ("oat", "oat")}, "methods: got oat twice, expected each"),
        (
            {"task": "boxes", "methods": ("standard", "oat")},
            "methods: got oat with task=boxes, .*OAT acts on the softmax",
        ),
        (
            {"task": "boxes", "dataset": "mnist"},
            "dataset: got 'mnist' for task=boxes, expected one with boxes: composed",
        ),
        ({"task": "boxes"}, "dataset: '.*target.npz' lacks train_boxes"),
        *(
            ({"options": (text,)}, f"options .*{message}")
            for text, message in (
                ("taufe.weight=-1", r".taufe.weight.: got -1.0, expected a number in"),
                ("oat.weight=-1", r".oat.weight.: got -1.0, expected a number in"),
                ("taufe.tensor=feature_map", ".taufe.tensor.: .* for mlp, which has"),
            )
        ),
        (
            {"options": ("taufe.tensor=map",)},
            "options: got 'taufe.tensor=map', expected features or feature_map",
        ),
        ({"options": ("taufe.reduction=max",)}, "expected mean or sum for reduction"),
        ({"options": ("taufe.wait=1",)}, "taufe has no 'wait' .did you mean 'weight'"),
        (
            {"methods": ("standard", "oat"), "options": ("taufe.weight=1",)},
            "options: unknown 'taufe'; known: standard, oat",
        ),
        ({"num_examples": ()}, "num_examples: got none"),
        ({"num_examples": (16, 16)}, "num_examples: got 16,16, expected each"),
        ({"num_examples": (-1,)}, "num_examples: got -1"),
        ({"num_examples": (61,)}, "num_examples: got 61, expected at most the 60 of "),
        ({"num_examples": (50,)}, "num_examples: got 50, .* the 40 OOD images .*other"),
        ({"ood": ()}, "ood: got none, expected at least one source"),
        ({"ood": ("textures", "textures")}, "ood: got textures,textures, expected"),
        ({"ood": ("held_out",)}, "ood: got held_out without --target_classes"),
        ({"ood": ("backgrounds",)}, "ood: got backgrounds with dataset="),
        ({"ood": ("mnits",)}, r"ood \(mnits\): tfds knows no 'mnits'"),
        ({"ood_count": 99}, "ood_count: got 99, but .*other.npz give 60 images"),
        (
            {"detection_ood": ("textures",), "ood": ("textures",)},
            "detection_ood: got t",
        ),
        ({"target_classes": ("owl", "elk")}, "target_classes: unknown 'elk'"),
        ({"standard_batch": "double"}, "standard_batch: unknown 'double'"),
        ({"box_loss": "l2"}, "box_loss: unknown 'l2'"),
        ({"activation_map": "all"}, "activation_map: unknown 'all'"),
        ({"batch_size": 15}, "batch_size: got 15, expected a multiple of 16"),
        ({"batch_size": 128}, "batch_size: got 128, .* number of examples, 100"),
        ({"augment": "flip"}, "augment: unknown 'flip'"),
        ({"ood_augment": "flip"}, "ood_augment: unknown 'flip'"),
        ({"network": "resnet19"}, "network: unknown 'resnet19'"),
        ({"epochs": 0}, "epochs: got 0"),
        ({"drop_at": (1.5,)}, "drop_at: got 1.5"),
        ({"learning_rate": 0.0}, "learning_rate: got 0.0"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_flags_are_named_before_any_training(tmp_path, sets, given, message):
    with pytest.raises(ValueError, match=message) as caught:
        run(tmp_path, sets, **given)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir()), "a run folder was left behind"


def test_bad_flags_of_tasks_with_boxes(tmp_path, sets):
    for given, message in (
        ({"augment": "crop_flip", "task": "boxes"}, "augment: got 'crop_flip' with ta"),
        ({"network": "mlp"}, "network: got 'mlp' with task=localization, expected one"),
        ({"pooling": "flatten"}, "activation_map: got class with pooling=flatten"),
        ({"image_size": 0}, "image_size: got 0, expected the side"),
        ({"train_image_size": 16}, r"augment: got 'none' for training images of \(16,"),
        (
            {"train_image_size": 10, "augment": "window"},
            r"train_image_size: got training images of \(10, 10\), expected at least",
        ),
        ({"class_correlation": 2.0}, "class_correlation: got 2.0"),
        ({"target_classes": ("0", "1")}, "target_classes: got 0,1 for dataset=compo"),
        ({"detection_ood": ("textures",)}, "detection_ood: .*expected task=classifi"),
        ({"test_count": 3}, "test_count: got 3"),
        ({"digit_scale": (0.5,)}, "digit_scale: got"),
        ({"batch_size": 16, "channels": (4,) * 9, "downsampling": "max_pool"}, ": got"),
    ):
        with pytest.raises(ValueError, match=message):
            run(tmp_path, sets, **composed(sets, "localization") | given)
    assert not list(tmp_path.iterdir())


def test_ood_sets_must_fit_the_target(tmp_path, sets):
    for name, message in (
        ("ships", r"ood \(.*ships.npz, --allow_overlap\): classes overlap .*'ship' ~"),
        ("empty", r"ood \(.*empty.npz\): got no labels, expected at least one"),
        ("floats", r"ood \(.*floats.npz\): got float32, expected the target's uint8"),
        (
            "vectors",
            r"ood \(.*vectors.npz\): got shape \(4, 3\), expected \(N, H, W, C",
        ),
    ):
        path = pathlib.Path(sets.get(name, tmp_path / f"{name}.npz"))
        arrays = {
            "empty": np.zeros((0, 8, 8, 3), np.uint8),
            "floats": np.zeros((4, 8, 8, 3), np.float32),
            "vectors": np.zeros((4, 3), np.uint8),
        }
        if name in arrays:
            labels = np.zeros(len(arrays[name]), np.int32)
            np.savez(path, train_inputs=arrays[name], train_labels=labels)
        with pytest.raises(ValueError, match=message):
            run(tmp_path / "runs", sets, ood=(str(path),), ood_count=4)
    assert not (tmp_path / "runs").exists()


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


def test_localization(tmp_path, sets):
    given = composed(sets, "localization", standard_batch="half", num_examples=(0,))
    folder = run(tmp_path, sets, methods=("standard", "taufe"), **given)
    rows = read_rows(folder / "summary.csv")
    assert [row["num_examples"] for row in rows] == ["48", "48"]
    for row in rows:
        best, fixed = row["max_box_accuracy_mean"], row["fixed_box_accuracy_mean"]
        assert 0 <= float(fixed) <= float(best) <= 100
        assert row["test_accuracy_mean"]


def study_of(sets, **given):
    study = setup.prepare(
        FeatureDebiasingConfig(
            **{"dataset": sets["target"], "ood": (sets["other"],), **CNN, **given}
        )
    )
    network = build_network(study)
    sample = network.preprocess(jnp.asarray(study.target.test.inputs[:1]))
    params, model_state = init_variables(network.model, jax.random.key(1), sample)
    return study, network, params, model_state


def applied(network, params, inputs, method):
    inputs = network.preprocess(jnp.asarray(inputs))
    return network.model.apply({"params": params}, inputs, method=method)


def test_measures_of_classification(sets):
    study, network, params, state = study_of(sets, detection_ood=("textures",))
    found = make_measure(study, network)(params, state)
    test, ood = study.target.test, study.ood.test
    logits = applied(network, params, test.inputs, "__call__")
    features = applied(network, params, test.inputs, "features")
    outside = applied(network, params, ood, "features")
    right = np.argmax(logits, axis=1) == test.labels
    assert found["test_accuracy"] == right.mean()
    np.testing.assert_allclose(
        [found["test_norm"], found["heldout_ood_norm"]],
        [scores.mean_activation_norm(features), scores.mean_activation_norm(outside)],
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        found["heldout_ood_square"], np.mean(np.sum(outside**2, axis=1)), rtol=1e-5
    )
    unit = np.array(features) / np.linalg.norm(features, axis=1, keepdims=True)
    differ = test.labels[:, None] != test.labels[None]
    np.testing.assert_allclose(
        found["class_cosine"], (unit @ unit.T)[differ].mean(), rtol=1e-5
    )
    unknown = applied(network, params, study.ood.detection, "__call__")
    want = scores.ood_detection_metrics(
        scores.energy_uncertainty(logits), scores.energy_uncertainty(unknown)
    )
    assert found["energy_auroc"] == pytest.approx(want.auroc, abs=1e-4)


def test_measures_of_boxes_and_localization(sets):
    given = composed(sets, "boxes")
    study, network, params, state = study_of(sets, **given)
    found = make_measure(study, network)(params, state)
    boxes = applied(network, params, study.target.test.inputs, "__call__")
    overlap = losses.box_iou(boxes, jnp.asarray(study.target.test_boxes))
    assert found["test_iou"] == pytest.approx(float(overlap.mean()), rel=1e-5)

    for kind in ("class", "agnostic"):
        given = composed(sets, "localization", activation_map=kind)
        study, network, params, state = study_of(sets, **given)
        found = make_measure(study, network)(params, state)
        test = study.target.test
        feature_map = applied(network, params, test.inputs, "feature_map")
        maps = scores.activation_map(feature_map)
        if kind == "class":
            kernel = params["head"]["kernel"]
            maps = scores.class_activation_map(feature_map, kernel, test.labels)
        maps = scores.normalize_map(scores.resize_map(maps, 12))
        boxes = jnp.asarray(study.target.test_boxes)
        want = scores.max_box_accuracy(maps, boxes)
        assert found["max_box_accuracy"] == want.best
        assert found["fixed_box_accuracy"] == want.fixed


def test_an_observer_goes_over_chunks(monkeypatch, sets):
    _, network, params, state = study_of(sets)
    pixels = images(13, 3, 8, 3, seed=2)[0]
    labels = np.arange(13)

    def look(params, found, labels):
        return {"outputs": found["outputs"], "labels": labels}

    whole = Observer(network.model, network.preprocess, look)
    expected = whole(params, state, pixels, labels)
    monkeypatch.setattr("experiments.studies.features.observation.CHUNK", 5)
    chunked = Observer(network.model, network.preprocess, look)
    found = chunked(params, state, pixels, labels)
    np.testing.assert_array_equal(found["labels"], labels)
    np.testing.assert_allclose(found["outputs"], expected["outputs"], rtol=1e-4)


def test_roles_are_nested_and_drawn_anew_for_every_repeat():
    labels = np.repeat([0, 1, 2], [10, 20, 30])
    roles = draw_roles(labels, 25, (12, 30), repeats=3, seed=0, stratified=False)
    for count, rows in roles.items():
        assert rows.shape == (3, 85)
        assert ((rows[:, :60] == TARGET).sum(axis=1) == count).all()
        assert ((rows[:, 60:] == OOD).sum(axis=1) == min(count, 25)).all()
        assert not (rows[:, :60] == OOD).any()
        assert not (rows[:, 60:] == TARGET).any()
    few, many = roles[12], roles[30]
    assert (many[few != UNUSED] == few[few != UNUSED]).all()
    assert (few[0] != few[1]).any()
    again = draw_roles(labels, 25, (12,), repeats=3, seed=0, stratified=False)
    np.testing.assert_array_equal(again[12], few)


def test_stratified_roles():
    labels = np.repeat([0, 1, 2], [10, 20, 30])
    roles = draw_roles(labels, 25, (12, 29), repeats=2, seed=0, stratified=True)
    for rows in roles[12]:
        assert np.bincount(labels[rows[:60] == TARGET]).tolist() == [4, 4, 4]
    for rows in roles[29]:
        assert sorted(np.bincount(labels[rows[:60] == TARGET])) == [9, 10, 10]
    with pytest.raises(ValueError, match="stratified: got 31 examples over 3 classes"):
        draw_roles(labels, 25, (31,), repeats=1, seed=0, stratified=True)


def test_held_out_classes_are_the_ood_images(sets):
    study, *_ = study_of(
        sets,
        target_classes=("owl", "2"),
        ood=("held_out",),
        ood_count=0,
        ood_test_count=50,
        num_examples=(16,),
    )
    assert study.target.train.class_names == ("owl", "frog")
    whole = data.load(sets["target"], "train")
    held_out = whole.inputs[whole.labels == 1]
    assert len(study.ood.train) == len(held_out) == 20
    rows = {image.tobytes() for image in study.ood.train}
    assert rows == {image.tobytes() for image in held_out}
    test_rows = {image.tobytes() for image in study.ood.test}
    assert len(test_rows) == 20
    assert not rows & test_rows


def test_composed_sets_share_nothing_and_break_the_correlation(sets):
    config = FeatureDebiasingConfig(
        **composed(sets, "boxes", position_correlation=1.0, ood_count=30)
    )
    target = load_target(config)
    train, test = target.sources["backgrounds"]
    assert len(train) == 30
    assert len(test) == config.ood_test_count
    assert target.test.inputs.shape == (20, 12, 12, 3)
    assert not np.array_equal(target.train.inputs[:20], target.test.inputs)


def test_taufe_and_oat_settings(sets):
    config = FeatureDebiasingConfig(
        options=(
            *published("taufe", "boxes"),
            "taufe.weight=0.5",
            "taufe.reduction=sum",
            "oat.weight=2",
        )
    )
    extra = {
        "logits": jnp.zeros((1, 2)),
        "ood_feature_map": jnp.ones((1, 2, 2, 3)),
        "ood_logits": jnp.zeros((1, 2)),
    }
    from robustjax import transforms

    batch = {
        "label": jnp.zeros(1, jnp.int32),
        "mask": jnp.ones(1, bool),
        "index": jnp.zeros(1, jnp.int32),
    }
    for method, want in (("taufe", 0.5 * 12), ("oat", 2 * np.log(2)), ("standard", 0)):
        loss = make_loss(method, config)
        state = loss.init(transforms.ExampleSpec(1, 2))
        terms, _ = loss.update(transforms.start(batch), state, batch, **extra)
        value = transforms.reduce(terms) - np.log(2)
        np.testing.assert_allclose(value, want, rtol=1e-5, atol=1e-6)


def test_presets():
    for name in PRESETS:
        found, config, _ = resolve(name, {})
        assert found == name
        setup.check(config)
        assert config.task in TASK_PRESETS
    assert resolve(None, {"task": "boxes"})[0] == "composed_boxes"
    assert resolve(None, {"dataset": "cifar10"})[0] == "cifar10"
    assert resolve(None, {"dataset": "mnist"})[0] is None
    assert resolve("cub200", {"task": "localization"})[1].task == "localization"
    with pytest.raises(
        ValueError, match="preset: unknown 'cub' .*did you mean 'cub200'"
    ):
        resolve("cub", {})


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
