"""What Pillow's `ImageEnhance` blends an image with: gray, a mean, a smooth image."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def luma(images: jax.Array) -> jax.Array:
    """Brightness (B, H, W, 1) in 0 … 255 of (B, H, W, 1 or 3) values; int32.

    ITU-R BT.601 in 16-bit fixed point.
    """
    if images.shape[-1] == 1:
        return images
    red, green, blue = (images[..., channel] for channel in range(3))
    gray = (19595 * red + 38470 * green + 7471 * blue + (1 << 15)) >> 16
    return gray[..., None]


def mean_level(gray: jax.Array) -> jax.Array:
    """Means (B, 1, 1, 1) of (B, H, W, 1) levels, rounded half up; int32."""
    number = gray.shape[1] * gray.shape[2]
    total = jnp.sum(gray, axis=(1, 2, 3), keepdims=True)
    return (2 * total + number) // (2 * number)


def smooth(images: jax.Array) -> jax.Array:
    """3-by-3 means with weight 5 in the middle; the border is left as it is.

    Takes and returns (B, H, W, C) int32.
    """
    height, width = images.shape[1:3]
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    columns = padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]
    total = columns[:, :-2] + columns[:, 1:-1] + columns[:, 2:] + 4 * images
    row = jnp.arange(height)[:, None]
    column = jnp.arange(width)[None]
    inside = (row > 0) & (row < height - 1) & (column > 0) & (column < width - 1)
    # The nearest integer to total / 13; there are no ties.
    return jnp.where(inside[None, :, :, None], (2 * total + 13) // 26, images)


def blend(start: jax.Array, end: jax.Array, factor: jax.Array) -> jax.Array:
    """`start + factor (end - start)`, cut off to 0 … 255 and to integers.

    Factors outside [0, 1] extrapolate.
    """
    start, end = start.astype(jnp.float32), end.astype(jnp.float32)
    return jnp.clip(start + factor * (end - start), 0.0, 255.0).astype(jnp.int32)
