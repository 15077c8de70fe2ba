"""Affine maps of images, with a map of its own for every image."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def warp(images: jax.Array, inverse_maps: jax.Array, fill: jax.Array) -> jax.Array:
    """Moves pixels: nearest neighbour, in 16.16 fixed point as Pillow's `transform`.

    Args:
      images: (B, H, W, C), of any dtype.
      inverse_maps: (B, 6) floats `(a, b, c, d, e, f)`: the result's pixel (x, y)
        comes from `(a x + b y + c, d x + e y + f)`, pixel centres being at halves.
        Places must stay below 32,768.
      fill: (C,) of the images' dtype, for places outside the image.

    Returns:
      (B, H, W, C).
    """
    batch, height, width, channels = images.shape
    a, b, c, d, e, f = (inverse_maps[:, i, None, None] for i in range(6))
    column = jnp.arange(width, dtype=jnp.int32)[None, None]
    row = jnp.arange(height, dtype=jnp.int32)[None, :, None]

    def place(per_column: jax.Array, per_row: jax.Array, shift: jax.Array) -> jax.Array:
        first = _fixed(shift + 0.5 * per_column + 0.5 * per_row)
        return (first + column * _fixed(per_column) + row * _fixed(per_row)) >> 16

    x, y = place(a, b, c), place(d, e, f)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    source = jnp.where(inside, width * y + x, 0).reshape(batch, height * width, 1)
    moved = jnp.take_along_axis(
        images.reshape(batch, height * width, channels),
        source,
        axis=1,
        mode="promise_in_bounds",
    ).reshape(images.shape)
    return jnp.where(inside[..., None], moved, fill[None, None, None])


def _fixed(value: jax.Array) -> jax.Array:
    return jnp.floor(value * 65536.0 + 0.5).astype(jnp.int32)
