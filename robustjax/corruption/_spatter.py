"""Spatter: drops of water or mud on the lens.

Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
and Perturbations" (ICLR 2019), with the parameters of CIFAR-10-C. Lengths are in pixels
of 32 x 32 images and are not scaled with the size.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from scipy import ndimage

from robustjax.corruption import _image_batches as batches
from robustjax.corruption._edges import canny_edges
from robustjax.corruption._image_draws import Draws
from robustjax.corruption._image_filters import filter_planes, gaussian_blur_planes

# (Mean, deviation, blur, threshold, strength of water or blur of mud, whether mud).
_SPATTER = (
    (0.62, 0.1, 0.7, 0.7, 0.5, False),
    (0.65, 0.1, 0.8, 0.7, 0.5, False),
    (0.65, 0.3, 1.0, 0.69, 0.5, False),
    (0.65, 0.1, 0.7, 0.69, 0.6, True),
    (0.65, 0.1, 0.5, 0.68, 0.6, True),
)
MUD = (63, 42, 20)
WATER = (175, 238, 238)
_MUD_THRESHOLD = 0.8
_LOW, _HIGH = 50, 150
_FARTHEST = 20
_EMBOSS = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
_BOX = np.full((3, 3), 1 / 9)


def spatter(
    images: Any, severity: int, key: jax.Array, *, ids: Any = None
) -> np.ndarray:
    """Drops on the lens: water at severities 1 to 3, mud at 4 and 5.

    Drops L are blurred normal noise, 0 below a threshold. Mud is a mask,
    `m = G(1[L > threshold])` and 0 where m < .8, and the result `x (1 - m) + m (63, 42,
    20) / 255`. Water adds `m (175, 238, 238) / 255`, m being L times an embossed map of
    distances to the drops' edges (Canny's, distances cut at 20, their histogram
    equalised, a diagonal relief, smoothed), scaled to .5 at its largest. Distances are
    Euclidean; public code approximates them. (Mean, deviation, blur, threshold) of the
    drops are (.62, .1, .7, .7), (.65, .1, .8, .7), (.65, .3, 1, .69),
    (.65, .1, .7, .69), (.65, .1, .5, .68); G has a deviation of .6.

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
    parameters = batches.at_severity(_SPATTER, severity)
    mean, deviation, blur, threshold, amount, is_mud = parameters

    def apply(levels: np.ndarray, draws: Draws) -> np.ndarray:
        layer = draws.normal("drops", levels.shape[1:3])
        layer *= np.float32(deviation)
        layer += np.float32(mean)
        layer = gaussian_blur_planes(layer, blur, mode="edge")
        layer[layer < threshold] = 0
        if is_mud:
            mask = mud_mask(layer > threshold, amount)[..., None]
            return levels * (1 - mask) + mask * np.array(MUD, np.float32)
        mask = water_mask(batches.to_levels(255 * layer), amount)[..., None]
        return levels + mask * np.array(WATER, np.float32)

    return batches.change_at_random("spatter", images, key, ids, apply)


def mud_mask(drops: np.ndarray, blur: float) -> np.ndarray:
    """(B, H, W) float32 in [0, 1] from where there are drops, (B, H, W) bool."""
    mask = gaussian_blur_planes(drops.astype(np.float32), blur, mode="edge")
    mask[mask < _MUD_THRESHOLD] = 0
    return mask


def water_mask(drops: np.ndarray, strength: float) -> np.ndarray:
    """(B, H, W) float32 in [0, strength] from drops in 8 bits, (B, H, W) uint8."""
    edges = canny_edges(drops, _LOW, _HIGH)
    # Other images are farther away than the cut.
    distance = ndimage.distance_transform_edt(~edges, sampling=(2 * _FARTHEST, 1, 1))
    if not edges.any():
        distance = np.full(drops.shape, _FARTHEST)
    distance = np.minimum(distance, _FARTHEST).astype(np.float32)
    relief = np.floor(filter_planes(distance, _BOX, "reflect") + 1e-4)
    relief = equalized(relief.astype(np.uint8)).astype(np.float32)
    relief = np.clip(filter_planes(relief, _EMBOSS, "reflect"), 0, 255)
    mask = drops * filter_planes(relief, _BOX, "reflect")
    top = mask.max(axis=(1, 2), keepdims=True)
    return mask * (np.float32(strength) / np.where(top > 0, top, 1))


def equalized(levels: np.ndarray) -> np.ndarray:
    """Spreads the levels of every image by their ranks, (B, H, W) uint8."""
    count, pixels = len(levels), levels[0].size
    place = 256 * np.arange(count)[:, None] + levels.reshape(count, -1)
    below = np.bincount(place.ravel(), minlength=256 * count).reshape(count, 256)
    below = np.cumsum(below, axis=1)
    # The lowest level of an image becomes 0; an image of one level stays.
    lowest = below.min(axis=1, keepdims=True, where=below > 0, initial=pixels)
    spread = np.maximum(pixels - lowest, 1)
    table = np.rint(255 * np.maximum(below - lowest, 0) / spread).astype(np.uint8)
    same = lowest[:, 0] == pixels
    table[same] = np.arange(256)
    return table.ravel()[place].reshape(levels.shape)
