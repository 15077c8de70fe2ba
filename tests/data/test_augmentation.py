"""Augmentations: shapes and ranges of all; colours, mirror images, SimCLR's crops."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.data import augmentation
from robustjax.data.augmentation import _color as color

KEY = jax.random.key(0)


def crop(images, **settings):
    """Compiled: one by one, the operations of a crop take seconds to compile."""

    @jax.jit
    def run(key, images):
        return augmentation.random_resized_crop(key, images, **settings)

    return np.asarray(run(KEY, images))


def pictures(rng, batch=6, channels=3, size=(10, 8)):
    return rng.integers(0, 256, (batch, *size, channels)).astype(np.uint8)


FUNCTIONS = {
    "crop": augmentation.random_crop,
    "resized_crop": augmentation.random_resized_crop,
    "cutout": functools.partial(augmentation.cutout, size=4),
    "auto": augmentation.auto_augment,
    "flip": augmentation.random_flip,
    "grayscale": augmentation.random_grayscale,
    "jitter": augmentation.color_jitter,
    "simclr": augmentation.simclr_augmentation(),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_shape_type_range_and_randomness(rng, name, channels):
    function = jax.jit(FUNCTIONS[name])
    images = np.repeat(pictures(rng, batch=1, channels=channels), 32, axis=0)
    out = np.asarray(function(KEY, images))
    assert out.shape == images.shape
    assert out.dtype == np.float32
    assert (out > -1e-5).all()
    assert (out < 1 + 1e-5).all()
    np.testing.assert_array_equal(out, function(KEY, images))
    if name != "grayscale" or channels == 3:
        assert len(np.unique(out.reshape(32, -1), axis=0)) > 1
        assert not np.array_equal(out, function(jax.random.key(1), images))


def test_bytes_and_floats_are_the_same_images(rng):
    function = FUNCTIONS["jitter"]
    images = pictures(rng)
    np.testing.assert_allclose(
        function(KEY, images), function(KEY, images.astype(np.float32) / 255), atol=1e-5
    )


def test_the_full_crop_is_the_image(rng):
    images = pictures(rng, size=(8, 8))
    out = crop(images, scale=(1, 1), ratio=(1, 1))
    np.testing.assert_allclose(out, images / 255, atol=1e-4)


def test_crop_resizes_without_shift(rng):
    ramp = np.broadcast_to(np.arange(16.0)[:, None] + 0.5, (16, 16))
    images = np.stack([ramp, ramp.T], axis=-1)[None].astype(np.float32)
    out = crop(images, size=(8, 8), scale=(1, 1), ratio=(1, 1))
    assert out.shape == (1, 8, 8, 2)
    # Pixel i of the half-sized ramp covers the positions 2i … 2i + 2.
    want = np.repeat(np.arange(3, 15, 2)[:, None], 6, axis=1)
    np.testing.assert_allclose(out[0, 1:-1, 1:-1, 0], want, atol=1e-4)
    np.testing.assert_allclose(out[0, 1:-1, 1:-1, 1], want.T, atol=1e-4)


def test_crops_have_the_areas_and_ratios_asked_for():
    # A ramp's slope is one over the magnification, and its values tell the place.
    size = 32
    row, column = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    image = np.stack([row, column], axis=-1).astype(np.float32) + 0.5
    images = np.repeat(image[None], 500, axis=0)
    out = crop(images, scale=(0.2, 0.4))
    middle = slice(12, 20)
    high = size * np.diff(out[:, middle, 16, 0], axis=1).mean(axis=1)
    wide = size * np.diff(out[:, 16, middle, 1], axis=1).mean(axis=1)
    area, ratio = high * wide / size**2, wide / high
    assert 0.199 < area.min() < 0.21
    assert 0.39 < area.max() < 0.401
    assert 0.749 < ratio.min() < 0.78
    assert 1.28 < ratio.max() < 1.334
    # Rectangles stay inside, and reach all sides.
    centre = out[:, 15:17, 15:17].mean(axis=(1, 2))
    top, left = centre[:, 0] - high / 2, centre[:, 1] - wide / 2
    assert min(top.min(), left.min()) > -0.1
    assert max((top + high).max(), (left + wide).max()) < size + 0.1
    assert top.min() < 1
    assert (left + wide).max() > size - 1


def test_flip_mirrors_about_half(rng):
    images = pictures(rng, batch=400, size=(3, 3)) / np.float32(255)
    out = np.asarray(augmentation.random_flip(KEY, images))
    same = (out == images).all(axis=(1, 2, 3))
    mirrored = (out == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ mirrored).all()
    assert 0.4 < mirrored.mean() < 0.6


def test_grayscale_is_luma_for_the_share_asked_for(rng):
    images = pictures(rng, batch=400, size=(3, 3)) / np.float32(255)
    out = np.asarray(augmentation.random_grayscale(KEY, images, probability=0.25))
    changed = (out != images).any(axis=(1, 2, 3))
    assert 0.18 < changed.mean() < 0.32
    luma = images @ np.asarray([0.299, 0.587, 0.114], np.float32)
    np.testing.assert_allclose(
        out[changed], np.repeat(luma[changed][..., None], 3, -1), atol=1e-5
    )


@pytest.mark.slow
def test_jitter_one_property_at_a_time(rng):
    images = rng.uniform(0.3, 0.6, (50, 4, 4, 3)).astype(np.float32)
    off = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, "probability": 1}

    def jitter(**on):
        jitter = functools.partial(augmentation.color_jitter, **{**off, **on})
        return np.asarray(jax.jit(jitter)(KEY, images))

    luma = np.asarray([0.299, 0.587, 0.114])
    np.testing.assert_allclose(jitter(), images, atol=1e-5)
    factor = jitter(brightness=0.4) / images
    np.testing.assert_allclose(factor.std(axis=(1, 2, 3)), 0, atol=1e-5)
    assert 0.6 <= factor.min() < 0.7
    assert 1.3 < factor.max() <= 1.4001
    mean = (images @ luma).mean(axis=(1, 2))
    np.testing.assert_allclose(
        (jitter(contrast=0.4) @ luma).mean(axis=(1, 2)), mean, atol=1e-5
    )
    # Saturation and hue keep the brightness of every pixel.
    for strength in ({"saturation": 0.5}, {"hue": 0.1}):
        changed = jitter(**strength)
        assert np.abs(changed - images).max() > 0.01
        np.testing.assert_allclose(changed @ luma, images @ luma, atol=2e-3)


def test_a_full_turn_of_the_hue_is_none(rng):
    images = rng.uniform(size=(5, 2, 2, 3)).astype(np.float32)
    turned = color._turn_hue(jnp.asarray(images), jnp.ones(5))
    np.testing.assert_allclose(turned, images, atol=1e-4)


def test_jitter_leaves_the_share_asked_for_alone(rng):
    images = rng.uniform(size=(400, 2, 2, 3)).astype(np.float32)
    out = np.asarray(augmentation.color_jitter(KEY, images, probability=0.25))
    assert 0.18 < (out != images).any(axis=(1, 2, 3)).mean() < 0.32


def test_simclr_without_anything_but_a_full_crop_is_close_to_the_image(rng):
    augment = augmentation.simclr_augmentation(
        crop_scale=(1, 1), flip=False, jitter=0, grayscale=0
    )
    images = pictures(rng, size=(8, 8), batch=50)
    out = np.asarray(jax.jit(augment)(KEY, images))
    # The ratio still varies, but a rectangle is cut to the image on one side.
    assert np.abs(out.mean(axis=(1, 2)) - images.mean(axis=(1, 2)) / 255).max() < 0.1


def test_errors(rng):
    images = pictures(rng)
    with pytest.raises(ValueError, match="scale: got"):
        augmentation.random_resized_crop(KEY, images, scale=(0.5, 0.2))
    with pytest.raises(ValueError, match="scale: got"):
        augmentation.random_resized_crop(KEY, images, scale=(0.5, 1.5))
    with pytest.raises(ValueError, match="ratio: got"):
        augmentation.random_resized_crop(KEY, images, ratio=(0, 1))
    with pytest.raises(ValueError, match="images: got int64"):
        augmentation.random_flip(KEY, images.astype(np.int64))
    with pytest.raises(ValueError, match="images: got shape"):
        augmentation.random_flip(KEY, images[0])
    with pytest.raises(ValueError, match="probability"):
        augmentation.random_grayscale(KEY, images, probability=2)
    with pytest.raises(ValueError, match="hue: got 0.7"):
        augmentation.color_jitter(KEY, images, hue=0.7)
    with pytest.raises(ValueError, match=r"got 2049 x 2048 pixels, expected at most"):
        jax.eval_shape(
            lambda x: augmentation.rand_augment(KEY, x),
            jax.ShapeDtypeStruct((1, 2049, 2048, 1), jnp.uint8),
        )
    with pytest.raises(ValueError, match="images: got floats from nan to nan"):
        augmentation.auto_augment(KEY, jnp.full(images.shape, jnp.nan))
    with pytest.raises(ValueError, match="jitter: got -1"):
        augmentation.simclr_augmentation(jitter=-1)
