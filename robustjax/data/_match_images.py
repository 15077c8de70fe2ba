"""Images of one set in the shape of another's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from robustjax import checks
from robustjax.data._resize import check_image_array, resize_image, resize_images

# ITU-R 601, the luma of JPEG.
LUMA = (0.299, 0.587, 0.114)


def check_ood_images(
    images: Any,
    like_shape: Sequence[int],
    like_dtype: Any = np.uint8,
    *,
    name: str = "ood_images",
) -> np.ndarray:
    """Returns the images after checking that a target's could stand in their place.

    Args:
      images: (N, H, W, C).
      like_shape: (H, W, C) of the target's images.
      like_dtype: dtype of the target's images.
      name: what to call the argument in an error.

    Raises:
      ValueError: another rank, shape or dtype, or no image.
    """
    images = check_image_array(name, images)
    if images.shape[1:] != tuple(like_shape):
        raise ValueError(
            f"{name}: got images of shape {images.shape[1:]}, expected the target's "
            f"{tuple(like_shape)}; resize them with match_images"
        )
    _check_dtype(name, images, like_dtype)
    return images


def match_images(
    images: Any,
    like_shape: Sequence[int],
    *,
    like_dtype: Any = np.uint8,
    convert_color: bool = False,
    fit: str = "stretch",
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Resizes images of another set to the shape of a target's.

    Bilinear and antialiased. Images are always resized, never only cropped: a crop of
    a large image at its own scale shows other content than a target's image does.

    Args:
      images: (N, H', W', C') uint8 or floats, N >= 1.
      like_shape: (H, W, C), the target's `inputs.shape[1:]`.
      like_dtype: the target's dtype. Values are not converted: 0 … 255 as uint8 and
        0 … 1 as floats would otherwise change places unseen.
      convert_color: whether images with one channel may become three equal ones, and
        images with three one of luma (ITU-R 601). Where the channels differ, this has
        to be said.
      fit: what happens where the aspect differs. "stretch" gives it up; "crop" keeps
        it and cuts off what is too long.
      rng: with fit "crop", places the cut at random; by default it is central.

    Returns:
      (N, H, W, C) of dtype `like_dtype`.

    Raises:
      ValueError: another rank or dtype, no image, a `like_shape` that is not (H, W,
        C), channels that differ without `convert_color` or cannot be converted, or an
        unknown `fit`.
    """
    images = check_image_array("images", images)
    checks.one_of("fit", fit, ("stretch", "crop"))
    if len(like_shape) != 3:
        raise ValueError(
            f"like_shape: got {tuple(like_shape)}, expected (H, W, C) of one image"
        )
    _check_dtype("images", images, like_dtype)
    size = (int(like_shape[0]), int(like_shape[1]))
    images = _match_channels(images, int(like_shape[2]), convert_color)
    if fit == "stretch":
        return resize_images(images, size)
    height, width = images.shape[1:3]
    scale = min(height / size[0], width / size[1])
    cut = (size[0] * scale, size[1] * scale)
    result = np.empty((len(images), *size, images.shape[-1]), images.dtype)
    for row, image in enumerate(images):
        place = (0.5, 0.5) if rng is None else rng.random(2)
        top, left = (height - cut[0]) * place[0], (width - cut[1]) * place[1]
        # Rounding must not push the box over the edge.
        right, bottom = min(left + cut[1], width), min(top + cut[0], height)
        box = (float(left), float(top), float(right), float(bottom))
        result[row] = resize_image(image, size, box=box)
    return result


def _check_dtype(name: str, images: np.ndarray, like_dtype: Any) -> None:
    if images.dtype != np.dtype(like_dtype):
        raise ValueError(
            f"{name}: got {images.dtype.name}, expected the target's "
            f"{np.dtype(like_dtype).name}"
        )


def _match_channels(images: np.ndarray, channels: int, convert: bool) -> np.ndarray:
    found = images.shape[-1]
    if found == channels:
        return images
    if not convert or {found, channels} != {1, 3}:
        remedy = "pass convert_color=True" if {found, channels} == {1, 3} else ""
        raise ValueError(
            f"images: got {found} channel(s), expected the target's {channels}"
            + (f"; {remedy} to convert" if remedy else "")
        )
    if found == 1:
        return np.repeat(images, 3, axis=-1)
    gray = images.astype(np.float32) @ np.asarray(LUMA, np.float32)[:, None]
    return (np.rint(gray) if images.dtype == np.uint8 else gray).astype(images.dtype)
