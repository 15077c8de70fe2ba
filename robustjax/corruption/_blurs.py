"""Blurs: Gaussian, defocus, glass, motion, zoom.

Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
and Perturbations" (ICLR 2019), with the parameters of CIFAR-10-C. Lengths are in pixels
of 32 x 32 images and are not scaled with the size.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
from scipy import sparse

from robustjax.corruption import _image_batches as batches
from robustjax.corruption._image_draws import Draws
from robustjax.corruption._image_filters import (
    clipped_zoom,
    clipped_zoom_places,
    filter_planes,
    gaussian_blur_planes,
)
from robustjax.corruption._motion import motion_blur_planes

_GAUSSIAN = (0.4, 0.6, 0.7, 0.8, 1.0)
_DEFOCUS = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))
_GLASS = ((0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2))
_MOTION = ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))
# Pixels of an image; the matrix has about a hundred numbers for each.
_LARGEST_OPERATOR = 2**14
# The number of factors 1.00, 1.01, …: the largest are 1.06, 1.11, 1.15, 1.20, 1.25.
_ZOOM = (7, 12, 16, 21, 26)


def gaussian_blur(
    images: Any, severity: int, key: jax.Array | None = None, *, ids: Any = None
) -> np.ndarray:
    """Convolves with a Gaussian, cut at four deviations, the border repeated.

    The deviation is .4, .6, .7, .8, 1 pixels.

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
    deviation = batches.at_severity(_GAUSSIAN, severity)
    return batches.change(
        images,
        lambda levels: gaussian_blur_planes(
            levels.astype(np.float32), deviation, mode="edge"
        ),
    )


def defocus_blur(
    images: Any, severity: int, key: jax.Array | None = None, *, ids: Any = None
) -> np.ndarray:
    """Convolves with a disk, itself smoothed by a 3 x 3 Gaussian; the border mirrors.

    (Radius, deviation) are (.3, .4), (.4, .5), (.5, .6), (1, .2), (1.5, .1) pixels: up
    to the third severity the disk is a single pixel, and at the fifth the whole is a
    plain mean of 3 x 3 pixels.

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
    kernel = defocus_kernel(*batches.at_severity(_DEFOCUS, severity))
    return batches.change(
        images,
        lambda levels: filter_planes(levels.astype(np.float32), kernel, "reflect"),
    )


def defocus_kernel(radius: float, deviation: float) -> np.ndarray:
    """(5, 5) float64 that sums to 1: a disk smoothed by three Gaussian weights."""
    place = np.arange(-2, 3)
    disk = (place[:, None] ** 2 + place**2 <= radius**2).astype(np.float64)
    smooth = np.exp(-(np.arange(-1, 2) ** 2) / (2 * deviation**2))
    smooth /= smooth.sum()
    for axis in (0, 1):
        disk = np.apply_along_axis(np.convolve, axis, disk, smooth, mode="same")
    # Weights that no sum of 8-bit levels could notice.
    disk[disk < 1e-9 * disk.max()] = 0
    return disk / disk.sum()


def glass_blur(
    images: Any, severity: int, key: jax.Array, *, ids: Any = None
) -> np.ndarray:
    """Blurs, lets pixels take the place of others, and blurs again.

    Gaussian deviations of .05, .25, .4, .25, .4 pixels; once at the first three
    severities, twice at the others. Neighbours should be exchanged, but in public code
    the exchange overwrites one of them, so that a pixel *copies* one of the four at
    offsets of 0 or -1, and the picture drifts by about half a pixel. So it is here. A
    copy reads what the scan, from the last pixel to the first, has not reached yet:
    all copies of a pass are made at once.

    Args:
      images: (N, H, W, 3) uint8, sides of at least 8 pixels.
      severity: 1 … 5.
      key: PRNG key.
      ids: (N,) integers >= 0 that name the images' randomness; by default 0 … N-1. An
        image depends on the key and its own id alone.

    Returns:
      (N, H, W, 3) uint8, truncated before and after the exchange.

    Raises:
      ValueError: bad images, severity, key or ids.
    """
    deviation, passes = batches.at_severity(_GLASS, severity)

    def apply(levels: np.ndarray, draws: Draws) -> np.ndarray:
        count, height, width, _ = levels.shape
        blurred = gaussian_blur_planes(
            levels.astype(np.float32), deviation, mode="edge"
        )
        pixels = batches.to_levels(blurred).reshape(count, -1, 3)
        # The two first rows and columns stay.
        inner = (height - 2, width - 2)
        here = np.arange(height * width).reshape(height, width)[2:, 2:]
        image = np.arange(count)[:, None, None]
        for number in range(passes):
            words = draws.words(f"offsets {number}", inner[0] * inner[1])
            words = words.reshape(count, *inner)
            place = here - (words & 1) - width * (words >> 1 & 1).astype(np.intp)
            copied = pixels[image, place]
            pixels.reshape(levels.shape)[:, 2:, 2:] = copied
        return gaussian_blur_planes(
            pixels.reshape(levels.shape).astype(np.float32), deviation, mode="edge"
        )

    return batches.change_at_random("glass_blur", images, key, ids, apply)


def motion_blur(
    images: Any, severity: int, key: jax.Array, *, ids: Any = None
) -> np.ndarray:
    """Smears along a line, one-sided, so that the image is displaced as well.

    Half of a Gaussian over 2 r + 1 pixels, (r, deviation) being (6, 1), (6, 1.5),
    (6, 2), (8, 2), (9, 2.5), towards a direction that is uniform within 45 degrees of
    the horizontal; the border repeated.

    Args:
      images: (N, H, W, 3) uint8, sides of at least 8 pixels.
      severity: 1 … 5.
      key: PRNG key.
      ids: see `glass_blur`.

    Returns:
      (N, H, W, 3) uint8, truncated.

    Raises:
      ValueError: bad images, severity, key or ids.
    """
    radius, deviation = batches.at_severity(_MOTION, severity)

    def apply(levels: np.ndarray, draws: Draws) -> np.ndarray:
        angles = np.radians(draws.uniform("angle", (), -45, 45))
        return motion_blur_planes(levels, angles, radius, deviation)

    return batches.change_at_random("motion_blur", images, key, ids, apply)


def zoom_blur(
    images: Any, severity: int, key: jax.Array | None = None, *, ids: Any = None
) -> np.ndarray:
    """The mean of the image and of what is seen while zooming in.

    Factors are 1.00, 1.01, … up to 1.06, 1.11, 1.15, 1.20, 1.25; the image itself
    counts once more.

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
    count = batches.at_severity(_ZOOM, severity)
    array = batches.check_images(images)
    height, width = array.shape[1:3]
    if height * width > _LARGEST_OPERATOR:
        return batches.change(array, lambda levels: _mean_of_zooms(levels, count))
    operator = zoom_operator(height, width, count)

    def apply(levels: np.ndarray) -> np.ndarray:
        # Pixels first: one sparse product changes all images of a block.
        columns = levels.transpose(1, 2, 0, 3).astype(np.float32)
        changed = operator @ columns.reshape(height * width, -1)
        return changed.reshape(columns.shape).transpose(2, 0, 1, 3)

    return batches.change(array, apply)


def _mean_of_zooms(levels: np.ndarray, count: int) -> np.ndarray:
    """What `zoom_operator` does, zoom by zoom."""
    planes = levels.astype(np.float32)
    total = planes.copy()
    for number in range(count):
        total += clipped_zoom(planes, 1 + number / 100)
    return total / np.float32(count + 1)


@functools.lru_cache(maxsize=8)
def zoom_operator(height: int, width: int, count: int) -> Any:
    """The mean of clipped zooms as a sparse (H W, H W) matrix, rows sum to 1."""
    total = sparse.identity(height * width, format="csr")
    for number in range(count):
        axes = [_axis_matrix(size, 1 + number / 100) for size in (height, width)]
        total = total + sparse.kron(*axes, format="csr")
    return (total / (count + 1)).astype(np.float32)


def _axis_matrix(size: int, factor: float) -> Any:
    lower, weight = clipped_zoom_places(size, factor)
    upper = np.minimum(lower + 1, size - 1)
    rows = np.arange(size)
    return sparse.csr_matrix(
        (
            np.concatenate([1 - weight, weight]),
            (np.concatenate([rows, rows]), np.concatenate([lower, upper])),
        ),
        (size, size),
    )
