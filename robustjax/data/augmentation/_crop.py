"""Random places: crops, mirror images and cut-out squares."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.data.augmentation._images import as_images, fill_color, to_float


def random_crop(
    key: jax.Array,
    images: jax.Array,
    *,
    padding: int = 4,
    mode: str = "zeros",
) -> jax.Array:
    """Shifts every image by up to `padding` pixels along both axes.

    The same as a random crop of the original size out of the padded image, as in He
    et al., CVPR 2016, section 4.2.

    Args:
      key: PRNG key.
      images: (B, H, W, C).
      padding: the largest shift in pixels, >= 0; all `2 padding + 1` shifts of an
        axis are equally likely.
      mode: what comes in from outside, "zeros" or the image mirrored at its edge
        pixels, "reflect".

    Returns:
      (B, H, W, C) float32.

    Raises:
      ValueError: a negative padding, one not below the image's size in mode
        "reflect", an unknown mode, or bad images.
    """
    checks.at_least("padding", padding, 0)
    checks.one_of("mode", mode, ("zeros", "reflect"))
    images = as_images(images)
    batch, height, width, channels = images.shape
    if mode == "reflect" and padding >= min(height, width):
        raise ValueError(
            f"padding: got {padding}, expected less than the sides of {height} x "
            f"{width} images in mode 'reflect'"
        )
    border = (padding, padding)
    padded = jnp.pad(
        images,
        ((0, 0), border, border, (0, 0)),
        mode="constant" if mode == "zeros" else "reflect",
    )
    corner = jax.random.randint(key, (batch, 2), 0, 2 * padding + 1)

    def cut(image: jax.Array, corner: jax.Array) -> jax.Array:
        start = (corner[0], corner[1], 0)
        return jax.lax.dynamic_slice(image, start, (height, width, channels))

    return to_float(jax.vmap(cut)(padded, corner))


def random_resized_crop(
    key: jax.Array,
    images: jax.Array,
    *,
    size: tuple[int, int] | None = None,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> jax.Array:
    """Cuts out a random rectangle and resizes it, bilinearly and antialiased.

    A rectangle that would be wider or higher than the image is cut to it (where
    others draw again), so that areas near 1 are a little more frequent.

    Args:
      key: PRNG key.
      images: (B, H, W, C).
      size: (height, width) of the result; by default (H, W).
      scale: lowest and highest area, as a share of the image, in (0, 1].
      ratio: lowest and highest width over height, > 0; drawn log-uniformly.

    Returns:
      (B, *size, C) float32.

    Raises:
      ValueError: bounds out of range or order, or bad images.
    """
    check_bounds("scale", scale, 1.0)
    check_bounds("ratio", ratio, math.inf)
    images = to_float(images)
    batch, height, width, channels = images.shape
    size = (height, width) if size is None else size
    area_key, ratio_key, place_key = jax.random.split(key, 3)
    area = jax.random.uniform(area_key, (batch,), minval=scale[0], maxval=scale[1])
    log_ratio = jax.random.uniform(
        ratio_key, (batch,), minval=math.log(ratio[0]), maxval=math.log(ratio[1])
    )
    # In pixels, so that the ratio is that of the rectangle itself.
    full = jnp.asarray([height, width], jnp.float32)
    side = jnp.sqrt(area * height * width)
    sides = jnp.stack(
        [side * jnp.exp(-log_ratio / 2), side * jnp.exp(log_ratio / 2)], axis=-1
    )
    sides = jnp.minimum(sides, full[None])
    corner = jax.random.uniform(place_key, (batch, 2)) * (full[None] - sides)
    factor = jnp.asarray(size, jnp.float32)[None] / sides

    def crop(image: jax.Array, factor: jax.Array, corner: jax.Array) -> jax.Array:
        return jax.image.scale_and_translate(
            image,
            (*size, channels),
            (0, 1),
            factor,
            -corner * factor,
            method="linear",
        )

    return jax.vmap(crop)(images, factor, corner)


def random_flip(key: jax.Array, images: jax.Array) -> jax.Array:
    """Mirrors every image left to right with probability one half.

    Args:
      key: PRNG key.
      images: (B, H, W, C).

    Returns:
      (B, H, W, C) float32.

    Raises:
      ValueError: bad images.
    """
    images = to_float(images)
    flip = jax.random.bernoulli(key, shape=(images.shape[0], 1, 1, 1))
    return jnp.where(flip, images[:, :, ::-1], images)


def cutout(
    key: jax.Array,
    images: jax.Array,
    *,
    size: int = 16,
    fill: float | Sequence[float] = 0.0,
) -> jax.Array:
    """Paints over a random square of every image (DeVries and Taylor, 2017).

    As in the published code for CIFAR, the square's centre is uniform over all pixels
    and the square is cut off at the border, so that less may be covered.

    Args:
      key: PRNG key.
      images: (B, H, W, C).
      size: side of the square in pixels, >= 0; an even one reaches one pixel further
        to the top and left of its centre. Published: 16 for CIFAR-10, 8 for
        CIFAR-100.
      fill: the square's colour in [0, 1], one number or one per channel. Published
        code paints zeros after normalisation, which is the mean colour before.

    Returns:
      (B, H, W, C) float32.

    Raises:
      ValueError: a negative size, a bad colour, or bad images.
    """
    checks.at_least("size", size, 0)
    images = to_float(images)
    batch, height, width, channels = images.shape
    color = fill_color("fill", fill, channels)
    row_key, column_key = jax.random.split(key)

    def covered(key: jax.Array, length: int) -> jax.Array:
        start = jax.random.randint(key, (batch, 1), 0, length) - size // 2
        place = jnp.arange(length)[None]
        return (place >= start) & (place < start + size)

    rows, columns = covered(row_key, height), covered(column_key, width)
    square = rows[:, :, None, None] & columns[:, None, :, None]
    return jnp.where(square, color[None, None, None], images)


def check_bounds(name: str, bounds: Sequence[float], highest: float) -> None:
    """Raises `ValueError` unless `0 < low <= high <= highest`."""
    if len(bounds) != 2 or not 0 < bounds[0] <= bounds[1] <= highest:
        raise ValueError(
            f"{name}: got {tuple(bounds)}, expected 0 < low <= high <= {highest:g}"
        )
