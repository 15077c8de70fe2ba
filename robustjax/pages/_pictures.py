"""Small pictures of examples, as files of PNG or JPEG."""

from __future__ import annotations

import io
import pathlib
from typing import Any

import numpy as np

# The longer side at most, in pixels.
_SIDE = 256
# Below it JPEG would blur what little there is.
_SMALL = 96


def picture_of(array: Any) -> bytes:
    """An image of a data set as a small picture.

    Args:
      array: (H, W), (H, W, 1) or (H, W, 3); uint8, or floats with black at 0 and white
        at 1. Floats beyond that are spread over their own range.

    Raises:
      ValueError: another shape.
      ImportError: Pillow is not installed.
    """
    array = np.asarray(array)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] == 3):
        raise ValueError(
            f"array: got shape {array.shape}, expected (H, W), (H, W, 1) or (H, W, 3)"
        )
    if array.dtype != np.uint8:
        array = _in_bytes(np.asarray(array, np.float64))
    return _encoded(_pillow().fromarray(array))


def picture_of_file(path: pathlib.Path) -> bytes | None:
    """A small picture of an image file, or None for what is no image.

    Raises:
      ImportError: Pillow is not installed.
    """
    image_module = _pillow()
    from PIL import ImageOps

    try:
        with image_module.open(path) as image:
            image.draft("RGB", (_SIDE, _SIDE))
            return _encoded(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, SyntaxError, image_module.DecompressionBombError):
        return None


def media_type(picture: bytes) -> str:
    """Of a picture: what browsers call its kind, without "image/"."""
    return "png" if picture.startswith(b"\x89PNG") else "jpeg"


def _in_bytes(array: np.ndarray) -> np.ndarray:
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        array = (array - low) / (high - low if high > low else 1.0)
    return np.rint(array * 255).astype(np.uint8)


def _encoded(image: Any) -> bytes:
    image.thumbnail((_SIDE, _SIDE))
    file = io.BytesIO()
    if max(image.size) <= _SMALL:
        image.save(file, "PNG", optimize=True)
    else:
        image.save(file, "JPEG", quality=85)
    return file.getvalue()


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(
            "pictures need Pillow: pip install 'robustjax[tools]'"
        ) from None
    return Image
