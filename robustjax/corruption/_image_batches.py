"""Batches of 8-bit images on the host: checks, blocks, threads, rounding.

Inside, values are levels, 0 … 255 as float32: an integer level is then exact, and what
changes nothing gives back the image. Public code computes in [0, 1] with double
precision, multiplies by 255 and truncates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Any, TypeVar

import jax
import numpy as np

from robustjax import arrays
from robustjax.cores import usable_cores
from robustjax.corruption._image_draws import Draws

SEVERITIES = (1, 2, 3, 4, 5)
SMALLEST_SIDE = 8

# A block and what is computed from it stay in a core's cache.
_BLOCK_VALUES = 3 * 2**14

# Sums of float32 levels are this exact; what should be an integer must not be cut to
# the level below.
_SLACK = np.float32(1e-3)

Parameter = TypeVar("Parameter")


def check_images(images: Any) -> np.ndarray:
    """Returns (N, H, W, 3) uint8 images after checking them.

    Raises:
      ValueError: another shape or dtype, or a side of less than 8 pixels.
    """
    array = arrays.numbers("images", images)
    if array.ndim != 4 or array.shape[-1] != 3:
        raise ValueError(f"images: got shape {array.shape}, expected (N, H, W, 3)")
    if array.dtype != np.uint8:
        raise ValueError(f"images: got {array.dtype.name}, expected uint8")
    if min(array.shape[1:3]) < SMALLEST_SIDE:
        raise ValueError(
            f"images: got {array.shape[1]} x {array.shape[2]} pixels, expected at "
            f"least {SMALLEST_SIDE} x {SMALLEST_SIDE}"
        )
    return array


def at_severity(parameters: Sequence[Parameter], severity: int) -> Parameter:
    """The parameters of a severity, 1 … 5.

    Raises:
      ValueError: another severity.
    """
    is_whole = isinstance(severity, int | np.integer) and not isinstance(severity, bool)
    if not is_whole or severity not in SEVERITIES:
        raise ValueError(f"severity: got {severity!r}, expected an integer 1 … 5")
    return parameters[int(severity) - 1]


def check_ids(ids: Any, size: int) -> np.ndarray:
    """Returns what names the images' own randomness, by default their rows.

    Args:
      ids: (N,) integers >= 0, or None.
      size: N.

    Raises:
      ValueError: another kind, length or sign.
    """
    if ids is None:
        return np.arange(size, dtype=np.uint64)
    array = arrays.numbers("ids", ids, 1)
    if array.dtype.kind not in "iu":
        raise ValueError(f"ids: got {array.dtype.name}, expected integers >= 0")
    if len(array) != size:
        raise ValueError(f"ids: got {len(array)}, expected one for each of {size}")
    if size and array.min() < 0:
        raise ValueError(f"ids: got {array.min()}, expected integers >= 0")
    return array.astype(np.uint64)


def to_levels(values: np.ndarray) -> np.ndarray:
    """Cuts float levels to 0 … 255 and down to the integer below. Overwrites them."""
    np.add(values, _SLACK, out=values)
    np.clip(values, 0, 255, out=values)
    return values.astype(np.uint8)


def change(images: Any, apply: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Applies what needs no randomness, block by block and on all cores.

    Args:
      images: (N, H, W, 3) uint8.
      apply: from a block of images, uint8, to one of the same shape, uint8 or float
        levels.

    Returns:
      (N, H, W, 3) uint8.

    Raises:
      ValueError: see `check_images`.
    """
    array = check_images(images)
    return _in_blocks(array, lambda here: apply(array[here]))


def change_at_random(
    name: str,
    images: Any,
    key: jax.Array,
    ids: Any,
    apply: Callable[[np.ndarray, Draws], np.ndarray],
) -> np.ndarray:
    """Applies what is random, each image by the key and its own id alone.

    Args:
      name: of the corruption; two of them share no randomness.
      images: (N, H, W, 3) uint8.
      key: PRNG key.
      ids: (N,) integers >= 0, or None for 0 … N-1.
      apply: from a block of images and its randomness to one of the same shape.

    Returns:
      (N, H, W, 3) uint8.

    Raises:
      ValueError: bad images, ids or key.
    """
    array = check_images(images)
    draws = Draws.of(key, name, check_ids(ids, len(array)))
    return _in_blocks(array, lambda here: apply(array[here], draws.rows(here)))


def _in_blocks(images: np.ndarray, apply: Callable[[slice], np.ndarray]) -> np.ndarray:
    result = np.empty(images.shape, np.uint8)
    step = max(1, _BLOCK_VALUES // max(1, int(np.prod(images.shape[1:]))))

    def work(start: int) -> None:
        here = slice(start, min(start + step, len(images)))
        changed = apply(here)
        if changed.dtype != np.uint8:
            changed = to_levels(changed)
        result[here] = changed

    starts = range(0, len(images), step)
    workers = min(usable_cores(), len(starts))
    if workers <= 1:
        for start in starts:
            work(start)
        return result
    with futures.ThreadPoolExecutor(workers) as pool:
        # Errors inside are raised here.
        list(pool.map(work, starts))
    return result
