"""Weather: snow, frost, fog.

Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
and Perturbations" (ICLR 2019), with the parameters of CIFAR-10-C. Lengths are in pixels
of 32 x 32 images and are not scaled with the size.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from robustjax.corruption import _image_batches as batches
from robustjax.corruption._image_draws import Draws
from robustjax.corruption._image_filters import (
    clipped_zoom,
    gaussian_blur_planes,
    luminance,
)
from robustjax.corruption._motion import motion_blur_planes
from robustjax.corruption._plasma import plasma_maps, power_of_two

# (Mean, deviation, zoom, threshold, radius, deviation of the blur, share kept).
_SNOW = (
    (0.1, 0.2, 1.0, 0.6, 8, 3, 0.95),
    (0.1, 0.2, 1.0, 0.5, 10, 4, 0.9),
    (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
    (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
    (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
)
_FROST = ((1.0, 0.2), (1.0, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))
_FOG = ((0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75))


class FrostTexture(NamedTuple):
    """Statistics of one of the benchmark's photographs, shrunk, in levels.

    Attributes:
      probability: how often it is used.
      mean: of red, green, blue.
      deviation: of grey inside a window of 32 x 32 pixels.
      offset: deviation of the mean of such a window.
    """

    probability: float
    mean: tuple[int, int, int]
    deviation: float
    offset: float


# Of the six photographs one is never drawn, and two are the same.
FROST_TEXTURES = (
    FrostTexture(0.2, (78, 149, 166), 14, 11),
    FrostTexture(0.4, (201, 205, 214), 18, 12.5),
    FrostTexture(0.2, (138, 153, 166), 26, 13),
    FrostTexture(0.2, (112, 123, 135), 35, 25),
)
_FROST_DECAY = 1.6
# Of the deviation; with these the correlations at 1, 2, 4, 8 pixels are, texture by
# texture, within .11 of those of the photographs, .05 on average.
_FROST_PLASMA, _FROST_GRAIN = 0.4, 0.6
_GRAIN_DEVIATION = 0.5


def snow(images: Any, severity: int, key: jax.Array, *, ids: Any = None) -> np.ndarray:
    """Bright, blurred flakes that fall steeply, over a whitened image.

    Normal noise N(loc, scale^2), magnified by `zoom`, values below `threshold` set to
    0, cut, rounded down to 8 bits and smeared one-sided over 2 r + 1 pixels with a
    deviation s, within 45 degrees of the vertical, is L. The result is
    `m x + (1 - m) max(x, 1.5 grey + .5) + L + (L turned by 180 degrees)`. (loc, scale,
    zoom, threshold, r, s, m) are (.1, .2, 1, .6, 8, 3, .95),
    (.1, .2, 1, .5, 10, 4, .9), (.15, .3, 1.75, .55, 10, 4, .9),
    (.25, .3, 2.25, .6, 12, 6, .85), (.3, .3, 1.25, .65, 14, 12, .8).

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
    parameters = batches.at_severity(_SNOW, severity)
    mean, deviation, zoom, threshold, radius, smear, share = parameters

    def apply(levels: np.ndarray, draws: Draws) -> np.ndarray:
        layer = draws.normal("flakes", levels.shape[1:3])
        layer *= np.float32(deviation)
        layer += np.float32(mean)
        layer = clipped_zoom(layer, zoom)
        layer[layer < threshold] = 0
        flakes = batches.to_levels(255 * layer)[..., None]
        angles = np.radians(draws.uniform("angle", (), -135, -45))
        falling = motion_blur_planes(flakes, angles, radius, smear)
        whitened = (1.5 * luminance(levels) + 127.5)[..., None]
        result = np.maximum(levels, whitened.astype(np.float32))
        result *= np.float32(1 - share)
        result += np.float32(share) * levels
        result += falling + falling[:, ::-1, ::-1]
        return result

    return batches.change_at_random("snow", images, key, ids, apply)


def frost(images: Any, severity: int, key: jax.Array, *, ids: Any = None) -> np.ndarray:
    """Lays *procedural* frost over the image, `c1 x + c2 F`; it is not the benchmark's.

    The benchmark takes F from photographs of frosted windows. Here no file is needed: F
    is drawn with the first two moments of a window of those photographs and about their
    correlation along the image. One of their four textures is chosen; a plasma map
    (four parts) and fine grain (six parts) are scaled to its deviation inside a window;
    a random offset of the whole window and its mean colour are added. There are no
    crystals. Say so where results are reported. (c1, c2) are (1, .2), (1, .3),
    (.9, .4), (.85, .4), (.75, .45).

    Args:
      images: (N, H, W, 3) uint8, sides of at least 8 pixels.
      severity: 1 … 5.
      key: PRNG key.
      ids: see `snow`.

    Returns:
      (N, H, W, 3) uint8, cut to the range and truncated.

    Raises:
      ValueError: bad images, severity, key or ids.
    """
    kept, laid = batches.at_severity(_FROST, severity)

    def apply(levels: np.ndarray, draws: Draws) -> np.ndarray:
        return levels * np.float32(kept) + np.float32(laid) * frost_layer(
            draws, levels.shape[1], levels.shape[2]
        )

    return batches.change_at_random("frost", images, key, ids, apply)


def frost_layer(draws: Draws, height: int, width: int) -> np.ndarray:
    """(B, H, W, 3) float32 levels of frost; see `frost`."""
    side = 2 * power_of_two(max(height, width))
    maps = plasma_maps(draws.uniform("plasma", (side, side), -1, 1), _FROST_DECAY)
    start = (side * draws.uniform("window", (2,))).astype(np.int64)
    rows = (start[:, :1] + np.arange(height)) % side
    columns = (start[:, 1:] + np.arange(width)) % side
    image = np.arange(len(maps))[:, None, None]
    smooth = maps[image, rows[:, :, None], columns[:, None, :]]
    grain = gaussian_blur_planes(
        draws.normal("grain", (height, width)), _GRAIN_DEVIATION, mode="edge"
    )
    field = _standard(
        _FROST_PLASMA * _standard(smooth) + _FROST_GRAIN * _standard(grain)
    )
    chosen = draws.choice("texture", [t.probability for t in FROST_TEXTURES])
    deviation = np.array([t.deviation for t in FROST_TEXTURES], np.float32)[chosen]
    offset = np.array([t.offset for t in FROST_TEXTURES], np.float32)[chosen]
    offset *= draws.normal("offset", ())
    mean = np.array([t.mean for t in FROST_TEXTURES], np.float32)[chosen]
    grey = field * deviation[:, None, None] + offset[:, None, None]
    layer = grey[..., None] + mean[:, None, None]
    return np.clip(layer, 0, 255, out=layer)


def _standard(fields: np.ndarray) -> np.ndarray:
    """Mean 0 and deviation 1 of every field."""
    fields = fields - fields.mean(axis=(1, 2), keepdims=True)
    return fields / fields.std(axis=(1, 2), keepdims=True)


def fog(images: Any, severity: int, key: jax.Array, *, ids: Any = None) -> np.ndarray:
    """Adds a plasma map P, `(x + c P) m / (m + c)`, m the image's largest value.

    P is the same for all channels, on the smallest torus with sides that are powers of
    two; (c, decay of its roughness) are (.2, 3), (.5, 3), (.75, 2.5), (1, 2),
    (1.5, 1.75).

    Args:
      images: (N, H, W, 3) uint8, sides of at least 8 pixels.
      severity: 1 … 5.
      key: PRNG key.
      ids: see `snow`.

    Returns:
      (N, H, W, 3) uint8, cut to the range and truncated.

    Raises:
      ValueError: bad images, severity, key or ids.
    """
    share, decay = batches.at_severity(_FOG, severity)
    strength = np.float32(255 * share)

    def apply(levels: np.ndarray, draws: Draws) -> np.ndarray:
        height, width = levels.shape[1:3]
        side = power_of_two(max(height, width))
        maps = plasma_maps(draws.uniform("plasma", (side, side), -1, 1), decay)
        top = levels.max(axis=(1, 2, 3), keepdims=True).astype(np.float32)
        result = levels + strength * maps[:, :height, :width, None]
        result *= top / (top + strength)
        return result

    return batches.change_at_random("fog", images, key, ids, apply)
