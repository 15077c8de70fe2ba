"""Resizing of images on the host, antialiased."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustjax import arrays, checks

Box = tuple[float, float, float, float]


def check_image_array(name: str, images: Any) -> np.ndarray:
    """Returns images as an array after checking rank, dtype and that some are there.

    Args:
      name: what to call the argument in an error.
      images: (N, H, W, C) uint8 or floats, N >= 1.

    Raises:
      ValueError: another rank or dtype, no image, images without pixels, NaN or
        infinity.
    """
    images = arrays.numbers(name, images)
    if images.ndim != 4:
        raise ValueError(
            f"{name}: got shape {images.shape}, expected (N, H, W, C) images"
        )
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"{name}: got {images.dtype.name}, expected uint8 or floats")
    if 0 in images.shape:
        raise ValueError(
            f"{name}: got shape {images.shape}, expected at least one image"
        )
    checks.finite(name, images)
    return images


def resize_image(
    image: np.ndarray,
    size: tuple[int, int],
    *,
    box: Box | None = None,
    method: str = "bilinear",
) -> np.ndarray:
    """Resizes one image with Pillow, which filters before it reduces.

    Args:
      image: (H, W, C) uint8 or floats.
      size: (height, width) of the result, >= 1.
      box: (left, top, right, bottom) edges of the part to use, fractions of a pixel
        allowed; by default all of the image. Nothing outside it is looked at.
      method: "bilinear", or "bicubic", which is sharper in magnification. Where it
        overshoots, values are cut to the range of the image (uint8: to 0 … 255).

    Returns:
      (*size, C) of the image's dtype.

    Raises:
      ValueError: an unknown method or a size below 1.
    """
    from PIL import Image

    filters = {
        "bilinear": Image.Resampling.BILINEAR,
        "bicubic": Image.Resampling.BICUBIC,
    }
    checks.one_of("method", method, filters)
    checks.at_least("size", min(size), 1)
    whole = box is None or box == (0, 0, image.shape[1], image.shape[0])
    if whole and image.shape[:2] == tuple(size):
        return image

    def resize(pixels: np.ndarray) -> np.ndarray:
        # Pillow counts (width, height).
        source = Image.fromarray(pixels)
        return np.asarray(source.resize(size[::-1], filters[method], box=box))

    if image.dtype == np.uint8:
        if image.shape[-1] == 3:
            return resize(image)
        return np.stack([resize(plane) for plane in _planes(image)], axis=-1)
    planes = [resize(arrays.cast("image", plane)) for plane in _planes(image)]
    result = np.stack(planes, axis=-1)
    return np.clip(result, image.min(), image.max()).astype(image.dtype)


def _planes(image: np.ndarray) -> list[np.ndarray]:
    """The channels of an image, each contiguous as Pillow needs it."""
    return [np.ascontiguousarray(image[..., c]) for c in range(image.shape[-1])]


def resize_images(
    images: np.ndarray, size: tuple[int, int], *, method: str = "bilinear"
) -> np.ndarray:
    """Resizes every image; the aspect is not kept. See `resize_image`.

    Args:
      images: (N, H, W, C) uint8 or floats, N >= 1.
      size: (height, width) of the result, >= 1.
      method: "bilinear" or "bicubic".

    Returns:
      (N, *size, C) of the images' dtype; the same array where nothing changes.

    Raises:
      ValueError: bad images, an unknown method or a size below 1.
    """
    images = check_image_array("images", images)
    checks.at_least("size", min(size), 1)
    if images.shape[1:3] == tuple(size):
        return images
    return np.stack([resize_image(image, size, method=method) for image in images])
