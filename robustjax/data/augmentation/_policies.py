"""AutoAugment and RandAugment."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks
from robustjax.data.augmentation._apply import apply_operations
from robustjax.data.augmentation._images import fill_color, to_bytes, to_float
from robustjax.data.augmentation._operations import Operation as Op

CIFAR10_POLICY: tuple[tuple[tuple[Op, float, int], tuple[Op, float, int]], ...] = (
    ((Op.INVERT, 0.1, 7), (Op.CONTRAST, 0.2, 6)),
    ((Op.ROTATE, 0.7, 2), (Op.TRANSLATE_X, 0.3, 9)),
    ((Op.SHARPNESS, 0.8, 1), (Op.SHARPNESS, 0.9, 3)),
    ((Op.SHEAR_Y, 0.5, 8), (Op.TRANSLATE_Y, 0.7, 9)),
    ((Op.AUTO_CONTRAST, 0.5, 8), (Op.EQUALIZE, 0.9, 2)),
    ((Op.SHEAR_Y, 0.2, 7), (Op.POSTERIZE, 0.3, 7)),
    ((Op.COLOR, 0.4, 3), (Op.BRIGHTNESS, 0.6, 7)),
    ((Op.SHARPNESS, 0.3, 9), (Op.BRIGHTNESS, 0.7, 9)),
    ((Op.EQUALIZE, 0.6, 5), (Op.EQUALIZE, 0.5, 1)),
    ((Op.CONTRAST, 0.6, 7), (Op.SHARPNESS, 0.6, 5)),
    ((Op.COLOR, 0.7, 7), (Op.TRANSLATE_X, 0.5, 8)),
    ((Op.EQUALIZE, 0.3, 7), (Op.AUTO_CONTRAST, 0.4, 8)),
    ((Op.TRANSLATE_Y, 0.4, 3), (Op.SHARPNESS, 0.2, 6)),
    ((Op.BRIGHTNESS, 0.9, 6), (Op.COLOR, 0.2, 8)),
    ((Op.SOLARIZE, 0.5, 2), (Op.INVERT, 0.0, 3)),
    ((Op.EQUALIZE, 0.2, 0), (Op.AUTO_CONTRAST, 0.6, 0)),
    ((Op.EQUALIZE, 0.2, 8), (Op.EQUALIZE, 0.6, 4)),
    ((Op.COLOR, 0.9, 9), (Op.EQUALIZE, 0.6, 6)),
    ((Op.AUTO_CONTRAST, 0.8, 4), (Op.SOLARIZE, 0.2, 8)),
    ((Op.BRIGHTNESS, 0.1, 3), (Op.COLOR, 0.7, 0)),
    ((Op.SOLARIZE, 0.4, 5), (Op.AUTO_CONTRAST, 0.9, 3)),
    ((Op.TRANSLATE_Y, 0.9, 9), (Op.TRANSLATE_Y, 0.7, 9)),
    ((Op.AUTO_CONTRAST, 0.9, 2), (Op.SOLARIZE, 0.8, 3)),
    ((Op.EQUALIZE, 0.8, 8), (Op.INVERT, 0.1, 3)),
    ((Op.TRANSLATE_Y, 0.7, 9), (Op.AUTO_CONTRAST, 0.9, 1)),
)
"""Sub-policies of two `(operation, probability, magnitude 0 … 10)` each."""

RAND_AUGMENT_OPERATIONS: tuple[Op, ...] = (
    Op.IDENTITY,
    Op.AUTO_CONTRAST,
    Op.EQUALIZE,
    Op.ROTATE,
    Op.SOLARIZE,
    Op.COLOR,
    Op.POSTERIZE,
    Op.CONTRAST,
    Op.BRIGHTNESS,
    Op.SHARPNESS,
    Op.SHEAR_X,
    Op.SHEAR_Y,
    Op.TRANSLATE_X,
    Op.TRANSLATE_Y,
)

_ENHANCERS = (Op.CONTRAST, Op.COLOR, Op.BRIGHTNESS, Op.SHARPNESS)
# The translation at full magnitude, as a share of the side: 10 of CIFAR's 32 pixels.
_LARGEST_SHIFT = 10 / 32
# Sums over more of them leave 32 bits, and their ranks what float32 tells apart.
_MOST_PIXELS = 2**22


def auto_augment(
    key: jax.Array, images: jax.Array, *, fill: float | Sequence[float] = 0.0
) -> jax.Array:
    """AutoAugment's policy for CIFAR-10 (Cubuk et al., CVPR 2019).

    Every image draws one of the 25 sub-policies of `CIFAR10_POLICY`, applies either
    of its two operations with that operation's probability, and draws the signs of
    shears, translations and rotations. What a magnitude means is that of the published
    code, which the strong views of SOP and Prune4ReL share; other implementations read
    the same table as enhancements by 1 ± 0.9 and 4 to 8 bits. The table is the
    paper's; that of SOP's and Prune4ReL's code differs from it in one number, the
    colour magnitude of row 13 (counted from 0), 6 in place of 8, which one image in 125
    gets to see. Translations are scaled with the image's side, and exact for 32 pixels.

    Args:
      key: PRNG key.
      images: (B, H, W, C), C 1 or 3. Floats in [0, 1] are rounded to 256 levels.
      fill: the colour in [0, 1] of what comes in from outside, one number or one
        per channel; SOP has black, the paper's code the mean colour.

    Returns:
      (B, H, W, C) float32 in [0, 1], multiples of 1/255.

    Raises:
      ValueError: a bad colour, bad images, channels other than 1 or 3, or more than
        2^22 pixels.
    """
    images, color = _prepare(images, fill)
    batch, height, width, _ = images.shape
    operations = np.asarray([[op for op, _, _ in row] for row in CIFAR10_POLICY])
    shares = np.asarray([[share for _, share, _ in row] for row in CIFAR10_POLICY])
    values = np.asarray(
        [
            [_policy_values(op, level, height, width) for op, _, level in row]
            for row in CIFAR10_POLICY
        ]
    )
    row_key, apply_key, sign_key = jax.random.split(key, 3)
    row = jax.random.randint(row_key, (batch,), 0, len(CIFAR10_POLICY))
    steps = operations.shape[1]
    uniform = jax.random.uniform(apply_key, (batch, steps))
    applied = uniform < jnp.asarray(shares, jnp.float32)[row]
    operation = jnp.where(applied, jnp.asarray(operations, jnp.int32)[row], Op.IDENTITY)
    value = _signed(sign_key, jnp.asarray(values, jnp.float32)[row])
    return _apply_in_turn(images, operation, value, color)


def rand_augment(
    key: jax.Array,
    images: jax.Array,
    *,
    num_ops: int = 2,
    magnitude: float = 10,
    fill: float | Sequence[float] = 0.0,
) -> jax.Array:
    """RandAugment (Cubuk et al., NeurIPS 2020): random operations, one magnitude.

    Every image draws its operations, uniformly and with replacement, from the 14 of
    `RAND_AUGMENT_OPERATIONS`, with random signs. Magnitude 10 is the largest of
    AutoAugment and 0 leaves shape and colours alone (but for auto-contrast and
    equalise, which know no magnitude): shears of 0.3, translations of 10 pixels in
    32, rotations of 30 degrees, factors of 1 ± 0.9, 4 bits kept, everything
    solarised, and in proportion below and above. Public code differs here: on the
    0 … 30 scale of some libraries this is 30, and the authors' code posterises and
    solarises less as the magnitude grows.

    Args:
      key: PRNG key.
      images: (B, H, W, C), C 1 or 3. Floats in [0, 1] are rounded to 256 levels.
      num_ops: operations per image, >= 0; the paper's N.
      magnitude: a number in [0, 30]; the paper's M.
      fill: the colour in [0, 1] of what comes in from outside, one number or one
        per channel.

    Returns:
      (B, H, W, C) float32 in [0, 1], multiples of 1/255.

    Raises:
      ValueError: numbers out of range, a bad colour, bad images, channels other
        than 1 or 3, or more than 2^22 pixels.
    """
    checks.at_least("num_ops", num_ops, 0)
    checks.in_range("magnitude", magnitude, 0, 30)
    images, color = _prepare(images, fill)
    batch, height, width, _ = images.shape
    operations = jnp.asarray(RAND_AUGMENT_OPERATIONS, jnp.int32)
    values = [
        _rand_augment_values(op, magnitude, height, width)
        for op in RAND_AUGMENT_OPERATIONS
    ]
    choice_key, sign_key = jax.random.split(key)
    choice = jax.random.randint(choice_key, (batch, num_ops), 0, len(operations))
    value = _signed(sign_key, jnp.asarray(values, jnp.float32)[choice])
    return _apply_in_turn(images, operations[choice], value, color)


def _signed(key: jax.Array, values: jax.Array) -> jax.Array:
    """Picks one of the two values in the last axis, at random."""
    positive = jax.random.bernoulli(key, shape=values.shape[:-1])
    return jnp.where(positive, values[..., 1], values[..., 0])


def _prepare(
    images: jax.Array, fill: float | Sequence[float]
) -> tuple[jax.Array, jax.Array]:
    """The images and the colour from outside as uint8."""
    images = to_bytes(images)
    channels = images.shape[-1]
    if channels not in (1, 3):
        raise ValueError(f"images: got {channels} channels, expected 1 or 3")
    height, width = images.shape[1:3]
    if height * width > _MOST_PIXELS:
        raise ValueError(
            f"images: got {height} x {width} pixels, expected at most {_MOST_PIXELS:,}"
        )
    color = fill_color("fill", fill, channels)
    return images, jnp.round(255 * color).astype(jnp.uint8)


def _apply_in_turn(
    images: jax.Array, operation: jax.Array, value: jax.Array, color: jax.Array
) -> jax.Array:
    """Applies (B, S) operations to uint8 images, one after the other; gives floats."""

    def step(
        images: jax.Array, drawn: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, None]:
        return apply_operations(images, *drawn, color), None

    # A loop, so that a step is compiled once however many there are.
    images, _ = jax.lax.scan(step, images, (operation.T, value.T))
    return to_float(images)


def _policy_values(
    op: Op, level: float, height: int, width: int
) -> tuple[float, float]:
    """AutoAugment's value at a magnitude of 0 … 10 for either sign.

    Whole numbers where the published code has whole numbers.
    """
    share = level / 10
    if op in _ENHANCERS:
        return (0.1 + 1.8 * share,) * 2
    if op == Op.POSTERIZE:
        return (4 - int(4 * share),) * 2
    if op == Op.SOLARIZE:
        return (256 - int(256 * share),) * 2
    value = _geometry(op, share, height, width)
    if op == Op.ROTATE:
        value = int(value)
    return -value, value


def _rand_augment_values(
    op: Op, magnitude: float, height: int, width: int
) -> tuple[float, float]:
    """RandAugment's value at a magnitude of 0 … 30 for either sign."""
    share = magnitude / 10
    if op in _ENHANCERS:
        return max(1 - 0.9 * share, 0), 1 + 0.9 * share
    if op == Op.POSTERIZE:
        return (max(8 - round(4 * share), 1),) * 2
    if op == Op.SOLARIZE:
        return (max(256 * (1 - share), 0),) * 2
    value = _geometry(op, share, height, width)
    return -value, value


def _geometry(op: Op, share: float, height: int, width: int) -> float:
    """The value of an operation that moves pixels; 0 for any other."""
    if op in (Op.SHEAR_X, Op.SHEAR_Y):
        return 0.3 * share
    if op == Op.ROTATE:
        return 30 * share
    if op in (Op.TRANSLATE_X, Op.TRANSLATE_Y):
        side = width if op == Op.TRANSLATE_X else height
        return int(_LARGEST_SHIFT * side * share)
    return 0.0
