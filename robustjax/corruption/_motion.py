"""Motion blur of batches of planes, each with its own direction."""

from __future__ import annotations

import numpy as np

# Lighter taps add less to a sum of 8-bit levels than float32 can tell.
_SMALLEST = 1e-7


def motion_weights(radius: int, deviation: float) -> np.ndarray:
    """(2 r + 1,) float64, half of a Gaussian from its top down, sums to 1."""
    place = np.arange(2 * radius + 1)
    weights = np.exp(-(place**2) / (2 * deviation**2))
    return weights / weights.sum()


def motion_offsets(angles: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """How far the content moves for every tap.

    Args:
      angles: (B,) in radians; 0 is to the left, a right angle upwards.
      count: of taps.

    Returns:
      (count, B) int64 rows down and columns to the right, both usually negative.
    """
    place = np.arange(count)[:, None]
    angles = np.asarray(angles, np.float64)
    down = -np.ceil(place * np.sin(angles) - 0.5).astype(np.int64)
    right = -np.ceil(place * np.cos(angles) - 0.5).astype(np.int64)
    return down, right


def motion_blur_planes(
    planes: np.ndarray, angles: np.ndarray, radius: int, deviation: float
) -> np.ndarray:
    """Smears every image along its own line, the border repeated.

    Args:
      planes: (B, H, W, C), uint8 or float32.
      angles: (B,) directions in radians.
      radius: there are 2 r + 1 taps.
      deviation: of the half Gaussian, in pixels.

    Returns:
      (B, H, W, C) float32.
    """
    weights = motion_weights(radius, deviation)
    weights = weights[weights >= _SMALLEST].astype(np.float32)
    reach = len(weights) - 1
    down, right = motion_offsets(angles, len(weights))
    size = (planes.shape[1], planes.shape[2])
    result = planes * weights[0]
    part = np.empty_like(result)
    padded = np.pad(planes, ((0, 0), (reach, reach), (reach, reach), (0, 0)), "edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, (1, 2))
    # (B, offset down, offset right, C, H, W), as a view with the channels last.
    windows = windows.transpose(0, 1, 2, 4, 5, 3)
    image = np.arange(len(planes))
    for tap in range(1, len(weights)):
        moved = windows[image, reach - down[tap], reach - right[tap]]
        np.multiply(moved, weights[tap], out=part)
        result += part
    return result
