"""What every augmentation takes and returns: batches of images on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks

Augmentation = Callable[[jax.Array, jax.Array], jax.Array]
"""`(key, images) -> images`; see `robustjax.data.augmentation`."""

_RANGE_TOLERANCE = 1e-2


def as_images(images: Any) -> jax.Array:
    """Images on the device after checking what can be checked.

    Args:
      images: (B, H, W, C) uint8 or floats, B >= 1; anything that NumPy makes an array
        of, or a traced array, whose values are not looked at.

    Raises:
      ValueError: another rank or dtype, no pixel, or (in a NumPy array or a list) NaN
        or infinity.
    """
    if not isinstance(images, jax.Array):
        images = arrays.numbers("images", images)
        _refuse_integers(images)
        checks.finite("images", images)
        images = arrays.floats("images", images)
    checks.rank("images", images, 4)
    if images.dtype != jnp.uint8 and not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"images: got {images.dtype}, expected uint8 or floats")
    if 0 in images.shape:
        raise ValueError(f"images: got shape {images.shape}, expected pixels")
    return images


def _refuse_integers(images: np.ndarray) -> None:
    """Raises `ValueError` for integers of more than 8 bits: what is white in them?"""
    if images.dtype.kind in "iu" and images.dtype != np.uint8:
        raise ValueError(f"images: got {images.dtype}, expected uint8 or floats")


def in_unit_range(images: Any) -> Any:
    """Returns images after refusing floats outside [0, 1], where values can be seen.

    For what clips to this range: images in 0 … 255 would all become white.

    Raises:
      ValueError: a value outside, by more than rounding, or NaN.
    """
    if checks.is_traced(images) or getattr(images, "dtype", None) == np.uint8:
        return images
    array = arrays.numbers("images", images)
    _refuse_integers(array)
    if array.size:
        low, high = array.min(), array.max()
        # So said that NaN, which is neither, is refused.
        if not (low >= -_RANGE_TOLERANCE and high <= 1 + _RANGE_TOLERANCE):
            raise ValueError(
                f"images: got floats from {low:g} to {high:g}, expected [0, 1] (or "
                "uint8)"
            )
    return images


def to_float(images: jax.Array) -> jax.Array:
    """Images as float32: 8-bit ones scaled to [0, 1], floats as they are.

    Raises:
      ValueError: a rank other than 4, or another dtype.
    """
    images = as_images(images)
    if images.dtype == jnp.uint8:
        return images.astype(jnp.float32) / 255.0
    return images.astype(jnp.float32)


def to_bytes(images: jax.Array) -> jax.Array:
    """Images as uint8: floats in [0, 1] rounded to the nearest of 256 levels.

    Raises:
      ValueError: a rank other than 4, or another dtype.
    """
    images = as_images(in_unit_range(images))
    if images.dtype == jnp.uint8:
        return images
    images = images.astype(jnp.float32)
    return jnp.round(255.0 * jnp.clip(images, 0.0, 1.0)).astype(jnp.uint8)


def fill_color(name: str, value: float | Sequence[float], channels: int) -> jax.Array:
    """A colour as (channels,) float32, from one number or one per channel.

    Raises:
      ValueError: another number of values, or one outside [0, 1].
    """
    checks.in_range(name, value, 0, 1)
    given = np.shape(value)
    if given not in ((), (channels,)):
        raise ValueError(
            f"{name}: got shape {given}, expected one number or {channels} for images "
            f"with {channels} channel(s)"
        )
    return jnp.broadcast_to(jnp.asarray(value, jnp.float32), (channels,))
