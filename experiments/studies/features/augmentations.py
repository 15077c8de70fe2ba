"""Augmentations of target and OOD images by name."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from robustjax import checks, data
from robustjax.methods.features import AugmentLocated
from robustjax.tools.augmentations import WEAK_AUGMENTATIONS, weak_augmentation
from robustjax.training import Augment

AUGMENTATIONS = ("none", "crop", "crop_flip", "resized_crop", "window")
_CUTTING = ("resized_crop", "window")
_WITH_BOXES = ("none", "window")


class Augmentations(NamedTuple):
    """What `methods.feature_debiasing` takes.

    Attributes:
      target: of images without boxes.
      located: of images with their boxes.
      ood: of OOD images.
    """

    target: Augment | None
    located: AugmentLocated | None
    ood: Augment | None


def check(augment: str, ood_augment: str, *, boxes: bool) -> None:
    """Raises `ValueError` for an unknown name or one that would not move boxes."""
    checks.one_of("augment", augment, AUGMENTATIONS)
    checks.one_of("ood_augment", ood_augment, ("same", *AUGMENTATIONS))
    if boxes and augment not in _WITH_BOXES:
        raise ValueError(
            f"augment: got {augment!r} with task=boxes, expected one that moves boxes "
            f"along: {', '.join(_WITH_BOXES)}"
        )


def make_augmentations(
    augment: str,
    ood_augment: str,
    *,
    boxes: bool,
    train_size: tuple[int, int],
    size: tuple[int, int],
) -> Augmentations:
    """From names to functions.

    Args:
      augment: one of `AUGMENTATIONS`.
      ood_augment: the same, or "same".
      boxes: whether the target images have boxes that are trained on.
      train_size: (height, width) of training images.
      size: of test images, and of all that enter the network.

    Raises:
      ValueError: an unknown name, or sizes that differ without an augmentation that
        cuts.
    """
    check(augment, ood_augment, boxes=boxes)
    ood_augment = augment if ood_augment == "same" else ood_augment
    if train_size[0] < size[0] or train_size[1] < size[1]:
        raise ValueError(
            f"train_image_size: got training images of {train_size}, expected at least "
            f"the size of test images, {size}"
        )
    for flag, name in (("augment", augment), ("ood_augment", ood_augment)):
        if train_size != size and name not in _CUTTING:
            raise ValueError(
                f"{flag}: got {name!r} for training images of {train_size} and test "
                f"images of {size}, expected one that cuts: {', '.join(_CUTTING)}"
            )
    located = None
    if boxes and augment == "window":
        located = functools.partial(data.random_crop_with_box, size=size)
    return Augmentations(
        None if boxes else _images(augment, size),
        located,
        _images(ood_augment, size),
    )


def _images(name: str, size: tuple[int, int]) -> Augment | None:
    """The augmentation of images alone."""
    if name in WEAK_AUGMENTATIONS:
        return weak_augmentation(name)
    if name == "resized_crop":
        crop = functools.partial(data.random_resized_crop, size=size)
        return data.compose(crop, data.random_flip)

    def window(key: jax.Array, images: jax.Array) -> jax.Array:
        boxes = jnp.zeros((images.shape[0], 4))
        return data.random_crop_with_box(key, images, boxes, size)[0]

    return window
