"""ImageNet preprocessing and the frozen feature function."""

import jax
import numpy as np
import pytest

from robustjax import data, models
from tests.models import published

# Of torchvision's published weights, for images in [0, 1].
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
IMAGENET_DEVIATION = np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A random ResNet-18 under torchvision's names, as .npz."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.npz"
    np.savez(path, **published.random_state(published.basic_keys()))
    return path


def test_preprocessing_scales_repeats_and_standardises(rng):
    grey = rng.integers(0, 256, (2, 6, 5, 1), np.uint8)
    got = np.asarray(models.preprocess_imagenet(grey, None))
    assert (got.shape, got.dtype) == ((2, 6, 5, 3), np.float32)
    want = (np.repeat(grey, 3, -1) / 255 - IMAGENET_MEAN) / IMAGENET_DEVIATION
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    flat = np.full((1, 4, 4, 3), 200, np.uint8)
    resized = np.asarray(models.preprocess_imagenet(flat, 9))
    want = (200 / 255 - IMAGENET_MEAN) / IMAGENET_DEVIATION
    np.testing.assert_allclose(
        resized, np.broadcast_to(want, (1, 9, 9, 3)), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("size", [32, 17, 5])
def test_resizing_agrees_with_pytorch(rng, size):
    torch = pytest.importorskip("torch")
    images = rng.integers(0, 256, (2, 12, 10, 3), np.uint8)
    theirs = torch.nn.functional.interpolate(
        torch.tensor(images.transpose(0, 3, 1, 2)).float() / 255,
        size=(size, size),
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    want = theirs.numpy().transpose(0, 2, 3, 1)
    got = np.asarray(models.preprocess_imagenet(images, size))
    np.testing.assert_allclose(
        got * IMAGENET_DEVIATION + IMAGENET_MEAN, want, rtol=1e-4, atol=1e-5
    )


@pytest.mark.slow
def test_frozen_features_of_digits(weights, tmp_path):
    function, fingerprint = models.resnet_features(None, weights, image_size=32)
    assert fingerprint.startswith("resnet18 ")
    digits = data.take(data.load_digits("test"), np.arange(7))
    got = data.extract_features(
        digits, function, cache_dir=tmp_path, fingerprint=fingerprint, batch_size=4
    )
    assert (got.inputs.shape, got.inputs.dtype) == ((7, 512), np.float32)
    assert got.inputs.std(0).max() > 0.01
    model = models.ResNet(18)
    variables = models.load_resnet_weights(weights, model)
    images = models.preprocess_imagenet(digits.inputs, 32)
    want = jax.jit(model.apply)(variables, images)
    np.testing.assert_allclose(got.inputs, want, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_fingerprints_tell_weights_and_sizes_apart(weights, tmp_path):
    with np.load(weights) as file:
        state = dict(file)
    state["bn1.bias"] = state["bn1.bias"] + 1
    np.savez(tmp_path / "other.npz", **state)
    calls = [
        models.resnet_features(18, weights, image_size=32),
        models.resnet_features(18, weights, image_size=None),
        models.resnet_features(18, tmp_path / "other.npz", image_size=32),
    ]
    assert len({fingerprint for _, fingerprint in calls}) == 3
    again = models.resnet_features(18, weights, image_size=32, convolution="patches")
    assert again[1] == calls[0][1]


@pytest.mark.slow
def test_bad_arguments(weights, tmp_path):
    good = np.zeros((1, 4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="images: got float32 of shape"):
        models.preprocess_imagenet(good.astype(np.float32))
    with pytest.raises(ValueError, match=r"shape \(1, 4, 4, 2\), expected uint8 with"):
        models.preprocess_imagenet(good[..., :2])
    with pytest.raises(ValueError, match="size: got 0"):
        models.preprocess_imagenet(good, 0)
    with pytest.raises(ValueError, match="depth: got 20"):
        models.resnet_features(20, weights)
    with pytest.raises(ValueError, match="image_size: got -1"):
        models.resnet_features(18, weights, image_size=-1)
    with pytest.raises(ValueError, match="its blocks are those of ResNet-18"):
        models.resnet_features(50, weights)
    with pytest.raises(ValueError, match=r"cannot read .*absent.npz"):
        models.resnet_features(None, tmp_path / "absent.npz")
