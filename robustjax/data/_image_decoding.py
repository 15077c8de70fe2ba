"""One image file as 8-bit RGB, as a person would see it."""

from __future__ import annotations

import contextlib
import os
import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from robustjax.files import check_readable

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset(
    (
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".bmp", ".dib"),
        *(".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2"),
        ".avif",
    )
)
"""What image files are called, in lower case."""

# Others are told by weak signs, or run a program (EPS).
_FORMATS = (
    *("PNG", "JPEG", "MPO", "BMP", "DIB", "GIF"),
    *("WEBP", "TIFF", "PPM", "JPEG2000", "AVIF"),
)
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_SIGNED, _WHITE_IS_ZERO = 2, 0
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_BACKGROUND = (255, 255, 255, 255)


class DecodedImage(NamedTuple):
    """An image that was read.

    Attributes:
      rgb: Pillow's image, of mode "RGB".
      several_frames: whether the file holds more pictures than this first one.
    """

    rgb: Image.Image
    several_frames: bool


def is_image(path: str | os.PathLike[str]) -> bool:
    """Whether the content of a file begins like that of an image."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_formats()):
                return True
    except Image.DecompressionBombError:
        return True
    except Exception:
        return False


def read_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(height, width) as stored, before any orientation, from the header alone.

    Raises:
      ValueError: a file that cannot be read, or with too many pixels.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # They name no file, and tell of notes or of sizes that are still well.
            warnings.simplefilter("ignore")
            check_readable(path)
            with Image.open(path, formats=_formats()) as image:
                return image.height, image.width
    except Exception as error:  # Damage shows in many ways inside Pillow.
        raise _unreadable(path, error) from None


def read_rgb(path: str | os.PathLike[str]) -> DecodedImage:
    """Decodes an image file.

    Turned upright by its orientation; palettes, greyscale, one bit and CMYK
    converted; what is transparent shows white. 16 (and 12) bits are scaled to 8 over
    their full range, and so are floats, which must lie in [0, 1]. Colour profiles
    are not applied.

    Args:
      path: the file, in one of the formats PNG, JPEG, BMP, GIF, WebP, TIFF, PNM,
        JPEG 2000 and, where Pillow has it, AVIF; told by its content.

    Raises:
      ValueError: a file that cannot be read or is damaged, has too many pixels, or
        samples whose range is not known: signed or 32-bit integers, floats outside
        [0, 1].
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_readable(path)
            with Image.open(path, formats=_formats()) as image:
                # The other pictures of a camera's file are previews.
                several = image.format != "MPO" and getattr(image, "is_animated", False)
                return DecodedImage(_to_rgb(image), bool(several))
    except Exception as error:  # Damage shows in many ways inside Pillow.
        raise _unreadable(path, error) from None


def _formats() -> list[str]:
    from PIL import Image

    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _unreadable(path: str | os.PathLike[str], error: Exception) -> ValueError:
    from PIL import Image, UnidentifiedImageError

    reason = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, UnidentifiedImageError):
        reason = "it is damaged, or no image of a known format"
    elif isinstance(error, Image.DecompressionBombError):
        reason += " Shrink the image, or raise PIL.Image.MAX_IMAGE_PIXELS"
    elif isinstance(error, MemoryError):
        reason = "not enough memory"
    elif isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    return ValueError(f"path: cannot read {os.fspath(path)!r}: {reason}")


def _to_rgb(image: Image.Image) -> Image.Image:
    deep = _deep_samples(image)
    image = _upright(image)
    if deep is not None:
        return deep.convert(image).convert("RGB")
    see_through = (
        image.mode in _WITH_ALPHA
        or "transparency" in image.info
        or (image.mode == "P" and getattr(image.palette, "mode", "").endswith("A"))
    )
    if see_through:
        from PIL import Image

        shown = image.convert("RGBA")
        background = Image.new("RGBA", shown.size, _BACKGROUND)
        return Image.alpha_composite(background, shown).convert("RGB")
    return image.convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    image.load()
    # Viewers, too, show what has unreadable notes as it is stored.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)
    return image


class _DeepSamples(NamedTuple):
    """Samples of more than 8 bits, which Pillow would cut off rather than scale.

    Attributes:
      top: the value of white; None for floats.
      inverted: whether zero is white instead.
    """

    top: int | None
    inverted: bool

    def convert(self, image: Image.Image) -> Image.Image:
        """The greyscale image in 8 bits."""
        from PIL import Image

        values = np.asarray(image)
        if self.top is None:
            if not (
                np.isfinite(values).all() and 0 <= values.min() <= values.max() <= 1
            ):
                raise ValueError(
                    f"its samples are floats in [{values.min():g}, {values.max():g}], "
                    "expected [0, 1]; convert it to 8 bits"
                )
            gray = np.rint(values * 255)
        else:
            if values.min() < 0 or values.max() > self.top:
                raise ValueError(
                    f"its samples lie in [{values.min()}, {values.max()}], expected "
                    f"[0, {self.top}]; convert it to 8 bits"
                )
            # To the nearest of 256 levels, in integers.
            gray = (values.astype(np.uint32) * 255 + self.top // 2) // self.top
        gray = gray.astype(np.uint8)
        return Image.fromarray(255 - gray if self.inverted else gray)


def _deep_samples(image: Image.Image) -> _DeepSamples | None:
    """What an image's samples mean, or None for ordinary 8-bit ones."""
    tags = getattr(image, "tag_v2", {})
    if _SIGNED in _tuple(tags.get(_SAMPLE_FORMAT)):
        raise ValueError("its samples are signed integers; convert it to 8 bits")
    inverted = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    if image.mode == "F":
        return _DeepSamples(None, inverted)
    if not image.mode.startswith("I"):
        return None
    if "transparency" in image.info:
        raise ValueError("16 bits with a transparent level; convert it to 8 bits")
    if image.format == "TIFF":
        bits = max(_tuple(tags.get(_BITS_PER_SAMPLE)) or (1,))
        if bits > 16:
            raise ValueError(
                f"its samples are {bits}-bit integers, whose range is not known; "
                "convert it to 8 or 16 bits"
            )
        return _DeepSamples(2**bits - 1, inverted)
    # Pillow brings the samples of PNG, PNM and JPEG 2000 to 16 bits.
    return _DeepSamples(2**16 - 1, inverted)


def _tuple(value: int | tuple[int, ...] | None) -> tuple[int, ...]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)
