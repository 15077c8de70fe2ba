"""Shifted crops and cut-out squares against plain NumPy."""

import jax
import numpy as np
import pytest

from robustjax.data import augmentation

KEY = jax.random.key(0)
MODES = {"zeros": "constant", "reflect": "reflect"}


def pictures(rng, batch=400, size=(6, 5), channels=2):
    return rng.integers(1, 256, (batch, *size, channels)).astype(np.uint8)


@pytest.mark.parametrize("mode", MODES)
def test_crops_are_all_shifts_alike(rng, mode):
    images = pictures(rng, batch=900)
    out = np.asarray(augmentation.random_crop(KEY, images, padding=2, mode=mode))
    border = ((0, 0), (2, 2), (2, 2), (0, 0))
    padded = np.pad(images, border, mode=MODES[mode]) / np.float32(255)
    found = np.zeros((900, 5, 5), bool)
    for top in range(5):
        for left in range(5):
            want = padded[:, top : top + 6, left : left + 5]
            found[:, top, left] = np.isclose(out, want).all(axis=(1, 2, 3))
    assert (found.sum(axis=(1, 2)) == 1).all()
    # 900 draws of 25 shifts: 36 of each, with a deviation of 6.
    assert found.sum(axis=0).min() > 14
    assert found.sum(axis=0).max() < 62


def test_no_padding_leaves_images_alone(rng):
    images = pictures(rng)
    out = augmentation.random_crop(KEY, images, padding=0)
    np.testing.assert_allclose(out, images / np.float32(255), rtol=1e-6)


def test_cutout_is_a_square_about_a_uniform_centre(rng):
    images = pictures(rng, batch=2000, size=(8, 6), channels=3) / np.float32(255)
    fill = np.float32([0, 0.5, 1])
    out = np.asarray(augmentation.cutout(KEY, images, size=4, fill=tuple(fill)))
    painted = (out == fill).all(axis=-1)
    np.testing.assert_array_equal(out[~painted], images[~painted])
    # The published square: from two before the centre to one after, cut off.
    possible = {}
    for row in range(8):
        for column in range(6):
            square = np.zeros((8, 6), bool)
            square[max(row - 2, 0) : row + 2, max(column - 2, 0) : column + 2] = True
            possible[square.tobytes()] = possible.get(square.tobytes(), 0) + 1 / 48
    drawn, counts = np.unique(painted.reshape(2000, -1), axis=0, return_counts=True)
    shares = [possible.pop(square.tobytes()) for square in drawn]
    assert not possible
    np.testing.assert_allclose(counts / 2000, shares, atol=0.02)


@pytest.mark.parametrize(("size", "covered"), [(0, 0), (1, 1), (3, 9), (50, 48)])
def test_cutout_of_other_sizes(rng, size, covered):
    images = pictures(rng, batch=100, size=(8, 6))
    out = np.asarray(augmentation.cutout(KEY, images, size=size))
    assert (out == 0).all(axis=-1).sum(axis=(1, 2)).max() == covered


def test_errors(rng):
    images = pictures(rng, batch=2)
    with pytest.raises(ValueError, match="padding: got -1"):
        augmentation.random_crop(KEY, images, padding=-1)
    with pytest.raises(ValueError, match="padding: got 5, expected less than"):
        augmentation.random_crop(KEY, images, padding=5, mode="reflect")
    with pytest.raises(ValueError, match="mode: unknown 'zero'.*did you mean 'zeros'"):
        augmentation.random_crop(KEY, images, mode="zero")
    with pytest.raises(ValueError, match=r"images: got shape \(6, 5, 2\)"):
        augmentation.random_crop(KEY, images[0])
    with pytest.raises(ValueError, match="size: got -2"):
        augmentation.cutout(KEY, images, size=-2)
    with pytest.raises(ValueError, match=r"fill: got shape \(3,\), expected one"):
        augmentation.cutout(KEY, images, fill=(0, 0, 0))
    with pytest.raises(ValueError, match="images: got int32"):
        augmentation.cutout(KEY, images.astype(np.int32))
