"""What is lost by JPEG, by large pixels and by bending: jpeg, pixelate, elastic.

Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
and Perturbations" (ICLR 2019), with the parameters of CIFAR-10-C. Pixelate and elastic
scale with the size of the image.
"""

from __future__ import annotations

import io
from typing import Any

import jax
import numpy as np

from robustjax.corruption import _image_batches as batches
from robustjax.corruption._image_draws import Draws
from robustjax.corruption._image_filters import gaussian_blur_planes

_JPEG = (80, 65, 58, 50, 40)
_PIXELATE = (0.95, 0.9, 0.85, 0.75, 0.65)
# (Strength, deviation, affine), in shares of the shorter side.
_ELASTIC = (
    (0.0, 0.0, 0.08),
    (0.05, 0.2, 0.07),
    (0.08, 0.06, 0.06),
    (0.1, 0.04, 0.05),
    (0.1, 0.03, 0.03),
)
_ELASTIC_TRUNCATE = 3.0


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "jpeg and pixelate need Pillow; pip install 'robustjax[tools]'"
        ) from error
    return Image


def jpeg(
    images: Any, severity: int, key: jax.Array | None = None, *, ids: Any = None
) -> np.ndarray:
    """Through libjpeg and back, at quality 80, 65, 58, 50, 40, with 4:2:0 chroma.

    Args:
      images: (N, H, W, 3) uint8, sides of at least 8 pixels.
      severity: 1 … 5.
      key: not used; nothing is random.
      ids: not used.

    Returns:
      (N, H, W, 3) uint8.

    Raises:
      ValueError: bad images or severity.
      ImportError: Pillow is not installed.
    """
    del key, ids
    pillow = _pillow()
    quality = batches.at_severity(_JPEG, severity)

    def apply(levels: np.ndarray) -> np.ndarray:
        result = np.empty_like(levels)
        size = levels.shape[2], levels.shape[1]
        for row, image in enumerate(levels):
            with io.BytesIO() as file:
                pillow.fromarray(image).save(file, "JPEG", quality=quality)
                # The decoder alone: opening a file parses its header once more.
                stream = file.getvalue()
            result[row] = pillow.frombytes("RGB", size, stream, "jpeg", "RGB", "")
        return result

    return batches.change(images, apply)


def pixelate(
    images: Any, severity: int, key: jax.Array | None = None, *, ids: Any = None
) -> np.ndarray:
    """Shrinks to .95, .9, .85, .75, .65 of the sides and enlarges again, by boxes.

    32 pixels become 30, 28, 27, 24, 20 in between.

    Args:
      images: (N, H, W, 3) uint8, sides of at least 8 pixels.
      severity: 1 … 5.
      key: not used; nothing is random.
      ids: not used.

    Returns:
      (N, H, W, 3) uint8, as Pillow rounds it.

    Raises:
      ValueError: bad images or severity.
      ImportError: Pillow is not installed.
    """
    del key, ids
    pillow = _pillow()
    share = batches.at_severity(_PIXELATE, severity)

    def resize(planes: np.ndarray, rows: int, columns: int) -> np.ndarray:
        image = pillow.fromarray(planes)
        return np.asarray(image.resize((columns, rows), pillow.Resampling.BOX))

    def apply(levels: np.ndarray) -> np.ndarray:
        count, height, width, _ = levels.shape
        low, narrow = int(share * height), int(share * width)
        # All images of a block on top of each other, then side by side: an axis at a
        # time, as Pillow does it itself, horizontally first.
        rows = levels.reshape(count * height, width, 3)
        small = _exchanged(resize(rows, count * height, narrow), count, axis=0)
        small = resize(small, low, count * narrow)
        large = _exchanged(resize(small, height, count * narrow), count, axis=1)
        return resize(large, count * height, width).reshape(levels.shape)

    return batches.change(images, apply)


def _exchanged(image: np.ndarray, count: int, axis: int) -> np.ndarray:
    """Images in a row along an axis, 0 or 1, brought into one along the other."""
    side = image.shape[axis] // count
    if axis == 0:
        parts = image.reshape(count, side, -1, 3)
        return parts.transpose(1, 0, 2, 3).reshape(side, -1, 3)
    parts = image.reshape(len(image), count, side, 3)
    return parts.transpose(1, 0, 2, 3).reshape(-1, side, 3)


def elastic_transform(
    images: Any, severity: int, key: jax.Array, *, ids: Any = None
) -> np.ndarray:
    """Shears the image a little and bends it by a smooth random field.

    First an affine map that moves three points around the centre (a third of the
    shorter side away along both axes) by uniform amounts; then displacements that are
    uniform noise blurred by a Gaussian cut at three deviations, times a strength. Both
    resample bilinearly and mirror at the border, without rounding in between.
    (Strength, deviation, largest move) in shares of the shorter side: (0, 0, .08),
    (.05, .2, .07), (.08, .06, .06), (.1, .04, .05), (.1, .03, .03).

    Args:
      images: (N, H, W, 3) uint8, sides of at least 8 pixels.
      severity: 1 … 5.
      key: PRNG key.
      ids: (N,) integers >= 0 that name the images' randomness; by default 0 … N-1. An
        image depends on the key and its own id alone.

    Returns:
      (N, H, W, 3) uint8, truncated.

    Raises:
      ValueError: bad images, severity, key or ids.
    """
    shares = batches.at_severity(_ELASTIC, severity)

    def apply(levels: np.ndarray, draws: Draws) -> np.ndarray:
        height, width = levels.shape[1:3]
        side = min(height, width)
        strength, deviation, move = (share * side for share in shares)
        rows, columns = _affine_places(draws, height, width, move)
        planes = np.zeros((*levels.shape[:3], 4), np.float32)
        planes[..., :3] = levels
        planes = bilinear(planes, rows, columns)
        if not strength:
            return planes[..., :3]
        rows, columns = (
            place
            + np.float32(strength)
            * gaussian_blur_planes(
                draws.uniform(what, (height, width), -1, 1),
                deviation,
                truncate=_ELASTIC_TRUNCATE,
                mode="reflect",
            )
            for what, place in zip(
                ("rows", "columns"), np.mgrid[:height, :width].astype(np.float32)
            )
        )
        return bilinear(planes, rows, columns)[..., :3]

    return batches.change_at_random("elastic_transform", images, key, ids, apply)


def _affine_places(
    draws: Draws, height: int, width: int, move: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where every pixel of the sheared image comes from: (B, H, W) rows, columns."""
    reach = min(height, width) // 3
    signs = np.array([[1, 1], [1, -1], [-1, -1]])
    points = np.array([height // 2, width // 2]) + reach * signs
    moved = points + draws.uniform("points", (3, 2), -move, move).astype(np.float64)
    # The map from moved points back to where they were, three equations a coordinate.
    ones = np.ones((*moved.shape[:2], 1))
    back = np.linalg.solve(
        np.concatenate([moved, ones], axis=2),
        np.broadcast_to(points.astype(np.float64), moved.shape),
    )
    back = back.transpose(2, 1, 0)[..., None]
    down = back[:, 0] * np.arange(height) + back[:, 2]
    right = back[:, 1] * np.arange(width)
    rows, columns = down[..., None] + right[:, :, None]
    return rows, columns


def bilinear(planes: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Values between pixels; beyond the border the image is mirrored.

    Args:
      planes: (B, H, W, C) float32; pixels of four channels are copied the fastest.
      rows: (B, H', W') places, fractions allowed.
      columns: (B, H', W').

    Returns:
      (B, H', W', C) float32.
    """
    count, height, width, channels = planes.shape
    row, down = _neighbors(rows, height)
    column, right = _neighbors(columns, width)
    # Written out: inner loops over the few channels of a pixel would be slow.
    down, right = (
        np.repeat(weight, channels).reshape(*weight.shape, channels)
        for weight in (down, right)
    )
    first = np.arange(count)[:, None, None] * height
    flat = planes.reshape(-1, channels)
    lines = []
    for line in row:
        line = (line + first) * width
        left = flat.take(line + column[0], axis=0)
        between = flat.take(line + column[1], axis=0)
        between -= left
        between *= right
        between += left
        lines.append(between)
    upper, lower = lines
    lower -= upper
    lower *= down
    lower += upper
    return lower


def _neighbors(places: np.ndarray, size: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Both whole neighbours of each place, mirrored, and the weight of the second."""
    places = places.astype(np.float32)
    floor = np.floor(places)
    weight = places - floor
    lower = floor.astype(np.int32)
    last = size - 1
    if lower.min() < -last or lower.max() >= 2 * last:
        # Farther than the first mirror image.
        lower %= 2 * last
    found = []
    for place in (lower, lower + 1):
        place = np.abs(place)
        found.append(last - np.abs(last - place))
    return found, weight
