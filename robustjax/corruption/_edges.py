"""Canny's edges of batches of small planes."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_SMOOTH = np.array([1, 2, 1])
_SLOPE = np.array([-1, 0, 1])
_STEEP = np.tan(np.radians(67.5))
_FLAT = np.tan(np.radians(22.5))


def canny_edges(levels: np.ndarray, low: float, high: float) -> np.ndarray:
    """Thin edges that are strong, or hang together with a strong one.

    Sobel's slopes, their sizes summed; what is no maximum across the edge is dropped
    (Canny, IEEE TPAMI 1986).

    Args:
      levels: (B, H, W) uint8.
      low: slopes above it are edges if they touch an edge.
      high: slopes above it are edges.

    Returns:
      (B, H, W) bool.
    """
    planes = levels.astype(np.int32)
    across = _along(_along(planes, _SMOOTH, 1), _SLOPE, 2)
    down = _along(_along(planes, _SMOOTH, 2), _SLOPE, 1)
    size = np.abs(across) + np.abs(down)
    around = np.pad(size, ((0, 0), (1, 1), (1, 1)))

    def is_top(row: int, column: int) -> np.ndarray:
        """At least as steep as one neighbour, and steeper than the opposite one."""
        height, width = size.shape[1:]
        one, other = (
            around[:, 1 + r : 1 + r + height, 1 + c : 1 + c + width]
            for r, c in ((row, column), (-row, -column))
        )
        return (size > one) & (size >= other)

    flat = np.abs(down) < _FLAT * np.abs(across)
    steep = np.abs(down) > _STEEP * np.abs(across)
    falling = (across < 0) == (down < 0)
    is_edge = np.select(
        [flat, steep, falling],
        [is_top(0, -1), is_top(-1, 0), is_top(-1, -1)],
        is_top(-1, 1),
    )
    weak = is_edge & (size > low)
    # Neighbours within an image, never in the next one.
    structure = np.zeros((3, 3, 3), bool)
    structure[1] = True
    return ndimage.binary_propagation(
        weak & (size > high), structure=structure, mask=weak
    )


def _along(planes: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
    return ndimage.correlate1d(planes, weights, axis=axis, mode="nearest")
