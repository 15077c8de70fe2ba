"""From the flags of a feature-debiasing study to its data and draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from experiments.studies.features import augmentations, combinations
from experiments.studies.features.config import FeatureDebiasingConfig
from experiments.studies.features.ood_sources import (
    OodImages,
    check_sources,
    load_ood,
)
from experiments.studies.features.options import check_parts
from experiments.studies.features.roles import draw_roles
from experiments.studies.features.targets import Target, load_target
from robustjax import checks
from robustjax.tools.optimizer import OptimizerOptions
from robustjax.transforms import BOX_LOSSES


class Data(NamedTuple):
    """What all methods of a study share.

    Attributes:
      config: the flags.
      target: training and test examples of the task.
      ood: OOD images.
      pool: (P, H, W, C) training images to draw from, then OOD images.
      labels: (P,) int32; 0 for OOD images, which nothing looks at.
      boxes: (P, 4) float32 alike, or None where boxes are not trained on.
      roles: N -> (R, P), see `draw_roles`; in the order of the flag.
      repeat_keys: (R,) PRNG keys, the same for all methods.
    """

    config: FeatureDebiasingConfig
    target: Target
    ood: OodImages
    pool: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray | None
    roles: Mapping[int, np.ndarray]
    repeat_keys: jax.Array

    @property
    def ids(self) -> np.ndarray:
        """(P,) texts that name the images of the pool."""
        outside = [f"ood-{number}" for number in range(len(self.ood.train))]
        return np.concatenate([self.target.train.ids.astype(str), outside])

    @property
    def data(self) -> dict[str, np.ndarray | None]:
        """Everything that the results depend on."""
        return {
            "training and OOD images": self.pool,
            "training labels": self.labels,
            "training boxes": self.boxes,
            "test images": self.target.test.inputs,
            "test labels": self.target.test.labels,
            "test boxes": self.target.test_boxes,
            "held-out OOD images": self.ood.test,
            "OOD images to detect": self.ood.detection,
        }

    @property
    def title(self) -> str:
        """For people and plots."""
        config = self.config
        how = f" by {config.box_loss}" if config.task == "boxes" else ""
        if config.training != "plain":
            how = f" ({config.training})"
        return (
            f"{config.task}{how} on {self.target.train.name}, OOD from "
            f"{', '.join(config.ood)}, {config.repeats} repeat(s)"
        )


def check(config: FeatureDebiasingConfig) -> None:
    """Raises `ValueError` for a bad flag, before any data is loaded."""
    for name in ("repeats", "epochs", "watch_every_epochs", "ood_test_count"):
        checks.at_least(name, getattr(config, name), 1)
    for name in (
        "parallel_repeats",
        "checkpoint_every_epochs",
        "picture_examples",
        "ood_count",
        "image_size",
        "train_image_size",
    ):
        checks.at_least(name, getattr(config, name), 0)
    devices = jax.device_count()
    if config.batch_size < 2 or config.batch_size % (2 * devices):
        wanted = "an even number" if devices == 1 else f"a multiple of {2 * devices}"
        raise ValueError(
            f"batch_size: got {config.batch_size}, expected {wanted}, since halves "
            f"are divided among {devices} device(s)"
        )
    _check_counts(config.num_examples)
    checks.one_of("standard_batch", config.standard_batch, ("full", "half"))
    checks.one_of("box_loss", config.box_loss, BOX_LOSSES)
    checks.one_of("activation_map", config.activation_map, ("class", "agnostic"))
    checks.in_range("box_scale", config.box_scale, 0)
    combinations.check(config)
    check_parts(config)
    augmentations.check(
        config.augment, config.ood_augment, boxes=config.task == "boxes"
    )
    optimizer_options(config).check()
    check_sources(config)


def _check_counts(counts: tuple[int, ...]) -> None:
    if not counts:
        raise ValueError("num_examples: got none, expected at least one number")
    for count in counts:
        checks.at_least("num_examples", count, 0)
    if len(set(counts)) < len(counts):
        shown = ",".join(map(str, counts))
        raise ValueError(f"num_examples: got {shown}, expected each number once")


def optimizer_options(config: FeatureDebiasingConfig) -> OptimizerOptions:
    """The optimiser's part of the flags."""
    return OptimizerOptions.of(config)


def prepare(config: FeatureDebiasingConfig) -> Data:
    """Loads the data and draws every repeat's examples.

    Raises:
      ValueError: a bad flag, before anything is trained.
    """
    check(config)
    target = load_target(config)
    ood = load_ood(config, target)
    num_targets, num_ood = len(target.train), len(ood.train)
    counts = []
    for count in config.num_examples:
        if count > num_targets:
            raise ValueError(
                f"num_examples: got {count}, expected at most the {num_targets} of "
                f"{target.train.name}"
            )
        # MixMatch draws from all OOD images, however few.
        if count > num_ood and config.training != "mix_match":
            raise ValueError(
                f"num_examples: got {count}, expected at most the {num_ood} OOD images "
                f"of {','.join(config.ood)} (see --ood_count)"
            )
        counts.append(count or num_targets)
    _check_counts(tuple(counts))
    boxes = None
    if config.task == "boxes":
        assert target.train_boxes is not None
        boxes = np.concatenate([target.train_boxes, np.zeros((num_ood, 4), np.float32)])
    return Data(
        config=config,
        target=target,
        ood=ood,
        pool=np.concatenate([target.train.inputs, ood.train]),
        labels=np.concatenate([target.train.labels, np.zeros(num_ood, np.int32)]),
        boxes=boxes,
        roles=draw_roles(
            target.train.labels,
            num_ood,
            counts,
            repeats=config.repeats,
            seed=config.seed,
            stratified=config.stratified,
        ),
        repeat_keys=jax.random.split(jax.random.key(config.seed), config.repeats),
    )
