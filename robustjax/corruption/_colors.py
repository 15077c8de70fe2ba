"""Coloured digits: strokes on black, painted by their bias attribute."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from robustjax import arrays, checks
from robustjax.corruption._image_batches import check_ids
from robustjax.corruption._image_draws import Draws

LFF_COLORS = np.array(
    [
        [0.98368233, 0.31251901, 0.16857535],
        [0.99052966, 0.91560525, 0.35151219],
        [0.67296398, 0.46107048, 0.57980818],
        [0.78325194, 0.83155590, 0.60132939],
        [0.08801579, 0.77796334, 0.98180777],
        [0.32139337, 0.96105456, 0.44644988],
        [0.02461588, 0.23565048, 0.75866628],
        [0.55524695, 0.10158014, 0.76176316],
        [0.20772320, 0.39294851, 0.01870239],
        [0.83365762, 0.20240927, 0.26694310],
    ],
    np.float32,
)
"""(10, 3) mean colours of Nam et al. (2020), as their public code has them."""

PGD_COLORS = np.array(
    [
        [0.8627451, 0.07843137, 0.23529412],
        [0.0, 0.50196078, 0.50196078],
        [0.99215686, 0.91372549, 0.0627451],
        [0.0, 0.58431373, 0.71372549],
        [0.92941176, 0.56862745, 0.12941176],
        [0.56862745, 0.11764706, 0.73725490],
        [0.27450980, 0.94117647, 0.94117647],
        [0.98039216, 0.77254902, 0.73333333],
        [0.82352941, 0.96078431, 0.23529412],
        [0.50196078, 0.0, 0.0],
    ],
    np.float32,
)
"""(10, 3) mean colours of Ahn et al. (2022), as their public code has them."""

LFF_JITTER = {1: 0.05, 2: 0.02, 3: 0.01, 4: 0.005, 5: 0.002}
"""Severity -> deviation of a colour. Reported runs have severity 4; a higher severity
is *less* jitter, and so a stronger bias."""

PGD_JITTER = 1e-4
"""The deviation of the colours' jitter in PGD's set."""

for _table in (LFF_COLORS, PGD_COLORS):
    _table.setflags(write=False)


def color_digits(
    images: Any,
    bias: Any,
    key: jax.Array,
    *,
    colors: Any = LFF_COLORS,
    jitter: float = LFF_JITTER[4],
    as_float: bool = False,
    ids: Any = None,
) -> np.ndarray:
    """Paints greyscale strokes, `(mean[b] + jitter * normal) * image`.

    The jitter is one draw of three numbers *per image*, not per pixel. Black stays
    black.

    Args:
      images: (N, H, W, 1) or (N, H, W) uint8.
      bias: (N,) integers, which colour each has.
      key: PRNG key.
      colors: (C, 3) in [0, 1]; `LFF_COLORS` or `PGD_COLORS`.
      jitter: deviation, >= 0; `LFF_JITTER[severity]` or `PGD_JITTER`.
      as_float: False, as in LfF: the colour is cut to [0, 1] before the product, which
        is truncated to uint8. True, as in PGD: the product is cut, and nothing rounded.
      ids: (N,) integers >= 0 that name the images' jitter; by default 0 … N-1. An
        image's jitter depends on the key and its own id alone.

    Returns:
      (N, H, W, 3) uint8, or float32 in [0, 1] if `as_float`.

    Raises:
      ValueError: other images, attributes without a colour, lengths that differ, bad
        colours, a negative jitter, a bad key or ids.
    """
    digits = arrays.numbers("images", images)
    if digits.ndim == 4 and digits.shape[-1] == 1:
        digits = digits[..., 0]
    if digits.ndim != 3 or digits.dtype != np.uint8:
        raise ValueError(
            f"images: got {digits.dtype.name} of shape {digits.shape}, expected uint8 "
            "greyscale images (N, H, W, 1)"
        )
    table = arrays.numbers("colors", colors, 2)
    if table.shape[1] != 3:
        raise ValueError(f"colors: got shape {table.shape}, expected (C, 3)")
    checks.in_range("colors", table, 0, 1)
    checks.in_range("jitter", jitter, 0, high_open=True)
    chosen = checks.labels("bias", bias, len(table))
    checks.same_length(images=digits, bias=chosen)
    draws = Draws.of(key, "color_digits", check_ids(ids, len(digits)))
    paint = table.astype(np.float32)[chosen]
    paint = paint + np.float32(jitter) * draws.normal("jitter", (3,))
    if not as_float:
        paint = np.clip(paint, 0, 1)
        result = np.empty((*digits.shape, 3), np.uint8)
        for channel in range(3):
            product = digits * paint[:, channel, None, None]
            result[..., channel] = product.astype(np.uint8)
        return result
    values = digits[..., None].astype(np.float32) / 255 * paint[:, None, None]
    return np.clip(values, 0, 1, out=values)
