"""Small linear filters of batches of planes, as sums of shifted arrays.

A batch fits in a core's cache, so that a few passes over it cost less than filters that
walk line by line and image by image.
"""

from __future__ import annotations

import functools

import numpy as np

# Beyond this the normal density is cut off, in deviations.
TRUNCATE = 4.0


@functools.lru_cache(maxsize=64)
def gaussian_weights(deviation: float, truncate: float = TRUNCATE) -> np.ndarray:
    """(2 r + 1,) float32 weights that sum to 1, r = truncate * deviation, rounded."""
    radius = int(truncate * deviation + 0.5)
    if radius == 0:
        return np.ones(1, np.float32)
    place = np.arange(-radius, radius + 1)
    weights = np.exp(-(place**2) / (2 * deviation**2))
    return (weights / weights.sum()).astype(np.float32)


def gaussian_blur_planes(
    planes: np.ndarray, deviation: float, *, truncate: float = TRUNCATE, mode: str
) -> np.ndarray:
    """Blurs axes 1 and 2.

    Args:
      planes: (B, H, W, ...) float32.
      deviation: in pixels, >= 0.
      truncate: where the filter ends, in deviations.
      mode: "edge" repeats the border, "reflect" mirrors at it without repeating it.

    Returns:
      The same shape.
    """
    weights = gaussian_weights(deviation, truncate)
    for axis in (1, 2):
        planes = _symmetric(planes, weights, axis, mode)
    return planes


def _symmetric(
    planes: np.ndarray, weights: np.ndarray, axis: int, mode: str
) -> np.ndarray:
    """Filters one axis with symmetric weights."""
    radius = len(weights) // 2
    padded = pad(planes, axis, radius, mode)
    size = planes.shape[axis]

    def shifted(by: int) -> np.ndarray:
        start = radius + by
        return padded[(slice(None),) * axis + (slice(start, start + size),)]

    result = shifted(0) * weights[radius]
    both = np.empty_like(result)
    for by in range(1, radius + 1):
        np.add(shifted(-by), shifted(by), out=both)
        both *= weights[radius + by]
        result += both
    return result


def pad(planes: np.ndarray, axis: int, radius: int, mode: str) -> np.ndarray:
    """Adds `radius` rows at both ends of an axis, see `gaussian_blur_planes`."""
    if radius == 0:
        return planes
    size = planes.shape[axis]
    place = np.arange(-radius, size + radius)
    if mode == "reflect":
        period = 2 * (size - 1)
        place = np.abs((place + size - 1) % period - (size - 1))
    return planes.take(np.clip(place, 0, size - 1), axis=axis)


def filter_planes(planes: np.ndarray, kernel: np.ndarray, mode: str) -> np.ndarray:
    """Correlates axes 1 and 2 with a small kernel of odd sides.

    Args:
      planes: (B, H, W, ...) float32.
      kernel: (2 r + 1, 2 s + 1) floats; what is exactly 0 costs nothing.
      mode: see `gaussian_blur_planes`.

    Returns:
      The same shape.
    """
    rows, columns = (side // 2 for side in kernel.shape)
    padded = pad(pad(planes, 1, rows, mode), 2, columns, mode)
    height, width = planes.shape[1:3]
    result = np.zeros_like(planes)
    part = np.empty_like(planes)
    for row, column in np.argwhere(kernel):
        here = padded[:, row : row + height, column : column + width]
        np.multiply(here, np.float32(kernel[row, column]), out=part)
        result += part
    return result


def luminance(levels: np.ndarray) -> np.ndarray:
    """(..., 3) to (...), .299 R + .587 G + .114 B, as float32."""
    return levels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def clipped_zoom_places(size: int, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the pixels of an axis come from when its middle is magnified.

    The middle `ceil(size / factor)` pixels are stretched to `factor` times as many, end
    to end, and the middle `size` of those are kept.

    Returns:
      (size,) int64 lower neighbours, and (size,) float32 weights of the next ones.
    """
    crop = int(np.ceil(size / factor))
    first = (size - crop) // 2
    stretched = round(crop * factor)
    kept = np.arange(size) + (stretched - size) // 2
    place = kept * (crop - 1) / max(stretched - 1, 1)
    lower = np.minimum(np.floor(place).astype(np.int64), max(crop - 2, 0))
    return first + lower, (place - lower).astype(np.float32)


def clipped_zoom(planes: np.ndarray, factor: float) -> np.ndarray:
    """Magnifies the middle linearly; the size stays.

    Args:
      planes: (B, H, W, ...) float32.
      factor: >= 1.

    Returns:
      The same shape.
    """
    for axis in (1, 2):
        lower, weight = clipped_zoom_places(planes.shape[axis], factor)
        shape = (1,) * axis + (-1,) + (1,) * (planes.ndim - axis - 1)
        weight = weight.reshape(shape)
        start = planes.take(lower, axis=axis)
        upper = np.minimum(lower + 1, planes.shape[axis] - 1)
        planes = start + weight * (planes.take(upper, axis=axis) - start)
    return planes
