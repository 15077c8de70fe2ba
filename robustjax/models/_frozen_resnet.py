"""Features of images by a frozen ResNet with published weights."""

from __future__ import annotations

import os
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks
from robustjax.models._convolution import Implementation
from robustjax.models._resnet import ResNet, Stem
from robustjax.models._resnet_weights import infer_depth, load_resnet_weights
from robustjax.models._state_dict_files import file_digest, read_state_dict

# The statistics of the ImageNet training set with which PyTorch's weights, and those
# derived from them, were trained.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)

# To be raised whenever the same weights and images come to give other features.
_VERSION = 1


def preprocess_imagenet(images: jax.Array, size: int | None = 224) -> jax.Array:
    """Brings 8-bit images to what networks trained on ImageNet expect.

    The whole image is resized; nothing is cropped, and other shapes than squares are
    distorted.

    Args:
      images: (B, H, W, 1) or (B, H, W, 3) uint8; grey is repeated over the channels.
      size: S, the side in pixels to resize to, bilinearly and with anti-aliasing
        where that shrinks the image; None keeps the images' own size.

    Returns:
      (B, S, S, 3) float32: scaled to [0, 1], then standardised channel by channel
      with ImageNet's statistics, so about -2.2 … 2.7.

    Raises:
      ValueError: images of another shape or dtype, or a size below one.
    """
    checks.rank("images", images, 4)
    if images.shape[-1] not in (1, 3) or images.dtype != np.uint8:
        raise ValueError(
            f"images: got {images.dtype} of shape {images.shape}, expected uint8 with "
            "1 or 3 channels last"
        )
    batch, height, width, _ = images.shape
    if size is not None:
        checks.at_least("size", size, 1)
        height, width = size, size
    x = jnp.asarray(images).astype(jnp.float32) / 255.0
    x = jax.image.resize(x, (batch, height, width, x.shape[-1]), "bilinear")
    x = jnp.broadcast_to(x, (batch, height, width, 3))
    mean = jnp.asarray(IMAGENET_MEAN, jnp.float32).reshape(1, 1, 1, 3)
    deviation = jnp.asarray(IMAGENET_DEVIATION, jnp.float32).reshape(1, 1, 1, 3)
    return (x - mean) / deviation


def resnet_features(
    depth: int | None,
    weights_path: str | os.PathLike[str],
    *,
    image_size: int | None = 224,
    stem: Stem = "imagenet",
    convolution: Implementation = "native",
) -> tuple[Callable[[np.ndarray], jax.Array], str]:
    """A frozen feature function and its name, for `robustjax.data.extract_features`.

    Kim, "Active Label Correction Using Robust Parameter Update and Entropy
    Propagation" (ECCV 2022), classifies the features of a ResNet-101 trained on
    ImageNet; at which resolution the small images enter it, the paper does not say.

    Args:
      depth: 18, 34, 50 or 101; None takes it from the file.
      weights_path: a local file, see `read_state_dict` and `convert_resnet`.
      image_size: see `preprocess_imagenet`.
      stem: see `ResNet`.
      convolution: see `ResNet`.

    Returns:
      A compiled function from images, (B, H, W, 1 or 3) uint8, to features, (B, 512
      or 2048) float32, and a fingerprint of all that its results depend on but for
      rounding: the weights (by SHA-256), the network and the preprocessing.

    Raises:
      ValueError: an unknown depth or stem, or whatever is wrong with the file.
      ImportError: safetensors or PyTorch is needed and not installed.
    """
    if image_size is not None:
        checks.at_least("image_size", image_size, 1)
    if depth is None:
        depth = infer_depth(read_state_dict(weights_path))
    model = ResNet(depth, stem=stem, convolution=convolution)
    variables = jax.device_put(load_resnet_weights(weights_path, model))

    # The weights are an argument: closed over, they would be compiled in as constants.
    @jax.jit
    def apply(variables: dict, images: jax.Array) -> jax.Array:
        inputs = preprocess_imagenet(images, image_size)
        return jnp.asarray(model.apply(variables, inputs))

    def feature_function(images: np.ndarray) -> jax.Array:
        return apply(variables, images)

    size = "native" if image_size is None else image_size
    fingerprint = (
        f"resnet{depth} v{_VERSION}, {stem} stem, ImageNet preprocessing at size "
        f"{size}, weights sha256:{file_digest(weights_path)}"
    )
    return feature_function, fingerprint
