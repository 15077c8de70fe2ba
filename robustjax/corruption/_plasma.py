"""Plasma maps: random fields with a long range, by the diamond-square algorithm."""

from __future__ import annotations

import numpy as np

_AMPLITUDE = 100.0


def plasma_maps(noise: np.ndarray, decay: float) -> np.ndarray:
    """Maps on a torus, scaled to 0 … 1 each.

    From the corner, which is 0, the middles of squares and then of their sides are set
    to the mean of their four neighbours plus noise. Its amplitude is the square of a
    number that starts at 100 and is divided by `decay` whenever the squares halve.

    Args:
      noise: (B, S, S) float32, uniform in [-1, 1); S a power of two, >= 2.
      decay: > 0; large ones give smooth maps.

    Returns:
      (B, S, S) float32.
    """
    side = noise.shape[1]
    maps = np.zeros_like(noise)
    amplitude = _AMPLITUDE
    step = side
    while step >= 2:
        half = step // 2
        rough = np.float32(amplitude**2)
        corner = maps[:, ::step, ::step]
        pair = corner + np.roll(corner, -1, axis=1)
        middle = (pair + np.roll(pair, -1, axis=2)) / 4
        middle += rough * noise[:, half::step, half::step]
        maps[:, half::step, half::step] = middle
        beside = (pair + middle + np.roll(middle, 1, axis=2)) / 4
        beside += rough * noise[:, half::step, ::step]
        maps[:, half::step, ::step] = beside
        pair = corner + np.roll(corner, -1, axis=2)
        above = (pair + middle + np.roll(middle, 1, axis=1)) / 4
        above += rough * noise[:, ::step, half::step]
        maps[:, ::step, half::step] = above
        step = half
        amplitude /= decay
    maps -= maps.min(axis=(1, 2), keepdims=True)
    return maps / maps.max(axis=(1, 2), keepdims=True)


def power_of_two(size: int) -> int:
    """The smallest power of two that is at least `size`."""
    return 1 << (size - 1).bit_length()
