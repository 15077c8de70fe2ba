"""Zero mean and unit deviation per channel, by given statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks
from robustjax.data.augmentation._images import as_images, to_float


def normalize(
    mean: float | Sequence[float], std: float | Sequence[float]
) -> Callable[[jax.Array], jax.Array]:
    """Makes `(images - mean) / std`, the last step before a model.

    Augmentations come first: they expect values in [0, 1].

    Args:
      mean: one number or one per channel, for images in [0, 1].
      std: the same, > 0.

    Returns:
      A function from images (B, H, W, C), uint8 or floats, to float32 ones.

    Raises:
      ValueError: a deviation that is not positive, numbers that are not finite or of
        different length, or, when called, bad images or another number of channels.
    """
    checks.in_range("mean", mean, low_open=True, high_open=True)
    checks.in_range("std", std, 0, low_open=True, high_open=True)
    shapes = np.shape(mean), np.shape(std)
    if shapes[0] != shapes[1] or len(shapes[0]) > 1:
        raise ValueError(
            f"std: got shape {shapes[1]} and a mean of shape {shapes[0]}, expected one "
            "number each or one per channel each"
        )

    def apply(images: jax.Array) -> jax.Array:
        precise = isinstance(images, jax.Array) or not arrays.is_wide(
            arrays.numbers("images", images)
        )
        given, images = images, as_images(images)
        if shapes[0] not in ((), (1,), images.shape[-1:]):
            raise ValueError(
                f"images: got {images.shape[-1]} channel(s), expected {shapes[0][0]}"
            )
        if not precise:
            # The difference first, in the precision that the images have.
            wide = arrays.numbers("images", given).astype(np.float64)
            result = (wide - np.asarray(mean)) / np.asarray(std)
            return jnp.asarray(arrays.cast("images", result))
        images = to_float(images)
        shift, scale = (
            jnp.asarray(number, jnp.float32).reshape(1, 1, 1, -1)
            for number in (mean, std)
        )
        return (images - shift) / scale

    return apply
