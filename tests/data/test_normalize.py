"""Normalisation, and the statistics of the data sets at hand."""

import numpy as np
import pytest

from robustjax import data


def test_normalized_images_have_no_mean_and_unit_deviation(rng):
    images = rng.integers(0, 256, (20, 5, 4, 3)).astype(np.uint8)
    scaled = images / 255
    mean, std = scaled.mean(axis=(0, 1, 2)), scaled.std(axis=(0, 1, 2))
    out = np.asarray(data.normalize(mean, std)(images))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, (scaled - mean) / std, atol=1e-5)
    from_floats = data.normalize(mean, std)(scaled.astype(np.float32))
    np.testing.assert_allclose(from_floats, out, atol=1e-5)


@pytest.mark.parametrize("number", [0.5, (0.5,)])
def test_one_number_for_all_channels(rng, number):
    images = rng.uniform(size=(2, 3, 3, 2)).astype(np.float32)
    out = data.normalize(number, number)(images)
    np.testing.assert_allclose(out, 2 * images - 1, atol=1e-6)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("cifar10", data.CIFAR10_MEAN, data.CIFAR10_STD),
        ("mnist", data.MNIST_MEAN, data.MNIST_STD),
    ],
)
def test_statistics_of_the_training_images(data_dir, name, mean, std):
    folder = str(data_dir / "tfds")
    images = data.load_tfds(name, "train[:4000]", data_dir=folder).inputs
    images = images.reshape(-1, len(mean)) / np.float32(255)
    # Of a part of the images; JPEG coding, too, lowers CIFAR's deviation by 0.001.
    np.testing.assert_allclose(images.mean(axis=0), mean, atol=0.006)
    np.testing.assert_allclose(images.std(axis=0), std, atol=0.003)


def test_errors(rng):
    images = rng.uniform(size=(2, 3, 3, 2)).astype(np.float32)
    with pytest.raises(ValueError, match="std: got 0, expected a number in"):
        data.normalize(0.5, 0)
    with pytest.raises(ValueError, match=r"std: got shape \(2,\) and a mean of"):
        data.normalize((0.1, 0.2, 0.3), (1.0, 1.0))
    with pytest.raises(ValueError, match="images: got 2 channel.*, expected 3"):
        data.normalize(data.CIFAR10_MEAN, data.CIFAR10_STD)(images)
    with pytest.raises(ValueError, match=r"images: got shape \(3, 3, 2\)"):
        data.normalize(0.5, 0.5)(images[0])
