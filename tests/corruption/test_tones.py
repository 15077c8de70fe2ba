"""Brightness, contrast, saturation in closed form."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from robustjax import corruption

from .pictures import pictures

IMAGES = pictures(3, 16, 16)


def through_hsv(images, change):
    """Pixel by pixel through Python's own HSV."""
    result = np.empty(images.shape)
    flat, out = images.reshape(-1, 3) / 255, result.reshape(-1, 3)
    for row, pixel in enumerate(flat):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        out[row] = colorsys.hsv_to_rgb(hue, *change(saturation, value))
    return result * 255


def assert_truncated(found, exact):
    whole = np.abs(exact - np.rint(exact)) < 2e-3
    assert (found == np.floor(exact))[~whole].all()
    assert np.abs(found - exact)[whole].max(initial=0) < 1


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_brightness_raises_the_value_of_hsv(severity):
    rise = (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
    exact = through_hsv(IMAGES, lambda s, v: (s, min(v + rise, 1)))
    assert_truncated(corruption.brightness(IMAGES, severity), exact)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_saturate_changes_the_saturation_of_hsv(severity):
    factor, shift = ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))[severity - 1]
    exact = through_hsv(IMAGES, lambda s, v: (min(max(factor * s + shift, 0), 1), v))
    assert_truncated(corruption.saturate(IMAGES, severity), exact)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_contrast_shrinks_towards_the_mean_of_a_channel(severity):
    factor = (0.75, 0.5, 0.4, 0.3, 0.15)[severity - 1]
    mean = IMAGES.mean(axis=(1, 2), keepdims=True)
    exact = (IMAGES - mean) * factor + mean
    assert_truncated(corruption.contrast(IMAGES, severity), exact)


def test_grey_and_black():
    images = np.zeros((1, 8, 8, 3), np.uint8)
    images[:, 4:] = 200
    bright = corruption.brightness(images, 1)
    assert (bright[:, :4] == 12).all()  # 255 * .05, truncated.
    assert (bright[:, 4:] == 212).all()
    # Without a hue, grey counts as red.
    colored = corruption.saturate(images, 5)
    assert not colored[:, :4].any()
    np.testing.assert_array_equal(colored[0, 7, 7], [200, 160, 160])
    np.testing.assert_array_equal(corruption.saturate(images, 1), images)
