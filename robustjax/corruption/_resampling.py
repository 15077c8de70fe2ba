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
            "jpeg and pixelate need Pillow; pip install 'robustjax[experiments]'"
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
        for row, image in enumerate(levels):
            with io.BytesIO() as file:
                pillow.fromarray(image).save(file, "JPEG", quality=quality)
                result[row] = pillow.open(file, formats=("JPEG",))
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
        tall = resize(levels.reshape(count * height, width, 3), count * height, narrow)
        tall = tall.reshape(count, height, narrow, 3)
        wide = tall.transpose(1, 0, 2, 3).reshape(height, count * narrow, 3)
        wide = resize(resize(wide, low, count * narrow), height, count * narrow)
        wide = wide.reshape(height, count, narrow, 3)
        tall = wide.transpose(1, 0, 2, 3).reshape(count * height, narrow, 3)
        return resize(tall, count * height, width).reshape(levels.shape)

    return batches.change(images, apply)


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
        planes = bilinear(levels.astype(np.float32), rows, columns)
        if not strength:
            return planes
        field = draws.uniform("field", (height, width, 2), -1, 1)
        field = strength * gaussian_blur_planes(
            field, deviation, truncate=_ELASTIC_TRUNCATE, mode="reflect"
        )
        grid = np.mgrid[:height, :width].astype(np.float32)
        return bilinear(planes, grid[0] + field[..., 0], grid[1] + field[..., 1])

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
    grid = np.mgrid[:height, :width].reshape(2, -1)
    places = back[:, :2].transpose(0, 2, 1) @ grid + back[:, 2][..., None]
    rows, columns = places.reshape(-1, 2, height, width).transpose(1, 0, 2, 3)
    return rows, columns


def bilinear(planes: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Values between pixels; beyond the border the image is mirrored.

    Args:
      planes: (B, H, W, C) float32.
      rows: (B, H', W') places, fractions allowed.
      columns: (B, H', W').

    Returns:
      (B, H', W', C) float32.
    """
    count, height, width, channels = planes.shape
    row, down = _neighbours(rows, height)
    column, right = _neighbours(columns, width)
    flat = planes.reshape(-1, channels)
    first = np.arange(count)[:, None, None] * (height * width)
    above = [first + row[0] * width + column[i] for i in (0, 1)]
    below = [first + row[1] * width + column[i] for i in (0, 1)]
    result = []
    for left_place, right_place in (above, below):
        left = flat.take(left_place, axis=0)
        between = flat.take(right_place, axis=0)
        between -= left
        between *= right[..., None]
        between += left
        result.append(between)
    upper, lower = result
    lower -= upper
    lower *= down[..., None]
    lower += upper
    return lower


def _neighbours(places: np.ndarray, size: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Both whole neighbours of each place, mirrored, and the weight of the second."""
    lower = np.floor(places)
    weight = (places - lower).astype(np.float32)
    lower = lower.astype(np.int64)
    period = 2 * (size - 1)
    found = [
        np.abs((place + size - 1) % period - (size - 1)) for place in (lower, lower + 1)
    ]
    return found, weight
