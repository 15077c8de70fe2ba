"""Operations that look at one pixel at a time, and at its image's histogram."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def solarize(images: jax.Array, threshold: jax.Array) -> jax.Array:
    """Inverts the values from (B,) thresholds on; (B, H, W, C) int32 in and out."""
    return jnp.where(images < threshold[:, None, None, None], images, 255 - images)


def posterize(images: jax.Array, bits: jax.Array) -> jax.Array:
    """Keeps the (B,) highest bits, 1 … 8; (B, H, W, C) int32 in and out."""
    kept = jnp.clip(jnp.round(bits), 1, 8).astype(jnp.int32)
    return images & (-1 << (8 - kept))[:, None, None, None]


def auto_contrast(images: jax.Array) -> jax.Array:
    """Spreads the values of every channel over 0 … 255; (B, H, W, C) int32."""
    low = jnp.min(images, axis=(1, 2), keepdims=True)
    high = jnp.max(images, axis=(1, 2), keepdims=True)
    spread = _floor_divide(255 * (images - low), jnp.maximum(high - low, 1))
    return jnp.where(high > low, spread, images)


def equalize(images: jax.Array) -> jax.Array:
    """Makes the values of every channel about equally frequent; (B, H, W, C) int32."""
    batch, height, width, channels = images.shape
    planes = jnp.moveaxis(images, -1, 1).reshape(batch, channels, height * width)
    counts = jax.vmap(jax.vmap(_histogram))(planes)
    below = jnp.cumsum(counts, axis=-1) - counts
    # The pixels of the brightest value that occurs do not count.
    brightest = jnp.max(planes, axis=-1, keepdims=True)
    step = jnp.take_along_axis(below, brightest, axis=-1) // 255
    rank = jnp.take_along_axis(below, planes, axis=-1, mode="promise_in_bounds")
    equal = _floor_divide(step // 2 + rank, jnp.maximum(step, 1))
    planes = jnp.where(step > 0, jnp.minimum(equal, 255), planes)
    return jnp.moveaxis(planes.reshape(batch, channels, height, width), 1, -1)


def _histogram(values: jax.Array) -> jax.Array:
    return jnp.zeros(256, jnp.int32).at[values].add(1)


def _floor_divide(number: jax.Array, divisor: jax.Array) -> jax.Array:
    """`number // divisor` for 0 <= number < 2^22 and quotients to some hundreds.

    A float division, several times faster than that of integers. The half keeps the
    quotient away from whole numbers by more than float32 can be wrong.
    """
    quotient = (number.astype(jnp.float32) + 0.5) / divisor.astype(jnp.float32)
    return quotient.astype(jnp.int32)
