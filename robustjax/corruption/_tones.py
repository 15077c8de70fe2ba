"""Brightness, contrast, saturation: point-wise changes in closed form.

Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
and Perturbations" (ICLR 2019), with the parameters of CIFAR-10-C. Going to HSV and back
is a linear change of the three channels of a pixel; that is what is computed.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from robustjax.corruption import _image_batches as batches

_BRIGHTNESS = (0.05, 0.1, 0.15, 0.2, 0.3)
_CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)
_SATURATE = ((0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.1), (2.5, 0.2))


def brightness(
    images: Any, severity: int, key: jax.Array | None = None, *, ids: Any = None
) -> np.ndarray:
    """Raises V of HSV by .05, .1, .15, .2, .3, at most to 1.

    Hue and saturation stay: the channels of a pixel are multiplied by V after / V
    before. Black, which has neither, becomes grey.

    Args:
      images: (N, H, W, 3) uint8, sides of at least 8 pixels.
      severity: 1 … 5.
      key: not used; nothing is random.
      ids: not used.

    Returns:
      (N, H, W, 3) uint8, truncated.

    Raises:
      ValueError: bad images or severity.
    """
    del key, ids
    rise = np.float32(255 * batches.at_severity(_BRIGHTNESS, severity))

    def apply(levels: np.ndarray) -> np.ndarray:
        value = _largest(levels).astype(np.float32)[..., None]
        raised = np.minimum(value + rise, 255)
        is_black = value == 0
        result = levels * (raised / np.where(is_black, 1, value))
        if is_black.any():
            np.copyto(result, raised, where=is_black)
        return result

    return batches.change(images, apply)


def contrast(
    images: Any, severity: int, key: jax.Array | None = None, *, ids: Any = None
) -> np.ndarray:
    """Brings channels closer to their mean over the image, `(x - mean) c + mean`.

    c is .75, .5, .4, .3, .15.

    Args:
      images: (N, H, W, 3) uint8, sides of at least 8 pixels.
      severity: 1 … 5.
      key: not used; nothing is random.
      ids: not used.

    Returns:
      (N, H, W, 3) uint8, truncated.

    Raises:
      ValueError: bad images or severity.
    """
    del key, ids
    factor = batches.at_severity(_CONTRAST, severity)

    def apply(levels: np.ndarray) -> np.ndarray:
        count, height, width, _ = levels.shape
        # Rows of whole lines of pixels are summed faster than single pixels.
        sums = levels.sum(axis=1, dtype=np.uint32).reshape(count, width, 3).sum(axis=1)
        offset = (1 - factor) / (height * width) * sums.astype(np.float64)
        line = np.tile(offset.astype(np.float32), width)[:, None]
        result = levels.reshape(count, height, -1) * np.float32(factor)
        result += line
        return result.reshape(levels.shape)

    return batches.change(images, apply)


def saturate(
    images: Any, severity: int, key: jax.Array | None = None, *, ids: Any = None
) -> np.ndarray:
    """Changes S of HSV to `a S + b`, cut to 0 … 1.

    (a, b) are (.3, 0), (.1, 0), (1.5, 0), (2, .1), (2.5, .2): the first two severities
    take colour away. Grey has no hue; as usual it counts as red, and so becomes reddish
    where b > 0.

    Args:
      images: (N, H, W, 3) uint8, sides of at least 8 pixels.
      severity: 1 … 5.
      key: not used; nothing is random.
      ids: not used.

    Returns:
      (N, H, W, 3) uint8, truncated.

    Raises:
      ValueError: bad images or severity.
    """
    del key, ids
    factor, shift = batches.at_severity(_SATURATE, severity)

    def apply(levels: np.ndarray) -> np.ndarray:
        value = _largest(levels).astype(np.float32)
        chroma = value - np.minimum(
            np.minimum(levels[..., 0], levels[..., 1]), levels[..., 2]
        )
        # V S after, where V S before is the chroma; both are 0 on black.
        wanted = np.minimum(np.float32(factor) * chroma + shift * value, value)
        wanted = wanted.astype(np.float32)
        is_grey = chroma == 0
        ratio = wanted / np.where(is_grey, 1, chroma)
        value, ratio = value[..., None], ratio[..., None]
        result = value - (value - levels) * ratio
        if shift and is_grey.any():
            red = np.repeat(value - wanted[..., None], 3, axis=-1)
            red[..., 0] = value[..., 0]
            np.copyto(result, red, where=is_grey[..., None])
        return result

    return batches.change(images, apply)


def _largest(levels: np.ndarray) -> np.ndarray:
    """V of HSV; two calls are faster than a reduction over three numbers."""
    return np.maximum(np.maximum(levels[..., 0], levels[..., 1]), levels[..., 2])
