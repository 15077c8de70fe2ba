"""The nineteen common corruptions by name."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, Protocol

import jax
import numpy as np

from robustjax import checks
from robustjax.corruption._blurs import (
    defocus_blur,
    gaussian_blur,
    glass_blur,
    motion_blur,
    zoom_blur,
)
from robustjax.corruption._pixel_noise import (
    gaussian_noise,
    impulse_noise,
    shot_noise,
    speckle_noise,
)
from robustjax.corruption._resampling import elastic_transform, jpeg, pixelate
from robustjax.corruption._spatter import spatter
from robustjax.corruption._tones import brightness, contrast, saturate
from robustjax.corruption._weather import fog, frost, snow


class ImageCorruption(Protocol):
    """(N, H, W, 3) uint8 images, severity 1 … 5 and a PRNG key to images alike."""

    def __call__(
        self, images: Any, severity: int, key: jax.Array, *, ids: Any = None
    ) -> np.ndarray:
        """Changes every image by the key and its own id."""
        ...


IMAGE_CORRUPTIONS: Mapping[str, ImageCorruption] = types.MappingProxyType(
    {
        "gaussian_noise": gaussian_noise,
        "shot_noise": shot_noise,
        "impulse_noise": impulse_noise,
        "speckle_noise": speckle_noise,
        "gaussian_blur": gaussian_blur,
        "defocus_blur": defocus_blur,
        "glass_blur": glass_blur,
        "motion_blur": motion_blur,
        "zoom_blur": zoom_blur,
        "snow": snow,
        "frost": frost,
        "fog": fog,
        "brightness": brightness,
        "contrast": contrast,
        "saturate": saturate,
        "spatter": spatter,
        "elastic_transform": elastic_transform,
        "jpeg": jpeg,
        "pixelate": pixelate,
    }
)
"""Name -> function. Those that need no key and ids take and ignore them."""


def corrupt_images(
    images: Any, corruption: str, severity: int, key: jax.Array, *, ids: Any = None
) -> np.ndarray:
    """Changes images by a corruption of `IMAGE_CORRUPTIONS`.

    Args:
      images: (N, H, W, 3) uint8, sides of at least 8 pixels.
      corruption: its name.
      severity: 1 … 5.
      key: PRNG key.
      ids: (N,) integers >= 0 that name the images' randomness; by default 0 … N-1.

    Returns:
      (N, H, W, 3) uint8.

    Raises:
      ValueError: an unknown name, bad images, severity, key or ids.
      ImportError: "jpeg" or "pixelate" without Pillow.
    """
    checks.one_of("corruption", corruption, IMAGE_CORRUPTIONS)
    return IMAGE_CORRUPTIONS[corruption](images, severity, key, ids=ids)
