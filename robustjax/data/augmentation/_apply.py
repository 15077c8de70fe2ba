"""Applies Pillow's operations on 8-bit images, another one to every image.

Every family of operations runs once for the whole batch: one warp for all that moves
pixels, one blend for the enhancements, one pass over the pixels for the rest. Each
image then takes its own. All start from the same images, so that the compiler fuses
the arithmetic into a few loops. The two with a gather are conditional: it skips them
where no image needs them and, more important, keeps the gathers out of those loops,
which they would slow down.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from robustjax.data.augmentation import _enhance as enhance
from robustjax.data.augmentation import _pointwise as pointwise
from robustjax.data.augmentation._operations import Operation
from robustjax.data.augmentation._warp import warp


def apply_operations(
    images: jax.Array, operation: jax.Array, value: jax.Array, fill: jax.Array
) -> jax.Array:
    """Applies to every image its own operation.

    Exactly as Pillow, but for two roundings. Where auto-contrast's quotient is a whole
    number, Pillow's double precision may end one below it. A rotation's places are in
    float32, so that about one pixel in 100,000 comes from the neighbour of Pillow's.

    Args:
      images: (B, H, W, C) uint8, C 1 or 3.
      operation: (B,) integers, of `Operation`.
      value: (B,) floats, what they mean depends on the operation.
      fill: (C,) uint8, the colour of pixels that come from outside the image.

    Returns:
      (B, H, W, C) uint8.
    """
    one = operation[:, None, None, None]
    levels = images.astype(jnp.int32)
    gray = enhance.luma(levels)
    start = jnp.select(
        [one == Operation.CONTRAST, one == Operation.COLOR, one == Operation.SHARPNESS],
        [enhance.mean_level(gray), gray, enhance.smooth(levels)],
        0,
    )
    candidates = {
        Operation.AUTO_CONTRAST: pointwise.auto_contrast(levels),
        Operation.INVERT: 255 - levels,
        Operation.EQUALIZE: jax.lax.cond(
            jnp.any(operation == Operation.EQUALIZE),
            pointwise.equalize,
            lambda levels: levels,
            levels,
        ),
        Operation.SOLARIZE: pointwise.solarize(levels, value),
        Operation.POSTERIZE: pointwise.posterize(levels, value),
    }
    result = enhance.blend(start, levels, value[:, None, None, None])
    for member, candidate in candidates.items():
        result = jnp.where(one == member, candidate, result)
    result = result.astype(jnp.uint8)
    # Identity, too, is a warp, which moves nothing.
    moving = operation <= Operation.ROTATE
    moved = jax.lax.cond(
        jnp.any(moving),
        lambda: warp(images, _inverse_maps(operation, value, images.shape[1:3]), fill),
        lambda: images,
    )
    return jnp.where(moving[:, None, None, None], moved, result)


def _inverse_maps(
    operation: jax.Array, value: jax.Array, size: tuple[int, ...]
) -> jax.Array:
    """(B, 6) maps `(a, b, c, d, e, f)` from a result's place to the image's.

    The pixel at (x, y) comes from `(a x + b y + c, d x + e y + f)`.
    """
    middle_y, middle_x = size[0] / 2, size[1] / 2

    def only(member: Operation) -> jax.Array:
        return jnp.where(operation == member, value, 0.0)

    angle = jnp.deg2rad(only(Operation.ROTATE))
    # 1 - cos, which keeps its digits where the angle is small.
    rise = 2 * jnp.sin(angle / 2) ** 2
    sine = jnp.sin(angle)
    return jnp.stack(
        [
            1 - rise,
            only(Operation.SHEAR_X) - sine,
            only(Operation.TRANSLATE_X) + middle_x * rise + middle_y * sine,
            only(Operation.SHEAR_Y) + sine,
            1 - rise,
            only(Operation.TRANSLATE_Y) + middle_y * rise - middle_x * sine,
        ],
        axis=-1,
    )
