"""Random changes of images on the device, batch by batch.

All take `(key, images, ...)`, images (B, H, W, C) as uint8 or as floats in [0, 1],
and return float32 of static shape; every example draws its own change. They are pure
and run under `jit`, `scan` and `vmap`. The settings are those of SimCLR (Chen et
al., ICML 2020, appendix A); blur, which helps on large images only, is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from robustjax import checks

Augmentation = Callable[[jax.Array, jax.Array], jax.Array]

# Luma of ITU-R BT.601, and the other two axes of the YIQ colour space.
_TO_YIQ = (
    (0.299, 0.587, 0.114),
    (0.5959, -0.2746, -0.3213),
    (0.2115, -0.5227, 0.3112),
)


def to_float(images: jax.Array) -> jax.Array:
    """Images as float32: 8-bit ones scaled to [0, 1], floats as they are.

    Raises:
      ValueError: a rank other than 4, or another dtype.
    """
    checks.rank("images", images, 4)
    if images.dtype == jnp.uint8:
        return images.astype(jnp.float32) / 255.0
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"images: got {images.dtype}, expected uint8 or floats")
    return images.astype(jnp.float32)


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
    _check_bounds("scale", scale, 1.0)
    _check_bounds("ratio", ratio, math.inf)
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
    """
    images = to_float(images)
    flip = jax.random.bernoulli(key, shape=(images.shape[0], 1, 1, 1))
    return jnp.where(flip, images[:, :, ::-1], images)


def random_grayscale(
    key: jax.Array, images: jax.Array, *, probability: float = 0.2
) -> jax.Array:
    """Takes the colour out of a random share of the images.

    Args:
      key: PRNG key.
      images: (B, H, W, C); with other than three channels nothing changes.
      probability: in [0, 1].

    Returns:
      (B, H, W, C) float32.

    Raises:
      ValueError: a probability out of range, or bad images.
    """
    checks.in_range("probability", probability, 0, 1)
    images = to_float(images)
    if images.shape[-1] != 3:
        return images
    gray = jax.random.bernoulli(key, float(probability), (images.shape[0], 1, 1, 1))
    return jnp.where(gray, _luma(images), images)


def color_jitter(
    key: jax.Array,
    images: jax.Array,
    *,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.1,
    probability: float = 0.8,
) -> jax.Array:
    """Changes brightness, contrast, saturation and hue of a share of the images.

    In this order; values are clipped to [0, 1] after every step. Hue turns about the
    gray axis in YIQ space, which is linear and close to a turn in HSV.

    Args:
      key: PRNG key.
      images: (B, H, W, C) with values in [0, 1]; with other than three channels,
        saturation and hue change nothing.
      brightness: images are multiplied by a factor in 1 ± this (not below 0).
      contrast: the same for the distance from the mean luma of the image.
      saturation: the same for the distance from a pixel's own luma.
      hue: turns by ± this share of a full turn, in [0, 0.5].
      probability: of a change at all, in [0, 1].

    Returns:
      (B, H, W, C) float32 in [0, 1].

    Raises:
      ValueError: strengths out of range, or bad images.
    """
    for name, value in (
        ("brightness", brightness),
        ("contrast", contrast),
        ("saturation", saturation),
    ):
        checks.in_range(name, value, 0)
    checks.in_range("hue", hue, 0, 0.5)
    checks.in_range("probability", probability, 0, 1)
    images = to_float(images)
    batch, _, _, channels = images.shape
    keys = jax.random.split(key, 5)

    def factor(key: jax.Array, strength: float) -> jax.Array:
        return jax.random.uniform(
            key,
            (batch, 1, 1, 1),
            minval=max(0.0, 1.0 - strength),
            maxval=1.0 + strength,
        )

    def blend(images: jax.Array, towards: jax.Array, factor: jax.Array) -> jax.Array:
        return jnp.clip(towards + factor * (images - towards), 0.0, 1.0)

    out = blend(images, jnp.zeros((1, 1, 1, 1)), factor(keys[0], brightness))
    luma = _luma(out) if channels == 3 else out
    out = blend(
        out, jnp.mean(luma, (1, 2, 3), keepdims=True), factor(keys[1], contrast)
    )
    if channels == 3:
        out = blend(out, _luma(out), factor(keys[2], saturation))
        turn = jax.random.uniform(keys[3], (batch,), minval=-hue, maxval=hue)
        out = jnp.clip(_turn_hue(out, turn), 0.0, 1.0)
    changed = jax.random.bernoulli(keys[4], float(probability), (batch, 1, 1, 1))
    return jnp.where(changed, out, images)


def simclr_augmentation(
    *,
    crop_scale: tuple[float, float] = (0.08, 1.0),
    flip: bool = True,
    jitter: float = 0.5,
    grayscale: float = 0.2,
) -> Augmentation:
    """SimCLR's augmentation: crop, flip, colour jitter, grayscale.

    Args:
      crop_scale: see `random_resized_crop`.
      flip: whether mirror images mean the same; not so for digits or text.
      jitter: the paper's colour strength, >= 0: 1 for ImageNet, 0.5 for CIFAR-10.
        Brightness, contrast and saturation vary by 0.8 times this and hue by 0.2
        times this.
      grayscale: the share of images without colour.

    Returns:
      A function `(key, images) -> images`.

    Raises:
      ValueError: values out of range.
    """
    _check_bounds("crop_scale", crop_scale, 1.0)
    checks.in_range("jitter", jitter, 0, 2.5)
    checks.in_range("grayscale", grayscale, 0, 1)

    def augment(key: jax.Array, images: jax.Array) -> jax.Array:
        crop_key, flip_key, jitter_key, gray_key = jax.random.split(key, 4)
        images = random_resized_crop(crop_key, images, scale=crop_scale)
        if flip:
            images = random_flip(flip_key, images)
        if jitter > 0:
            images = color_jitter(
                jitter_key,
                images,
                brightness=0.8 * jitter,
                contrast=0.8 * jitter,
                saturation=0.8 * jitter,
                hue=0.2 * jitter,
            )
        if grayscale > 0:
            images = random_grayscale(gray_key, images, probability=grayscale)
        return images

    return augment


def _check_bounds(name: str, bounds: Sequence[float], highest: float) -> None:
    if len(bounds) != 2 or not 0 < bounds[0] <= bounds[1] <= highest:
        raise ValueError(
            f"{name}: got {tuple(bounds)}, expected 0 < low <= high <= {highest:g}"
        )


def _luma(images: jax.Array) -> jax.Array:
    """(B, H, W, 1) brightness of (B, H, W, 3) colours."""
    red, green, blue = (weight * images[..., i] for i, weight in enumerate(_TO_YIQ[0]))
    return (red + green + blue)[..., None]


def _turn_hue(images: jax.Array, turn: jax.Array) -> jax.Array:
    """Turns colours (B, H, W, 3) about the gray axis by shares (B,) of a circle."""
    angle = 2 * jnp.pi * turn
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    zero, one = jnp.zeros_like(cos), jnp.ones_like(cos)
    rotation = jnp.stack(
        [
            jnp.stack([one, zero, zero], axis=-1),
            jnp.stack([zero, cos, -sin], axis=-1),
            jnp.stack([zero, sin, cos], axis=-1),
        ],
        axis=-2,
    )
    to_yiq = jnp.asarray(_TO_YIQ, jnp.float32)
    mixing = jnp.linalg.inv(to_yiq)[None] @ rotation @ to_yiq[None]
    # Written out: as a batched product of 3-by-3 matrices it is several times slower.
    channels = [
        sum(images[..., c] * mixing[:, d, c, None, None] for c in range(3))
        for d in range(3)
    ]
    return jnp.stack(channels, axis=-1)
