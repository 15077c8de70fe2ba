"""Every operation of AutoAugment and RandAugment against Pillow's own."""

import jax
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from robustjax.data.augmentation import _enhance as enhance
from robustjax.data.augmentation import _pointwise as pointwise
from robustjax.data.augmentation._apply import apply_operations
from robustjax.data.augmentation._operations import Operation

FILL = np.array([10, 128, 255], np.uint8)
REPEATS = 24


def pillow(operation, value, image, fill=FILL):
    """What Pillow makes of one (H, W, C) image of bytes."""
    channels = image.shape[-1]
    picture = Image.fromarray(image if channels == 3 else image[..., 0])
    color = tuple(map(int, fill)) if channels == 3 else int(fill[0])

    def affine(*coefficients):
        kind = Image.Transform.AFFINE
        return picture.transform(picture.size, kind, coefficients, fillcolor=color)

    functions = {
        Operation.IDENTITY: lambda: picture,
        Operation.SHEAR_X: lambda: affine(1, value, 0, 0, 1, 0),
        Operation.SHEAR_Y: lambda: affine(1, 0, 0, value, 1, 0),
        Operation.TRANSLATE_X: lambda: affine(1, 0, value, 0, 1, 0),
        Operation.TRANSLATE_Y: lambda: affine(1, 0, 0, 0, 1, value),
        Operation.ROTATE: lambda: picture.rotate(value, fillcolor=color),
        Operation.AUTO_CONTRAST: lambda: ImageOps.autocontrast(picture),
        Operation.INVERT: lambda: ImageOps.invert(picture),
        Operation.EQUALIZE: lambda: ImageOps.equalize(picture),
        Operation.SOLARIZE: lambda: ImageOps.solarize(picture, value),
        Operation.POSTERIZE: lambda: ImageOps.posterize(picture, int(value)),
        Operation.CONTRAST: lambda: ImageEnhance.Contrast(picture).enhance(value),
        Operation.COLOR: lambda: ImageEnhance.Color(picture).enhance(value),
        Operation.BRIGHTNESS: lambda: ImageEnhance.Brightness(picture).enhance(value),
        Operation.SHARPNESS: lambda: ImageEnhance.Sharpness(picture).enhance(value),
    }
    return np.asarray(functions[operation]()).reshape(image.shape)


def random_values(rng, operation):
    if operation in (Operation.SHEAR_X, Operation.SHEAR_Y):
        return rng.uniform(-0.5, 0.5, REPEATS)
    if operation in (Operation.TRANSLATE_X, Operation.TRANSLATE_Y):
        return rng.integers(-10, 11, REPEATS)
    if operation == Operation.ROTATE:
        return rng.uniform(-180, 180, REPEATS)
    if operation == Operation.SOLARIZE:
        return rng.integers(0, 257, REPEATS)
    if operation == Operation.POSTERIZE:
        return rng.integers(1, 9, REPEATS)
    return rng.choice([0, 1, *rng.uniform(0, 2.5, 10)], REPEATS)


def random_images(rng, count, size, channels):
    """Some of all levels, some of few, some of one channel each constant."""
    shape = (count, *size, channels)
    low = rng.integers(0, 120, (count, 1, 1, channels))
    high = low + rng.integers(1, 136, (count, 1, 1, channels))
    images = rng.integers(low, high, shape)
    images[::3] = rng.integers(0, 256, images[::3].shape)
    images[1::9, ..., 0] = 7
    images[2::9] = 255 * rng.integers(0, 2, images[2::9].shape)
    return images.astype(np.uint8)


@pytest.fixture(scope="module", params=[1, 3], ids=["gray", "color"])
def applied(request):
    """All operations in one batch, in random order, with what came out."""
    rng = np.random.default_rng(0)
    operation = np.repeat(np.arange(len(Operation)), REPEATS)
    value = np.concatenate([random_values(rng, op) for op in Operation])
    order = rng.permutation(operation.size)
    operation, value = operation[order], value[order].astype(np.float32)
    images = random_images(rng, operation.size, (21, 26), request.param)
    fill = FILL[: request.param]
    out = jax.jit(apply_operations)(images, operation, value, fill)
    assert out.dtype == np.uint8
    return operation, value, images, np.asarray(out)


@pytest.mark.parametrize("operation", Operation, ids=lambda op: op.name.lower())
def test_as_pillow(applied, operation):
    operations, values, images, out = applied
    rows = np.flatnonzero(operations == operation)
    want = np.stack([pillow(operation, float(values[i]), images[i]) for i in rows])
    got = out[rows]
    if operation == Operation.ROTATE:
        # Places in float32 against float64: a neighbour once in a while.
        assert (got != want).mean() < 2e-4
    elif operation == Operation.AUTO_CONTRAST:
        # Pillow's double precision may end one below a quotient that is whole.
        low = images[rows].min(axis=(1, 2), keepdims=True).astype(int)
        spread = images[rows].max(axis=(1, 2), keepdims=True) - low
        whole = 255 * (images[rows] - low) % np.maximum(spread, 1) == 0
        np.testing.assert_array_equal(got[~whole], want[~whole])
        assert set(np.unique(got[whole].astype(int) - want[whole])) <= {0, 1}
    else:
        np.testing.assert_array_equal(got, want)
    same = operation == Operation.IDENTITY or (
        operation == Operation.COLOR and images.shape[-1] == 1
    )
    assert (want == images[rows]).all() == same


def test_the_rotations_and_shears_of_autoaugment_are_exact(rng):
    values = np.float32([6, -6, 0.24, -0.24, 0.21, -0.21])
    operation = np.repeat([Operation.ROTATE, Operation.SHEAR_Y], [2, 4])
    images = random_images(rng, 6, (32, 32), 3)
    got = jax.jit(apply_operations)(images, operation, values, FILL)
    pairs = zip(operation, values, images)
    want = [pillow(Operation(op), float(value), image) for op, value, image in pairs]
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2)])
def test_small_images_have_no_inside_to_smooth(rng, size):
    images = rng.integers(0, 256, (2, *size, 3))
    np.testing.assert_array_equal(enhance.smooth(images), images)


def test_equalized_levels_keep_their_order_and_spread(rng):
    images = (256 * rng.beta(2, 5, (1, 64, 64, 1))).astype(np.int32)
    out = np.asarray(pointwise.equalize(images)).ravel()
    order = np.argsort(images.ravel(), kind="stable")
    assert (np.diff(out[order]) >= 0).all()
    counts = np.histogram(out, bins=8, range=(0, 256))[0]
    assert np.abs(counts / counts.sum() - 1 / 8).max() < 0.02
