"""Blurs against SciPy and against loops."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy import ndimage

from robustjax import corruption
from robustjax.corruption import _blurs, _image_filters, _motion
from robustjax.corruption._image_draws import Draws

from .pictures import pictures

KEY = jax.random.key(1)
IMAGES = pictures(4, 24, 30)


def assert_truncated(found, exact):
    """Equal to the truncation of exact levels, but where these are whole numbers."""
    whole = np.abs(exact - np.rint(exact)) < 2e-3
    low = np.floor(np.clip(exact, 0, 255))
    assert (found == low)[~whole].all()
    assert np.abs(found - exact)[whole].max(initial=0) <= 1


@pytest.mark.parametrize("deviation", [0.0, 0.05, 0.25, 0.4, 0.6, 0.7, 0.8, 1.0, 2.5])
@pytest.mark.parametrize(
    ("mode", "theirs"), [("edge", "nearest"), ("reflect", "mirror")]
)
def test_gaussian_filter_is_scipys(deviation, mode, theirs):
    planes = IMAGES.astype(np.float32)
    found = _image_filters.gaussian_blur_planes(planes, deviation, mode=mode)
    want = ndimage.gaussian_filter(
        IMAGES.astype(float), (0, deviation, deviation, 0), mode=theirs, truncate=4
    )
    np.testing.assert_allclose(found, want, atol=1e-3)
    weights = _image_filters.gaussian_weights(deviation)
    assert weights.sum() == pytest.approx(1, abs=1e-6)


def test_padding_reaches_beyond_the_whole_image():
    planes = np.arange(4.0).reshape(1, 4, 1)
    found = _image_filters.pad(planes, 1, 9, "reflect")[0, :, 0]
    np.testing.assert_array_equal(found, np.pad(np.arange(4.0), 9, "reflect"))


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_gaussian_blur(severity):
    deviation = (0.4, 0.6, 0.7, 0.8, 1.0)[severity - 1]
    want = ndimage.gaussian_filter(
        IMAGES.astype(float), (0, deviation, deviation, 0), mode="nearest", truncate=4
    )
    assert_truncated(corruption.gaussian_blur(IMAGES, severity), want)


def test_defocus_at_five_is_a_box_of_nine():
    kernel = _blurs.defocus_kernel(1.5, 0.1)
    want = np.zeros((5, 5))
    want[1:4, 1:4] = 1 / 9
    np.testing.assert_allclose(kernel, want, atol=1e-12)
    exact = ndimage.uniform_filter(IMAGES.astype(float), (1, 3, 3, 1), mode="mirror")
    assert_truncated(corruption.defocus_blur(IMAGES, 5), exact)


@pytest.mark.parametrize("severity", [1, 2, 3, 4])
def test_defocus_kernels(severity):
    radius, deviation = _blurs._DEFOCUS[severity - 1]
    kernel = _blurs.defocus_kernel(radius, deviation)
    # The recipe on its own grid of 17 x 17.
    place = np.arange(-8, 9)
    disk = (place[:, None] ** 2 + place**2 <= radius**2) * 1.0
    disk /= disk.sum()
    smooth = np.exp(-(np.arange(-1, 2) ** 2) / (2 * deviation**2))
    smooth = np.outer(smooth, smooth) / smooth.sum() ** 2
    want = ndimage.convolve(disk, smooth)
    np.testing.assert_allclose(kernel, want[6:11, 6:11], atol=1e-8)
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(kernel, kernel.T, rtol=1e-12)
    exact = ndimage.correlate(
        IMAGES.astype(float), kernel[None, :, :, None], mode="mirror"
    )
    assert_truncated(corruption.defocus_blur(IMAGES, severity), exact)


def scanned_glass(levels, offsets, passes):
    """Pixel by pixel, from the last to the first, in place."""
    image = levels.copy()
    height, width = image.shape[:2]
    for number in range(passes):
        for row in range(height - 1, 1, -1):
            for column in range(width - 1, 1, -1):
                down, right = offsets[number][row - 2, column - 2]
                image[row, column] = image[row + down, column + right]
    return image


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_glass_is_the_sequential_scan_of_copies(severity):
    deviation, passes = _blurs._GLASS[severity - 1]
    height, width = IMAGES.shape[1:3]
    draws = Draws.of(KEY, "glass_blur", np.arange(len(IMAGES), dtype=np.uint64))
    words = [
        draws.words(f"offsets {n}", (height - 2) * (width - 2)).reshape(
            -1, height - 2, width - 2
        )
        for n in range(passes)
    ]
    offsets = [-np.stack([w >> 1 & 1, w & 1], -1).astype(int) for w in words]
    first = _image_filters.gaussian_blur_planes(
        IMAGES.astype(np.float32), deviation, mode="edge"
    )
    first = np.floor(first + 1e-3).astype(np.uint8)
    scanned = np.stack(
        [
            scanned_glass(image, [o[row] for o in offsets], passes)
            for row, image in enumerate(first)
        ]
    )
    want = ndimage.gaussian_filter(
        scanned.astype(float), (0, deviation, deviation, 0), mode="nearest", truncate=4
    )
    assert_truncated(corruption.glass_blur(IMAGES, severity, KEY), want)
    # The four offsets are equally likely, and directions independent.
    both = (words[0] & 3).ravel()
    np.testing.assert_allclose(np.bincount(both) / both.size, 0.25, atol=0.03)


def test_glass_drifts_by_half_a_pixel():
    ramp = np.broadcast_to(np.arange(32) * 8, (64, 32, 32)).astype(np.uint8)
    images = np.repeat(ramp[..., None], 3, axis=-1)
    found = corruption.glass_blur(images, 1, KEY).astype(float)
    drift = (images - found)[:, 2:, 2:-1].mean() / 8
    assert drift == pytest.approx(0.5, abs=0.01)


def shifted_sum(image, angle, radius, deviation):
    """Tap by tap, one image, as the rule is written."""
    width = 2 * radius + 1
    weights = np.exp(-(np.arange(width) ** 2) / (2 * deviation**2))
    weights /= weights.sum()
    point = width * np.sin(angle), width * np.cos(angle)
    total = np.zeros(image.shape)
    rows, columns = np.indices(image.shape[:2])
    for i, weight in enumerate(weights):
        down = -int(np.ceil(i * point[0] / np.hypot(*point) - 0.5))
        right = -int(np.ceil(i * point[1] / np.hypot(*point) - 0.5))
        row = np.clip(rows - down, 0, image.shape[0] - 1)
        column = np.clip(columns - right, 0, image.shape[1] - 1)
        total += weight * image[row, column]
    return total


@pytest.mark.parametrize("severity", [1, 4, 5])
def test_motion_blur_is_a_sum_of_shifted_images(severity):
    radius, deviation = _blurs._MOTION[severity - 1]
    draws = Draws.of(KEY, "motion_blur", np.arange(len(IMAGES), dtype=np.uint64))
    angles = np.radians(draws.uniform("angle", (), -45, 45))
    assert np.abs(angles).max() <= np.pi / 4
    assert angles.std() > 0.1
    exact = np.stack(
        [
            shifted_sum(image.astype(float), angle, radius, deviation)
            for image, angle in zip(IMAGES, angles)
        ]
    )
    assert_truncated(corruption.motion_blur(IMAGES, severity, KEY), exact)
    assert _motion.motion_weights(radius, deviation).sum() == pytest.approx(1)


def test_steep_motion_is_the_same_rule():
    angles = np.radians([-135, -90, -60.0])
    planes = IMAGES[:3, ..., :1].astype(np.float32)
    found = _motion.motion_blur_planes(planes, angles, 14, 12)
    want = np.stack(
        [shifted_sum(p.astype(float), a, 14, 12) for p, a in zip(planes, angles)]
    )
    np.testing.assert_allclose(found, want, atol=1e-3)


def clipped_zoom(image, factor):
    """Cut, magnify by SciPy, cut."""
    size = np.array(image.shape[:2])
    crop = np.ceil(size / factor).astype(int)
    top = (size - crop) // 2
    part = image[top[0] : top[0] + crop[0], top[1] : top[1] + crop[1]]
    large = ndimage.zoom(part, (factor, factor, 1), order=1)
    trim = (np.array(large.shape[:2]) - size) // 2
    return large[trim[0] : trim[0] + size[0], trim[1] : trim[1] + size[1]]


@pytest.mark.parametrize("factor", [1.0, 1.01, 1.13, 1.25, 1.75, 2.25])
def test_clipped_zoom_is_scipys(factor):
    planes = IMAGES.astype(np.float32)
    found = _image_filters.clipped_zoom(planes, factor)
    want = np.stack([clipped_zoom(image.astype(float), factor) for image in IMAGES])
    np.testing.assert_allclose(found, want, atol=1e-2)


@pytest.mark.parametrize(
    ("severity", "largest", "count"),
    [(1, 1.06, 7), (2, 1.11, 12), (3, 1.15, 16), (4, 1.2, 21), (5, 1.25, 26)],
)
def test_zoom_blur_is_the_mean_of_zooms(severity, largest, count):
    factors = np.linspace(1, largest, count)
    exact = IMAGES.astype(float)
    for factor in factors:
        zoomed = [clipped_zoom(image.astype(float), factor) for image in IMAGES]
        exact = exact + np.stack(zoomed)
    exact /= count + 1
    found = corruption.zoom_blur(IMAGES, severity)
    assert np.abs(found - np.floor(exact)).max() <= 1
    assert np.mean(found == np.floor(exact + 1e-3)) > 0.995
    operator = _blurs.zoom_operator(24, 30, count)
    np.testing.assert_allclose(operator.sum(axis=1), 1, atol=1e-5)


def test_large_images_are_zoomed_one_by_one(monkeypatch):
    want = corruption.zoom_blur(IMAGES, 5)
    monkeypatch.setattr(_blurs, "_LARGEST_OPERATOR", 0)
    found = corruption.zoom_blur(IMAGES, 5).astype(int)
    assert np.abs(found - want).max() <= 1
    assert np.mean(found != want) < 0.001
