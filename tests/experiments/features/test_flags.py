"""What the study of features refuses before it trains, and its presets."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from experiments.studies.features import setup
from experiments.studies.features.presets import PRESETS, TASK_PRESETS, resolve
from tests.experiments.features.feature_runs import composed, run


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
        ({"ood": ("photographs",)}, "photographs: got '' with ood=photographs and "),
        ({"photographs": "x"}, "photographs: got 'x' with ood=.*, expected nothing"),
        (
            {"ood": ("photographs",), "photographs": "/no/such/folder"},
            "photographs: '/no/such/folder' is not a folder",
        ),
        ({"ood": ("mnits",)}, r"ood \(mnits\): tfds knows no 'mnits'"),
        ({"ood_count": 99}, "ood_count: got 99, but .*other.npz give 60 images"),
        (
            {"detection_ood": ("textures",), "ood": ("textures",)},
            "detection_ood: got t",
        ),
        ({"target_classes": ("owl", "elk")}, "target_classes: unknown 'elk'"),
        ({"standard_batch": "double"}, "standard_batch: unknown 'double'"),
        ({"task": "boxes", "box_loss": "l2"}, "box_loss: unknown 'l2'"),
        (
            {"task": "localization", "activation_map": "all"},
            "activation_map: unknown 'all'",
        ),
        # What would change nothing.
        ({"box_loss": "l1"}, "box_loss: got l1 with task=classification, expected tas"),
        ({"activation_map": "class"}, "activation_map: .*, expected task=localization"),
        (
            {"task": "boxes", "picture_examples": 4},
            "picture_examples: got 4 with task=boxes, expected task=classification",
        ),
        (
            {"train_image_size": 16},
            r"train_image_size: got 16 for inputs of shape \(8, 8, 3\), which keep it",
        ),
        ({"test_count": 10}, "test_count: got 10 with dataset=.*, expected dataset=co"),
        (
            {"digit_scale": (0.5, 0.6)},
            "digit_scale: got 0.5,0.6 with dataset=.*, expected dataset=composed",
        ),
        (
            {"ood": ("textures",), "ood_split": "test"},
            "ood_split: got test with ood=textures, expected a data set among them",
        ),
        (
            {"ood": ("textures",), "ood_test_split": "train"},
            "ood_test_split: got train with ood=textures, expected a data set among",
        ),
        (
            {"ood": ("textures",), "allow_overlap": True},
            "allow_overlap: got True with ood=textures, expected a data set among them",
        ),
        (
            {"methods": ("standard",), "ood_augment": "crop"},
            "ood_augment: got crop with methods=standard, expected oat or taufe too",
        ),
        (
            {"methods": ("standard",), "ood_statistics": False},
            "ood_statistics: got False with methods=standard, expected oat or taufe",
        ),
        (
            {"methods": ("oat", "taufe"), "standard_batch": "full"},
            "standard_batch: got full with methods=oat,taufe, expected standard or jo",
        ),
        # What is measured must not have been trained on.
        (
            {"ood_test_split": "train"},
            "ood_test_split: got train with ood_split=train, expected images that are",
        ),
        (
            {"ood_split": "test[:9]"},
            r"ood_test_split: got test with ood_split=test\[:9\], expected images",
        ),
        ({"batch_size": 15}, "batch_size: got 15, expected a multiple of 16"),
        ({"batch_size": 128}, "batch_size: got 128, .* number of examples, 100"),
        ({"augment": "flip"}, "augment: unknown 'flip'"),
        ({"ood_augment": "flip"}, "ood_augment: unknown 'flip'"),
        ({"network": "resnet19"}, "network: unknown 'resnet19'"),
        ({"epochs": 0}, "epochs: got 0"),
        ({"drop_at": (1.5,)}, "drop_at: got 1.5"),
        ({"optimizer": "adam", "momentum": 0.5}, "momentum: got 0.5 with optim"),
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
