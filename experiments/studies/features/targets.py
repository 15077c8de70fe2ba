"""The data sets of a task, and the OOD images that come with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.studies.features.config import FeatureDebiasingConfig
from experiments.study.flags import errors_name_flags
from robustjax import data
from robustjax.data import Dataset, LocatedDataset
from robustjax.tools.inputs import (
    check_size,
    data_folder,
    load,
    load_splits,
)

OWN_SOURCES = ("held_out", "backgrounds")
"""OOD sources that come with a data set."""


class Target(NamedTuple):
    """What a task trains on and is measured on.

    Attributes:
      train: training examples to draw from.
      test: to measure on.
      train_boxes: (N, 4), or None where the task has no boxes.
      test_boxes: the same of the test examples.
      sources: OOD images that come with the data, (training, test) by name.
    """

    train: Dataset
    test: Dataset
    train_boxes: np.ndarray | None = None
    test_boxes: np.ndarray | None = None
    sources: Mapping[str, tuple[np.ndarray, np.ndarray]] = {}


def load_target(config: FeatureDebiasingConfig) -> Target:
    """Loads (or composes) training and test examples.

    Raises:
      ValueError: a source that cannot be read or has no boxes where they are needed,
        splits that do not fit, or classes that are not there.
    """
    name = config.dataset
    located = LOCATED.get(name)
    if located is None and name.endswith(".npz") and config.task != "classification":
        located = _load_npz
    if located is None:
        if config.task != "classification":
            raise ValueError(
                f"dataset: got {name!r} for task={config.task}, expected one with "
                f"boxes: {', '.join(LOCATED)} or an .npz file of save_located_npz"
            )
        located = _load_images
    elif config.target_classes:
        raise ValueError(
            f"target_classes: got {','.join(config.target_classes)} for dataset="
            f"{name}, expected none: only sets without boxes are divided"
        )
    with errors_name_flags(path="dataset"):
        target = located(config)
    _check(target)
    return target


def _load_images(config: FeatureDebiasingConfig) -> Target:
    """A data set of images without boxes, maybe of some of its classes."""
    train, test = load_splits(
        config.dataset,
        config.train_split,
        config.test_split,
        data_dir=config.data_dir,
        image_size=config.image_size,
    )
    if config.train_image_size and config.train_image_size != config.image_size:
        train = load(
            config.dataset,
            config.train_split,
            data_dir=config.data_dir,
            image_size=config.train_image_size,
        )
        check_size(train.inputs, config.train_image_size, "train_image_size")
    if not config.target_classes:
        return Target(train, test)
    names = train.class_names
    classes = [c if c in names else _index(c) for c in config.target_classes]
    with errors_name_flags(classes="target_classes"):
        (train, others), (test, test_others) = (
            data.held_out_classes(split, classes) for split in (train, test)
        )
    return Target(train, test, sources={"held_out": (others, test_others)})


def _index(name: str) -> int | str:
    return int(name) if name.isdigit() else name


def _sizes(config: FeatureDebiasingConfig) -> tuple[int, int]:
    """Sides of training and of test images."""
    if config.image_size < 1:
        raise ValueError(
            f"image_size: got {config.image_size}, expected the side of the images of "
            f"dataset={config.dataset}"
        )
    return config.train_image_size or config.image_size, config.image_size


def _pair(train: LocatedDataset, test: LocatedDataset, **sources: Any) -> Target:
    return Target(train.dataset, test.dataset, train.boxes, test.boxes, sources)


def _load_composed(config: FeatureDebiasingConfig) -> Target:
    """Digits on backgrounds, whose correlation with the digits is broken at test.

    Training images are made of training splits alone, test images of test splits.
    """
    found = []
    for flag in ("digits", "backgrounds"):
        with errors_name_flags(dataset=flag):
            found.append(
                load_splits(
                    getattr(config, flag),
                    config.train_split,
                    config.test_split,
                    data_dir=config.data_dir,
                    image_size=0,
                )
            )
    digits, backgrounds = found
    with errors_name_flags(ood_names="backgrounds"):
        data.check_no_class_overlap(digits[0].class_names, backgrounds[0].class_names)
    train_size, test_size = _sizes(config)
    if len(config.digit_scale) != 2:
        raise ValueError(f"digit_scale: got {config.digit_scale}, expected two numbers")
    options: dict[str, Any] = {
        "digit_scale": (config.digit_scale[0], config.digit_scale[1]),
        "contrast": config.contrast,
    }
    aside = "backgrounds" in (*config.ood, *config.detection_ood)
    with errors_name_flags(count="train_count", size="train_image_size"):
        train = data.compose_digits(
            digits[0],
            backgrounds[0],
            count=config.train_count,
            size=train_size,
            rng=np.random.default_rng([config.seed, 10]),
            class_correlation=config.class_correlation,
            position_correlation=config.position_correlation,
            ood_count=(config.ood_count or config.train_count) if aside else 0,
            **options,
        )
    with errors_name_flags(
        count="test_count", size="image_size", ood_count="ood_test_count"
    ):
        test = data.compose_digits(
            digits[1],
            backgrounds[1],
            count=config.test_count,
            size=test_size,
            rng=np.random.default_rng([config.seed, 11]),
            class_correlation=1 / digits[1].num_classes,
            ood_count=config.ood_test_count if aside else 0,
            **options,
        )
    sources = {"backgrounds": (train.background_crops, test.background_crops)}
    return _pair(train.located, test.located, **(sources if aside else {}))


def _load_tfds(load: Callable[..., LocatedDataset]) -> Callable[..., Target]:
    """CUB-200 or Cars."""

    def from_config(config: FeatureDebiasingConfig) -> Target:
        folder = data_folder(config.data_dir)
        train, test = (
            load(split, folder, size)
            for split, size in zip(
                (config.train_split, config.test_split), _sizes(config)
            )
        )
        return _pair(train, test)

    return from_config


def _load_npz(config: FeatureDebiasingConfig) -> Target:
    train, test = (
        data.load_located_npz(config.dataset, split)
        for split in (config.train_split, config.test_split)
    )
    check_size(train.dataset.inputs, config.train_image_size, "train_image_size")
    check_size(test.dataset.inputs, config.image_size)
    if train.dataset.class_names != test.dataset.class_names:
        raise ValueError(
            "test_split: its classes differ from those of the training set"
        )
    return _pair(train, test)


LOCATED: dict[str, Callable[[FeatureDebiasingConfig], Target]] = {
    "composed": _load_composed,
    "cub200": _load_tfds(data.load_cub200),
    "cars": _load_tfds(data.load_cars),
}
"""Data sets with boxes, by name."""


def _check(target: Target) -> None:
    """Raises `ValueError` unless both splits are images of one kind."""
    for split in (target.train, target.test):
        if split.inputs.ndim != 4:
            raise ValueError(
                f"dataset: got inputs of shape {split.inputs.shape[1:]} in "
                f"{split.name}, expected images (H, W, C)"
            )
    train, test = target.train.inputs, target.test.inputs
    if train.dtype != test.dtype or train.shape[-1] != test.shape[-1]:
        raise ValueError(
            f"test_split: got images of {test.shape[-1]} channel(s) as "
            f"{test.dtype.name}, expected {train.shape[-1]} as {train.dtype.name}, as "
            "in training"
        )
