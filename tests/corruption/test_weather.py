"""Snow, frost, fog and spatter against their formulas, loops and statistics."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy import ndimage

from robustjax import corruption
from robustjax.corruption import _edges, _plasma, _spatter, _weather
from robustjax.corruption._image_draws import Draws
from robustjax.corruption._image_filters import clipped_zoom, luminance

from .pictures import pictures
from .test_blurs import shifted_sum

KEY = jax.random.key(5)
IMAGES = pictures(4)
IDS = np.arange(4, dtype=np.uint64)


def looped_plasma(noise, decay):
    """Point by point on a torus."""
    side = len(noise)
    grid = np.zeros((side, side))
    step, amplitude = side, 100.0
    while step >= 2:
        half = step // 2
        for row in range(half, side, step):
            for column in range(half, side, step):
                around = [
                    grid[(row + i) % side, (column + j) % side]
                    for i in (-half, half)
                    for j in (-half, half)
                ]
                grid[row, column] = sum(around) / 4 + amplitude**2 * noise[row, column]
        for row in range(0, side, half):
            for column in range(0, side, half):
                if (row // half + column // half) % 2 == 0:
                    continue
                around = [
                    grid[(row + i) % side, (column + j) % side]
                    for i, j in ((-half, 0), (half, 0), (0, -half), (0, half))
                ]
                grid[row, column] = sum(around) / 4 + amplitude**2 * noise[row, column]
        step, amplitude = half, amplitude / decay
    grid -= grid.min()
    return grid / grid.max()


@pytest.mark.parametrize("side", [2, 8, 32])
@pytest.mark.parametrize("decay", [1.6, 3.0])
def test_plasma_maps_are_diamond_and_square(rng, side, decay):
    noise = rng.uniform(-1, 1, (3, side, side)).astype(np.float32)
    found = _plasma.plasma_maps(noise, decay)
    want = np.stack([looped_plasma(one.astype(float), decay) for one in noise])
    np.testing.assert_allclose(found, want, atol=2e-5)
    assert (found.min(axis=(1, 2)) == 0).all()
    assert (found.max(axis=(1, 2)) == 1).all()


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_fog(severity):
    c, decay = _weather._FOG[severity - 1]
    noise = Draws.of(KEY, "fog", IDS).uniform("plasma", (32, 32), -1, 1)
    plasma = _plasma.plasma_maps(noise, decay)[..., None]
    x = IMAGES / 255
    top = x.max(axis=(1, 2, 3), keepdims=True)
    exact = 255 * np.clip((x + c * plasma) * top / (top + c), 0, 1)
    found = corruption.fog(IMAGES, severity, KEY)
    assert np.abs(found - exact).max() <= 1 + 1e-3
    assert np.mean(found == np.floor(exact + 1e-3)) > 0.999
    black = np.zeros((1, 32, 32, 3), np.uint8)
    assert not corruption.fog(black, severity, KEY).any()


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_snow(severity):
    parameters = _weather._SNOW[severity - 1]
    mean, deviation, zoom, threshold, radius, smear, share = parameters
    draws = Draws.of(KEY, "snow", IDS)
    layer = mean + deviation * draws.normal("flakes", (32, 32))
    layer = clipped_zoom(layer.astype(np.float32), zoom)
    layer = np.clip(np.where(layer < threshold, 0, layer), 0, 1)
    layer = np.floor(255 * layer + 1e-3)
    angles = np.radians(draws.uniform("angle", (), -135, -45))
    falling = np.stack(
        [shifted_sum(one[..., None], a, radius, smear) for one, a in zip(layer, angles)]
    )
    x = IMAGES.astype(float)
    white = np.maximum(x, 1.5 * luminance(IMAGES)[..., None] + 127.5)
    exact = share * x + (1 - share) * white + falling + np.rot90(falling, 2, (1, 2))
    found = corruption.snow(IMAGES, severity, KEY)
    error = found - np.floor(np.clip(exact, 0, 255) + 1e-3)
    assert np.abs(error).max() <= 1
    assert np.mean(error != 0) < 0.01


@pytest.mark.slow
def test_frost_has_the_moments_of_the_photographs():
    draws = Draws.of(KEY, "frost", np.arange(4000, dtype=np.uint64))
    layer = _weather.frost_layer(draws, 32, 32)
    assert layer.min() >= 0
    assert layer.max() <= 255
    chosen = draws.choice("texture", [0.2, 0.4, 0.2, 0.2])
    np.testing.assert_allclose(
        np.bincount(chosen) / 4000, [0.2, 0.4, 0.2, 0.2], atol=0.03
    )
    # Mean colours, deviation inside a window and over all, correlation at 1 and 8.
    table = [
        ((78, 149, 166), 14, 18, 0.69, 0.48),
        ((201, 205, 214), 18, 22, 0.60, 0.45),
        ((138, 153, 166), 26, 29, 0.48, 0.31),
        ((112, 123, 135), 35, 43, 0.58, 0.38),
    ]
    for texture, (mean, inside, overall, near, far) in enumerate(table):
        mine = layer[chosen == texture]
        np.testing.assert_allclose(mine.mean(axis=(0, 1, 2)), mean, atol=2.5)
        grey = mine.mean(axis=-1)
        assert grey.std(axis=(1, 2)).mean() == pytest.approx(inside, rel=0.02)
        assert grey.std() == pytest.approx(overall, rel=0.05)
        centred = grey - grey.mean()
        for lag, want in ((1, near), (8, far)):
            for one, two in (
                (centred[:, lag:], centred[:, :-lag]),
                (centred[:, :, lag:], centred[:, :, :-lag]),
            ):
                found = np.mean(one * two) / centred.var()
                assert found == pytest.approx(want, abs=0.13)


def test_frost_is_a_mixture_of_image_and_layer():
    kept, laid = _weather._FROST[4]
    layer = _weather.frost_layer(Draws.of(KEY, "frost", IDS), 32, 32)
    exact = np.clip(kept * IMAGES + laid * layer, 0, 255)
    found = corruption.frost(IMAGES, 5, KEY)
    assert np.abs(found - np.floor(exact + 1e-3)).max() <= 1
    assert np.mean(found == np.floor(exact + 1e-3)) > 0.999
    assert "procedural" in corruption.frost.__doc__


@pytest.mark.parametrize("severity", [4, 5])
def test_mud(severity):
    mean, deviation, blur, threshold, smear, _ = _spatter._SPATTER[severity - 1]
    draws = Draws.of(KEY, "spatter", IDS)
    layer = mean + deviation * draws.normal("drops", (32, 32)).astype(float)
    layer = ndimage.gaussian_filter(layer, (0, blur, blur), mode="nearest")
    mask = ndimage.gaussian_filter(
        (layer > threshold) * 1.0, (0, smear, smear), mode="nearest"
    )
    mask = np.where(mask < 0.8, 0, mask)[..., None]
    assert 0.02 < (mask > 0).mean() < 0.3
    exact = IMAGES * (1 - mask) + mask * np.array([63, 42, 20])
    found = corruption.spatter(IMAGES, severity, KEY)
    error = found - np.floor(exact + 1e-3)
    assert np.abs(error).max() <= 1
    assert np.mean(error != 0) < 0.01


@pytest.mark.parametrize("severity", [1, 2, 3])
def test_water_only_lightens_and_is_pale_turquoise(severity):
    black = np.zeros((8, 32, 32, 3), np.uint8)
    found = corruption.spatter(black, severity, KEY).astype(float)
    red, green, blue = np.moveaxis(found, -1, 0)
    np.testing.assert_array_equal(green, blue)
    wet = green > 20
    assert 0.02 < wet.mean() < 0.9
    np.testing.assert_allclose(red[wet] / green[wet], 175 / 238, atol=0.06)
    # The strongest drop of every image has .5 of the tint.
    np.testing.assert_array_equal(green.max(axis=(1, 2)), np.floor(238 * 0.5))
    assert (corruption.spatter(IMAGES, severity, KEY) >= IMAGES).all()


def test_water_of_one_image_does_not_depend_on_the_next():
    drops = np.zeros((2, 16, 16), np.uint8)
    drops[0, 4:9, 4:12] = 200
    both = _spatter.water_mask(drops, 0.5)
    np.testing.assert_array_equal(both[0], _spatter.water_mask(drops[:1], 0.5)[0])
    assert not both[1].any()
    assert not _spatter.water_mask(drops[1:], 0.5).any()
    assert both[0].max() == pytest.approx(0.5)


def test_edges_are_thin_lines_around_a_square():
    plane = np.zeros((2, 20, 20), np.uint8)
    plane[0, 5:15, 5:15] = 200
    edges = _edges.canny_edges(plane, 50, 150)
    assert not edges[1].any()
    border = ndimage.binary_dilation(plane[0] > 0) & ~ndimage.binary_erosion(
        plane[0] > 0, iterations=2
    )
    assert edges[0].any()
    assert not edges[0][~border].any()
    # One pixel thick along each side.
    assert (edges[0][9:11].sum(axis=1) == 2).all()
    assert (edges[0][:, 9:11].sum(axis=0) == 2).all()


def test_weak_edges_count_where_they_touch_strong_ones():
    plane = np.zeros((1, 20, 20), np.uint8)
    plane[0, :, 10:] = np.linspace(20, 120, 20)[:, None]
    touching = _edges.canny_edges(plane, 50, 400)
    assert touching[0, 3:, 8:12].any(axis=1).all()
    # All of it is weak here.
    assert not _edges.canny_edges(plane, 50, 1000).any()


def test_equalizing_spreads_ranks():
    levels = np.array([[[3, 3, 7, 9]], [[5, 5, 5, 5]]], np.uint8)
    found = _spatter.equalized(levels)
    np.testing.assert_array_equal(found[0, 0], [0, 0, 128, 255])
    np.testing.assert_array_equal(found[1], levels[1])
