"""Corruptions as a bias attribute: the maps of Corrupted CIFAR-10.

Nam et al., "Learning from Failure" (NeurIPS 2020). The papers' Corrupted CIFAR-10^1 and
^2 are `type0` and `type1` in the public code; its "severity 4" makes images of
severity 5 of the benchmark of corruptions.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from robustjax import checks
from robustjax.corruption._image_batches import check_ids, check_images
from robustjax.corruption._image_corruptions import IMAGE_CORRUPTIONS, corrupt_images

UNCHANGED = "original"

CORRUPTED_CIFAR10: Mapping[int, tuple[str, ...]] = types.MappingProxyType(
    {
        1: (
            *("snow", "frost", "fog", "brightness", "contrast"),
            *("spatter", "elastic_transform", "jpeg", "pixelate", "saturate"),
        ),
        2: (
            *("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"),
            *("gaussian_blur", "defocus_blur", "glass_blur", "motion_blur"),
            *("zoom_blur", UNCHANGED),
        ),
    }
)
"""Superscript of the papers -> the corruption that goes with each class, airplane,
automobile, bird, cat, deer, dog, frog, horse, ship, truck."""

CORRUPTED_CIFAR10_SEVERITY = 5
"""What is reported as "severity 4"."""


def corrupt_by_bias(
    images: Any,
    bias: Any,
    key: jax.Array,
    *,
    corruptions: Sequence[str],
    severity: int = CORRUPTED_CIFAR10_SEVERITY,
    ids: Any = None,
) -> np.ndarray:
    """Changes every image by the corruption that its bias attribute names.

    Args:
      images: (N, H, W, 3) uint8, sides of at least 8 pixels.
      bias: (N,) integers in 0 … B-1.
      key: PRNG key.
      corruptions: B names of `IMAGE_CORRUPTIONS`, or "original" for none, such as
        `CORRUPTED_CIFAR10[1]`.
      severity: 1 … 5.
      ids: (N,) integers >= 0 that name the images' randomness; by default 0 … N-1.

    Returns:
      (N, H, W, 3) uint8.

    Raises:
      ValueError: an unknown corruption, attributes that name none, lengths that
        differ, bad images, severity, key or ids.
      ImportError: "jpeg" or "pixelate" without Pillow.
    """
    for name in corruptions:
        checks.one_of("corruptions", name, (*IMAGE_CORRUPTIONS, UNCHANGED))
    array = check_images(images)
    chosen = checks.labels("bias", bias, len(corruptions))
    checks.same_length(images=array, bias=chosen)
    numbers = check_ids(ids, len(array))
    result = array.copy()
    for value, name in enumerate(corruptions):
        rows = np.flatnonzero(chosen == value)
        if name != UNCHANGED and rows.size:
            result[rows] = corrupt_images(
                array[rows], name, severity, key, ids=numbers[rows]
            )
    return result
