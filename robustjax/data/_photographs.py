"""Parts of photographs as OOD images: of any size, read one after another."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from robustjax import checks
from robustjax.data._image_decoding import read_rgb
from robustjax.data._image_folder import need_pillow
from robustjax.data._ood import textured_crops
from robustjax.data._resize import resize_image
from robustjax.data.augmentation._crop import check_bounds


def photograph_crops(
    paths: Sequence[str | os.PathLike[str]],
    rng: np.random.Generator,
    *,
    count: int,
    size: tuple[int, int],
    side: tuple[float, float] = (0.1, 0.5),
) -> np.ndarray:
    """Random squares of photographs: scenery and textures as small images.

    A folder of photographs without the objects of a task stands in for a set of scenes
    such as Places365. Each file is decoded once and forgotten, so that photographs of
    many megapixels need no more memory than one of them.

    Args:
      paths: image files of any size and shape, see `load_unlabeled_images`; one or
        more.
      rng: draws photographs, sides and places, and shuffles.
      count: number of squares, >= 1, from all photographs alike: their numbers differ
        by at most one.
      size: (height, width) of the result, >= 1; squares are resized bicubically.
      side: lowest and highest side of a square as a share of the photograph's shorter
        side, 0 < low <= high <= 1.

    Returns:
      (count, *size, 3) uint8.

    Raises:
      ValueError: no path, a file that is no image, or a number out of range.
      ImportError: Pillow is not installed.
    """
    need_pillow()
    if isinstance(paths, (str, os.PathLike)):
        raise ValueError(f"paths: got {str(paths)!r} alone, expected a list of files")
    if not len(paths):
        raise ValueError("paths: got none, expected at least one image file")
    checks.at_least("count", count, 1)
    checks.at_least("size", min(size), 1)
    check_bounds("side", side, 1.0)
    shares = np.full(len(paths), count // len(paths))
    shares[rng.permutation(len(paths))[: count % len(paths)]] += 1
    parts = []
    for path, share in zip(paths, shares):
        if not share:
            continue
        with checks.errors_name(path="paths"):
            image = np.asarray(read_rgb(path).rgb)
        image = _reduced(image, max(size) / side[0])
        parts.append(
            textured_crops(image[None], rng, count=int(share), side=side, size=size)
        )
    return rng.permutation(np.concatenate(parts))


def _reduced(image: np.ndarray, shortest: float) -> np.ndarray:
    """The image with a shorter side of about `shortest`, if it is longer.

    The smallest square then still has as many pixels as the result, and no other is
    filtered from millions of them.
    """
    height, width = image.shape[:2]
    factor = shortest / min(height, width)
    if factor >= 1:
        return image
    return resize_image(
        image, (round(height * factor), round(width * factor)), method="bicubic"
    )
