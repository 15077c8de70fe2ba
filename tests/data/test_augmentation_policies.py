"""AutoAugment and RandAugment: what can come out, and how often."""

import itertools

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from robustjax.data import augmentation
from robustjax.data.augmentation import _policies as policies
from robustjax.data.augmentation._operations import Operation as Op
from tests.data.test_augmentation_operations import pillow

KEY = jax.random.key(0)
BLACK = np.zeros(3, np.uint8)
SIGNED = (Op.SHEAR_X, Op.SHEAR_Y, Op.TRANSLATE_X, Op.TRANSLATE_Y, Op.ROTATE)

# Cubuk et al. (CVPR 2019), the appendix' table for CIFAR-10: operation, probability
# in tenths, magnitude, twice. Not read from the library, which is held to it.
PUBLISHED = """
    invert 1 7         contrast 2 6
    rotate 7 2         translate_x 3 9
    sharpness 8 1      sharpness 9 3
    shear_y 5 8        translate_y 7 9
    auto_contrast 5 8  equalize 9 2
    shear_y 2 7        posterize 3 7
    color 4 3          brightness 6 7
    sharpness 3 9      brightness 7 9
    equalize 6 5       equalize 5 1
    contrast 6 7       sharpness 6 5
    color 7 7          translate_x 5 8
    equalize 3 7       auto_contrast 4 8
    translate_y 4 3    sharpness 2 6
    brightness 9 6     color 2 8
    solarize 5 2       invert 0 3
    equalize 2 0       auto_contrast 6 0
    equalize 2 8       equalize 6 4
    color 9 9          equalize 6 6
    auto_contrast 8 4  solarize 2 8
    brightness 1 3     color 7 0
    solarize 4 5       auto_contrast 9 3
    translate_y 9 9    translate_y 7 9
    auto_contrast 9 2  solarize 8 3
    equalize 8 8       invert 1 3
    translate_y 7 9    auto_contrast 9 1
"""


def published_policy():
    """Rows of two (operation, probability, magnitude)."""
    rows = []
    for line in PUBLISHED.split("\n"):
        if cells := line.split():
            pairs = (cells[:3], cells[3:])
            rows.append([(Op[n.upper()], int(p) / 10, int(m)) for n, p, m in pairs])
    return rows


def picture(rng):
    """One 32-by-32 image with the whole range of levels in every channel."""
    image = rng.integers(20, 200, (32, 32, 3)).astype(np.uint8)
    image[0, 0], image[0, 1] = 0, 255
    return image


def published_value(op, level):
    """The value of a magnitude in AutoAugment's code for CIFAR-10."""
    if op in (Op.SHEAR_X, Op.SHEAR_Y):
        return 0.3 * level / 10
    if op in (Op.TRANSLATE_X, Op.TRANSLATE_Y):
        return level
    if op == Op.ROTATE:
        return 3 * level
    if op == Op.SOLARIZE:
        return 256 - 256 * level // 10
    if op == Op.POSTERIZE:
        return 4 - 4 * level // 10
    return 0.1 + 0.18 * level


def check_outcomes(out, outcomes, share_apart):
    """Every image is a possible outcome, as often as expected.

    To two levels: Pillow's auto-contrast may be one lower, and what follows may double
    that; different outcomes are much further apart.
    """
    names = sorted(outcomes)
    possible = np.frombuffer(b"".join(names), np.uint8).reshape(len(names), -1)
    found, index = np.unique(out.reshape(len(out), -1), axis=0, return_inverse=True)
    distance = np.array(
        [np.abs(possible.astype(int) - row).max(axis=1) for row in found.astype(int)]
    )
    assert distance.min(axis=1).max() <= 2
    assert np.sort(distance, axis=1)[:, 1].min() > 2
    frequency = np.bincount(
        distance.argmin(axis=1)[index.ravel()], minlength=len(names)
    )
    expected = np.array([outcomes[name] for name in names])
    np.testing.assert_allclose(expected.sum(), 1)
    apart = np.abs(frequency / len(out) - expected).sum() / 2
    assert apart < share_apart


def test_policy_table():
    rows = [list(row) for row in policies.CIFAR10_POLICY]
    assert len(rows) == 25
    assert rows == published_policy()


def test_row_13_is_the_papers():
    """Cubuk et al. (2019): colour by 8; copies of it elsewhere have 6."""
    want = ((Op.BRIGHTNESS, 0.9, 6), (Op.COLOR, 0.2, 8))
    assert policies.CIFAR10_POLICY[13] == want


@pytest.mark.slow
def test_auto_augment_draws_the_published_policy(rng):
    image = picture(rng)
    outcomes = {}
    for row in published_policy():
        branches = [(image, 1 / 25)]
        for op, share, level in row:
            value = published_value(op, level)
            signs = (-1, 1) if op in SIGNED else (1,)
            after = [(seen, p * (1 - share)) for seen, p in branches]
            for (seen, p), sign in itertools.product(branches, signs):
                changed = pillow(op, sign * value, seen, BLACK)
                after.append((changed, p * share / len(signs)))
            branches = after
        for seen, p in branches:
            outcomes[seen.tobytes()] = outcomes.get(seen.tobytes(), 0) + p
    images = np.repeat(image[None], 1500, axis=0)
    out = np.asarray(jax.jit(augmentation.auto_augment)(KEY, images))
    assert out.dtype == np.float32
    check_outcomes(np.round(255 * out).astype(np.uint8), outcomes, 0.09)


@pytest.mark.slow
@pytest.mark.parametrize("magnitude", [4, 14])
def test_rand_augment_draws_every_operation_alike(rng, magnitude):
    share = magnitude / 10
    values = {
        Op.SHEAR_X: 0.3 * share,
        Op.SHEAR_Y: 0.3 * share,
        Op.TRANSLATE_X: int(10 * share),
        Op.TRANSLATE_Y: int(10 * share),
        Op.ROTATE: 30 * share,
        Op.SOLARIZE: max(256 - 25.6 * magnitude, 0),
        Op.POSTERIZE: 8 - round(0.4 * magnitude),
    }
    image = picture(rng)
    outcomes = {}
    # Cubuk et al. (2020): 14 operations, of which inverting is none.
    for op in set(Op) - {Op.INVERT}:
        for sign in (-1, 1):
            value = values.get(op, max(1 + 0.9 * sign * share, 0))
            if op in SIGNED:
                value = sign * value
            seen = pillow(op, value, image, BLACK).tobytes()
            outcomes[seen] = outcomes.get(seen, 0) + 1 / 28
    images = np.repeat(image[None], 1500, axis=0)
    out = augmentation.rand_augment(KEY, images, num_ops=1, magnitude=magnitude)
    check_outcomes(np.round(255 * np.asarray(out)).astype(np.uint8), outcomes, 0.07)


@pytest.mark.slow
def test_operations_follow_each_other(rng):
    image = picture(rng)
    images = np.repeat(image[None], 300, axis=0)
    plain = image / np.float32(255)
    none = augmentation.rand_augment(KEY, images[:2], num_ops=0)
    np.testing.assert_allclose(none, [plain, plain], atol=1e-6)
    # Identity and auto-contrast leave this image alone: 1 in 7, and 1 in 49 twice.
    twice = augmentation.rand_augment(KEY, images, num_ops=2, magnitude=5)
    untouched = np.isclose(twice, plain).all(axis=(1, 2, 3))
    assert 0 < untouched.mean() < 0.07


def test_translations_are_scaled_with_the_side():
    for side, want in ((32, 9), (64, 18), (28, 7)):
        values = policies._policy_values(Op.TRANSLATE_X, 9, 5, side)
        assert values == (-want, want)
        values = policies._policy_values(Op.TRANSLATE_Y, 9, side, 5)
        assert values == (-want, want)


def test_fill_is_the_colour_from_outside():
    # What moves pixels, 5 of 14 operations, leaves the others white.
    images = np.full((200, 16, 16, 1), 255, np.uint8)
    out = np.asarray(augmentation.rand_augment(KEY, images, fill=100 / 255, num_ops=1))
    moved = np.isclose(out, 100 / 255).any(axis=(1, 2, 3))
    assert 3 / 14 < moved.mean() < 7 / 14
    kept = np.isclose(out[moved], 100 / 255) | np.isclose(out[moved], 1)
    assert kept.all()


def test_sharded_images_are_the_same(rng, mesh):
    images = rng.integers(0, 256, (16, 12, 12, 3)).astype(np.uint8)
    function = jax.jit(augmentation.auto_augment)
    by_rows = NamedSharding(mesh, PartitionSpec("data"))
    out = function(KEY, jax.device_put(images, by_rows))
    assert out.sharding.is_equivalent_to(by_rows, 4)
    np.testing.assert_array_equal(out, function(KEY, images))


def test_errors(rng):
    images = rng.integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    auto, rand = augmentation.auto_augment, augmentation.rand_augment
    with pytest.raises(ValueError, match=r"images: got shape \(8, 8, 3\)"):
        auto(KEY, images[0])
    with pytest.raises(ValueError, match="images: got 2 channels, expected 1 or 3"):
        auto(KEY, images[..., :2])
    with pytest.raises(ValueError, match="images: got int32"):
        rand(KEY, images.astype(np.int32))
    with pytest.raises(ValueError, match=r"fill: got shape \(2,\)"):
        auto(KEY, images, fill=(0.1, 0.2))
    with pytest.raises(ValueError, match="fill: got 128"):
        auto(KEY, images, fill=128)
    with pytest.raises(ValueError, match="num_ops: got -1"):
        rand(KEY, images, num_ops=-1)
    with pytest.raises(ValueError, match="magnitude: got 31"):
        rand(KEY, images, magnitude=31)
