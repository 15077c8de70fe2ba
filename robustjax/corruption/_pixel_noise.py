"""Noise of single channel values: Gaussian, shot, impulse, speckle.

Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
and Perturbations" (ICLR 2019), with the parameters of CIFAR-10-C.

Each of the four changes a channel value by itself, so that on 8-bit images it *is* a
256 x 256 matrix, `P(level after | level before)`, cut and truncation included. It is
computed from the distribution function and sampled exactly, to 2^-24, by Walker's alias
method: no normal or Poisson number is ever drawn.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
from scipy import special

from robustjax.corruption import _image_batches as batches
from robustjax.corruption._image_draws import Draws

LEVELS = np.arange(256)

_GAUSSIAN = (0.04, 0.06, 0.08, 0.09, 0.10)
_SHOT = (500, 250, 100, 75, 50)
_IMPULSE = (0.01, 0.02, 0.03, 0.05, 0.07)
_SPECKLE = (0.06, 0.1, 0.12, 0.16, 0.2)


def gaussian_noise(
    images: Any, severity: int, key: jax.Array, *, ids: Any = None
) -> np.ndarray:
    """Adds normal noise, `x + c n`, to every channel value.

    The deviation c is .04, .06, .08, .09, .10 of the range from black to white.

    Args:
      images: (N, H, W, 3) uint8, sides of at least 8 pixels.
      severity: 1 … 5.
      key: PRNG key.
      ids: (N,) integers >= 0 that name the images' randomness; by default 0 … N-1. An
        image depends on the key and its own id alone.

    Returns:
      (N, H, W, 3) uint8, cut to the range and truncated.

    Raises:
      ValueError: bad images, severity, key or ids.
    """
    deviation = batches.at_severity(_GAUSSIAN, severity)
    return _sample("gaussian_noise", deviation, images, key, ids)


def shot_noise(
    images: Any, severity: int, key: jax.Array, *, ids: Any = None
) -> np.ndarray:
    """Counts photons, `Poisson(c x) / c`, at every channel value.

    White is c = 500, 250, 100, 75, 50 of them.

    Args:
      images: (N, H, W, 3) uint8, sides of at least 8 pixels.
      severity: 1 … 5.
      key: PRNG key.
      ids: see `gaussian_noise`.

    Returns:
      (N, H, W, 3) uint8, cut to the range and truncated.

    Raises:
      ValueError: bad images, severity, key or ids.
    """
    photons = batches.at_severity(_SHOT, severity)
    return _sample("shot_noise", photons, images, key, ids)


def impulse_noise(
    images: Any, severity: int, key: jax.Array, *, ids: Any = None
) -> np.ndarray:
    """Salt and pepper: channel values become 0 or 255, each equally often.

    A share of .01, .02, .03, .05, .07 of the *channel values* is hit, not of the
    pixels: what is hit is coloured.

    Args:
      images: (N, H, W, 3) uint8, sides of at least 8 pixels.
      severity: 1 … 5.
      key: PRNG key.
      ids: see `gaussian_noise`.

    Returns:
      (N, H, W, 3) uint8.

    Raises:
      ValueError: bad images, severity, key or ids.
    """
    share = batches.at_severity(_IMPULSE, severity)
    return _sample("impulse_noise", share, images, key, ids)


def speckle_noise(
    images: Any, severity: int, key: jax.Array, *, ids: Any = None
) -> np.ndarray:
    """Multiplies by normal noise, `x + x c n`; black stays black.

    The deviation c is .06, .1, .12, .16, .2.

    Args:
      images: (N, H, W, 3) uint8, sides of at least 8 pixels.
      severity: 1 … 5.
      key: PRNG key.
      ids: see `gaussian_noise`.

    Returns:
      (N, H, W, 3) uint8, cut to the range and truncated.

    Raises:
      ValueError: bad images, severity, key or ids.
    """
    deviation = batches.at_severity(_SPECKLE, severity)
    return _sample("speckle_noise", deviation, images, key, ids)


def level_transition(noise: str, amount: float) -> np.ndarray:
    """`P(level after | level before)`.

    Args:
      noise: "gaussian_noise", "shot_noise", "impulse_noise" or "speckle_noise".
      amount: its parameter c.

    Returns:
      (256, 256) float64, rows sum to 1.
    """
    return _TRANSITIONS[noise](amount)


def _normal_transition(deviation: np.ndarray) -> np.ndarray:
    """Of a normal variable around each level, cut to 0 … 255 and truncated."""
    edges = np.arange(1, 256) - LEVELS[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        below = special.ndtr(edges / deviation[:, None])
    # Without any deviation a level stays.
    below = np.where(deviation[:, None] > 0, below, edges > 0)
    return np.diff(below, axis=1, prepend=0, append=1)


def _gaussian(deviation: float) -> np.ndarray:
    return _normal_transition(np.full(256, 255 * deviation))


def _speckle(deviation: float) -> np.ndarray:
    return _normal_transition(deviation * LEVELS)


def _shot(photons: float) -> np.ndarray:
    counts = np.arange(int(photons))
    mean = photons * LEVELS[:, None] / 255
    log_mass = special.xlogy(counts, mean) - mean - special.gammaln(counts + 1)
    result = np.zeros((256, 256))
    # In integers: a photon more or less may decide on the level.
    np.add.at(result.T, counts * 255 // int(photons), np.exp(log_mass).T)
    # As many as white or more.
    result[:, 255] += special.pdtrc(counts[-1], mean[:, 0])
    return result


def _impulse(share: float) -> np.ndarray:
    result = (1 - share) * np.eye(256)
    result[:, [0, 255]] += share / 2
    return result


_TRANSITIONS = {
    "gaussian_noise": _gaussian,
    "shot_noise": _shot,
    "impulse_noise": _impulse,
    "speckle_noise": _speckle,
}


@functools.cache
def alias_table(noise: str, amount: float) -> np.ndarray:
    """Walker's table of all levels at once: columns are kept or exchanged.

    Returns:
      (256 * 256,) uint32: in the upper 24 bits the probability to keep a column, in the
      lower 8 what it is exchanged for.
    """
    left = 256 * level_transition(noise, amount)
    keep = np.zeros((256, 256))
    other = np.zeros((256, 256), np.uint32)
    rows = np.arange(256)
    is_open = np.ones((256, 256), bool)
    for _ in range(256):
        # The smallest is filled up to one column's height by the largest.
        small = np.where(is_open, left, np.inf).argmin(axis=1)
        large = np.where(is_open, left, -np.inf).argmax(axis=1)
        keep[rows, small] = left[rows, small]
        other[rows, small] = large
        left[rows, large] -= 1 - left[rows, small]
        is_open[rows, small] = False
    # A full column is exchanged for itself, so that the last step short of 1 does no
    # harm.
    steps = np.clip(np.rint(keep * 2**24), 0, 2**24 - 1).astype(np.uint32)
    return (steps << 8 | other).reshape(-1)


def _sample(
    noise: str, amount: float, images: Any, key: jax.Array, ids: Any
) -> np.ndarray:
    table = alias_table(noise, amount)

    def apply(levels: np.ndarray, draws: Draws) -> np.ndarray:
        # The lower 8 bits of a word choose a column, the upper 24 whether to keep it.
        words = draws.words("levels", levels[0].size).reshape(levels.shape)
        column = words.astype(np.uint8)
        place = levels.astype(np.uint16)
        place <<= 8
        place |= column
        found = table.take(place.astype(np.intp))
        other = found.astype(np.uint8)
        found &= np.uint32(0xFFFFFF00)
        # All bits set where the column is kept; masked copies are slower.
        is_kept = np.negative((words < found).view(np.uint8))
        return other ^ ((other ^ column) & is_kept)

    return batches.change_at_random(noise, images, key, ids, apply)
