"""The weak augmentations of images that launchers share, by name."""

from __future__ import annotations

from robustjax import data
from robustjax.training import Augment

WEAK_AUGMENTATIONS = ("none", "flip", "crop", "crop_flip")


def weak_augmentation(name: str) -> Augment | None:
    """The augmentation of this name; None for "none"."""
    if name == "none":
        return None
    if name == "flip":
        return data.random_flip
    return data.standard_augmentation(flip="flip" in name)
