"""Composed augmentations: keys, order, and transformations of the whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import data
from robustjax.data import augmentation

KEY = jax.random.key(0)


def pictures(rng, batch=8, size=(8, 8)):
    return rng.integers(1, 255, (batch, *size, 3)).astype(np.uint8)


def test_compose_gives_each_its_own_key_in_order():
    seen = []

    def record(scale, shift):
        def augment(key, images):
            seen.append(jax.random.key_data(key).tolist())
            return images * scale + shift

        return augment

    images = jnp.full((1, 1, 1, 1), 0.5)
    out = augmentation.compose(record(0.5, 0.0), record(1.0, 0.25))(KEY, images)
    assert out.item() == 0.5
    assert len({tuple(key) for key in seen}) == 2
    assert jax.random.key_data(KEY).tolist() not in seen


def test_composing_nothing_gives_the_images_as_floats(rng):
    images = pictures(rng)
    out = augmentation.compose()(KEY, images)
    assert out.dtype == jnp.float32
    np.testing.assert_allclose(out, images / np.float32(255), rtol=1e-6)


def test_standard_augmentation_is_crop_and_flip(rng):
    images = pictures(rng, batch=200)
    still = augmentation.standard_augmentation(padding=0, flip=False)
    flipped = augmentation.standard_augmentation(padding=0)
    shifted = augmentation.standard_augmentation(padding=1, flip=False)
    plain = images / np.float32(255)
    np.testing.assert_allclose(still(KEY, images), plain, rtol=1e-6)
    same = np.isclose(flipped(KEY, images), plain).all(axis=(1, 2, 3))
    mirrored = np.isclose(flipped(KEY, images), plain[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ mirrored).all()
    assert 0.35 < same.mean() < 0.65
    out = np.asarray(shifted(KEY, images))
    kept = np.isclose(out, plain).all(axis=(1, 2, 3)).mean()
    assert 0.03 < kept < 0.2
    # A shift brings in black on one side at most, so a fifth at the very most.
    assert (out == 0).mean() < 0.2


@pytest.mark.slow
def test_strong_augmentation_under_vmap_and_scan(rng):
    augment = augmentation.strong_augmentation(padding=1, cutout_size=4, fill=1.0)
    images = pictures(rng)
    keys = jax.random.split(KEY, 2)
    mapped = jax.jit(jax.vmap(augment, in_axes=(0, None)))(keys, images)
    scanned = jax.jit(
        lambda keys: jax.lax.scan(
            lambda carry, key: (carry, augment(key, images)), None, keys
        )[1]
    )(keys)
    np.testing.assert_array_equal(mapped, scanned)
    assert mapped.shape == (2, *images.shape)
    assert mapped.dtype == jnp.float32
    assert not np.array_equal(mapped[0], mapped[1])
    assert ((mapped >= 0) & (mapped <= 1)).all()
    white = (np.asarray(mapped) == 1).all(axis=-1).sum(axis=(2, 3))
    # The square covers four pixels even in a corner.
    assert white.min() >= 4


def test_the_strong_views_square_has_the_mean_colour(rng):
    augment = augmentation.strong_augmentation(padding=0, flip=False, cutout_size=6)
    out = np.asarray(jax.jit(augment)(KEY, pictures(rng)))
    mean = np.isclose(out, np.float32(data.CIFAR10_MEAN), rtol=1e-6).all(axis=-1)
    assert (mean.sum(axis=(1, 2)) >= 9).all()
    # A colour between the 256 levels: nothing else can have it.
    assert mean.sum(axis=(1, 2)).max() <= 36


def test_errors(rng):
    with pytest.raises(ValueError, match="padding: got -1"):
        augmentation.standard_augmentation(padding=-1)
    with pytest.raises(ValueError, match="mode: unknown 'edge'"):
        augmentation.standard_augmentation(mode="edge")
    with pytest.raises(ValueError, match="cutout_size: got -1"):
        augmentation.strong_augmentation(cutout_size=-1)
    with pytest.raises(ValueError, match="fill: got 2"):
        augmentation.strong_augmentation(fill=2)
    with pytest.raises(ValueError, match="outside: got -1"):
        augmentation.strong_augmentation(outside=-1)
    gray = jnp.asarray(pictures(rng)[..., :1])
    with pytest.raises(ValueError, match=r"fill: got shape \(3,\), expected one"):
        jax.eval_shape(augmentation.strong_augmentation(), KEY, gray)
