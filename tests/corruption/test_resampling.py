"""JPEG and pixelate against Pillow image by image, elastic against SciPy."""

from __future__ import annotations

import io

import jax
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from robustjax import corruption
from robustjax.corruption import _resampling
from robustjax.corruption._image_draws import Draws

from .pictures import pictures

KEY = jax.random.key(2)


@pytest.mark.parametrize("size", [(32, 32), (17, 41)])
@pytest.mark.parametrize(
    ("severity", "quality"), [(1, 80), (2, 65), (3, 58), (4, 50), (5, 40)]
)
def test_jpeg_is_pillows(severity, quality, size):
    images = pictures(3, *size)
    found = corruption.jpeg(images, severity)
    for image, ours in zip(images, found):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        opened = Image.open(file)
        # Two by two pixels share their chroma.
        assert opened.layer[0][1:3] == (2, 2)
        np.testing.assert_array_equal(ours, np.asarray(opened))


@pytest.mark.parametrize("size", [(32, 32), (28, 45)])
@pytest.mark.parametrize(
    ("severity", "share"), [(1, 0.95), (2, 0.9), (3, 0.85), (4, 0.75), (5, 0.65)]
)
def test_pixelate_is_pillows(severity, share, size):
    images = pictures(5, *size)
    found = corruption.pixelate(images, severity)
    small = int(share * size[1]), int(share * size[0])
    for image, ours in zip(images, found):
        theirs = Image.fromarray(image).resize(small, Image.Resampling.BOX)
        theirs = theirs.resize(size[::-1], Image.Resampling.BOX)
        np.testing.assert_array_equal(ours, np.asarray(theirs))


def test_pixelate_at_five_has_twenty_different_lines():
    image = pictures(1)
    found = corruption.pixelate(image, 5)[0]
    assert 1 + (found[1:] != found[:-1]).any(axis=(1, 2)).sum() == 20


@pytest.mark.parametrize("reach", [0.3, 4.0, 200.0])
def test_bilinear_sampling_is_scipys(rng, reach):
    planes = pictures(3, 12, 19).astype(np.float32)
    grid = np.mgrid[:12, :19]
    rows, columns = (g + rng.uniform(-reach, reach, (3, 12, 19)) for g in grid)
    found = _resampling.bilinear(planes, rows, columns)
    want = np.empty(planes.shape)
    for image in range(3):
        for channel in range(3):
            want[image, ..., channel] = ndimage.map_coordinates(
                planes[image, ..., channel].astype(float),
                [rows[image], columns[image]],
                order=1,
                mode="mirror",
            )
    np.testing.assert_allclose(found, want, atol=0.02 if reach > 10 else 2e-3)


@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_the_affine_map_moves_its_three_points(size):
    draws = Draws.of(KEY, "elastic_transform", np.arange(5, dtype=np.uint64))
    rows, columns = _resampling._affine_places(draws, *size, 2.0)
    third = min(size) // 3
    points = np.array([size[0] // 2, size[1] // 2]) + third * np.array(
        [[1, 1], [1, -1], [-1, -1]]
    )
    moved = points + draws.uniform("points", (3, 2), -2, 2)
    for image in range(5):
        found = np.stack(
            [
                ndimage.map_coordinates(places[image], moved[image].T, order=1)
                for places in (rows, columns)
            ],
            axis=-1,
        )
        # Where a point went, the image is that of where it was.
        np.testing.assert_allclose(found, points, atol=1e-6)


@pytest.mark.parametrize("severity", [1, 2, 5])
def test_elastic_is_two_resamplings(severity):
    images = pictures(3)
    strength, deviation, move = (32 * s for s in _resampling._ELASTIC[severity - 1])
    if severity == 5:
        np.testing.assert_allclose([strength, deviation, move], [3.2, 0.96, 0.96])
    draws = Draws.of(KEY, "elastic_transform", np.arange(3, dtype=np.uint64))
    rows, columns = _resampling._affine_places(draws, 32, 32, move)
    fields = [draws.uniform(what, (32, 32), -1, 1) for what in ("rows", "columns")]
    found = corruption.elastic_transform(images, severity, KEY)
    for image in range(3):
        for channel in range(3):
            plane = images[image, ..., channel].astype(float)
            plane = ndimage.map_coordinates(
                plane, [rows[image], columns[image]], order=1, mode="mirror"
            )
            places = [
                grid
                + strength
                * ndimage.gaussian_filter(
                    field[image].astype(float), deviation, mode="mirror", truncate=3
                )
                for grid, field in zip(np.mgrid[:32, :32], fields)
            ]
            plane = ndimage.map_coordinates(plane, places, order=1, mode="mirror")
            error = found[image, ..., channel] - np.floor(plane + 1e-3)
            assert np.abs(error).max() <= 1
            assert np.mean(error != 0) < 0.02
