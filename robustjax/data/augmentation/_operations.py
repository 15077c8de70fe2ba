"""The image operations of AutoAugment and RandAugment by name."""

from __future__ import annotations

import enum


class Operation(enum.IntEnum):
    """An operation and, in its comment, what its value means."""

    IDENTITY = 0
    SHEAR_X = 1
    """The shift of a pixel per row, as a share of a pixel."""
    SHEAR_Y = 2
    """The same per column."""
    TRANSLATE_X = 3
    """Pixels to the left."""
    TRANSLATE_Y = 4
    """Pixels upwards."""
    ROTATE = 5
    """Degrees counter-clockwise."""
    AUTO_CONTRAST = 6
    INVERT = 7
    EQUALIZE = 8
    SOLARIZE = 9
    """The lowest value in 0 … 256 that is inverted."""
    POSTERIZE = 10
    """The number of bits that are kept, 1 … 8."""
    CONTRAST = 11
    """A factor: 0 gives the mean gray, 1 the image."""
    COLOR = 12
    """A factor: 0 gives a gray image, 1 the image."""
    BRIGHTNESS = 13
    """A factor: 0 gives black, 1 the image."""
    SHARPNESS = 14
    """A factor: 0 gives a smoothed image, 1 the image."""
