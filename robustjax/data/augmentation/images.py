"""What every augmentation takes and returns: batches of images on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks

Augmentation = Callable[[jax.Array, jax.Array], jax.Array]
"""`(key, images) -> images`; see `robustjax.data.augmentation`."""


def check_images(images: jax.Array) -> None:
    """Raises `ValueError` unless images are (B, H, W, C) of uint8 or floats."""
    checks.rank("images", images, 4)
    if images.dtype != jnp.uint8 and not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"images: got {images.dtype}, expected uint8 or floats")


def to_float(images: jax.Array) -> jax.Array:
    """Images as float32: 8-bit ones scaled to [0, 1], floats as they are.

    Raises:
      ValueError: a rank other than 4, or another dtype.
    """
    check_images(images)
    if images.dtype == jnp.uint8:
        return images.astype(jnp.float32) / 255.0
    return images.astype(jnp.float32)


def to_bytes(images: jax.Array) -> jax.Array:
    """Images as uint8: floats in [0, 1] rounded to the nearest of 256 levels.

    Raises:
      ValueError: a rank other than 4, or another dtype.
    """
    check_images(images)
    if images.dtype == jnp.uint8:
        return jnp.asarray(images)
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
