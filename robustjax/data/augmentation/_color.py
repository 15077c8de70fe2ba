"""Random colours: grayscale and jitter, in floating point."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.data.augmentation._images import in_unit_range, to_float

# Luma of ITU-R BT.601, and the other two axes of the YIQ colour space.
_TO_YIQ = (
    (0.299, 0.587, 0.114),
    (0.5959, -0.2746, -0.3213),
    (0.2115, -0.5227, 0.3112),
)


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
    images = to_float(in_unit_range(images))
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
