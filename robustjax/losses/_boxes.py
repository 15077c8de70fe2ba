"""Bounding-box regression: losses, intersection over union, and a check of targets.

A box is (x1, y1, x2, y2) in pixels with inclusive corners, so that its width is
`x2 - x1 + 1`: the smallest box, with both corners alike, covers one pixel. Losses take
predictions and targets of one shape (..., 4) and return one value per box, computed
in float32 or better.

A predicted box can be inverted (x2 < x1 or y2 < y1) early in training. Its width or
height then counts as 0 once it falls below 0, so that it overlaps nothing and its IoU
is 0, without a gradient. (Published code takes the product of negative sides for an
area.) The corners are not put in order, since a swapped box is a wrong answer, and the
gradient of its overlap would drive the left edge to the right of the target. What
turns such a box around is smooth L1, which pulls every coordinate to its own target;
each of the losses contains it.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks

# Square of a thousandth of a pixel: keeps the quotient of the distance term and its
# gradient finite where prediction and target are one and the same pixel.
_SMALLEST_DIAGONAL = 1e-6


def _prepare(boxes: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns both as floats after checking their shapes."""
    boxes, targets = jnp.asarray(boxes), jnp.asarray(targets)
    if boxes.ndim < 1 or boxes.shape[-1] != 4:
        raise ValueError(f"boxes: got shape {boxes.shape}, expected (..., 4)")
    if boxes.shape != targets.shape:
        raise ValueError(
            f"targets: got shape {targets.shape}, expected that of boxes, {boxes.shape}"
        )
    dtype = jnp.promote_types(jnp.result_type(boxes, targets), jnp.float32)
    return boxes.astype(dtype), targets.astype(dtype)


def smooth_l1(boxes: jax.Array, targets: jax.Array) -> jax.Array:
    """Smooth L1, averaged over the four coordinates (Girshick, ICCV 2015, Eq. 3).

    `0.5 u^2` where the difference |u| is below one pixel, `|u| - 0.5` elsewhere.

    Args:
      boxes: (..., 4) predictions.
      targets: (..., 4) true boxes.

    Returns:
      (...) values in [0, inf).

    Raises:
      ValueError: shapes that differ, or whose last axis is not 4.
    """
    boxes, targets = _prepare(boxes, targets)
    distance = jnp.abs(boxes - targets)
    value = jnp.where(distance < 1, 0.5 * distance**2, distance - 0.5)
    return jnp.mean(value, axis=-1)


def _sides(boxes: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Width and height, both ends included; 0 for an inverted box."""
    return (
        jnp.maximum(boxes[..., 2] - boxes[..., 0] + 1, 0),
        jnp.maximum(boxes[..., 3] - boxes[..., 1] + 1, 0),
    )


def box_iou(boxes: jax.Array, targets: jax.Array) -> jax.Array:
    """Intersection over union, box by box, with inclusive corners.

    Args:
      boxes: (..., 4) predictions; an inverted one has an IoU of 0.
      targets: (..., 4) true boxes.

    Returns:
      (...) values in [0, 1].

    Raises:
      ValueError: shapes that differ, or whose last axis is not 4.
    """
    boxes, targets = _prepare(boxes, targets)
    width, height = _sides(boxes)
    true_width, true_height = _sides(targets)
    overlap = jnp.concatenate(
        [
            jnp.maximum(boxes[..., :2], targets[..., :2]),
            jnp.minimum(boxes[..., 2:], targets[..., 2:]),
        ],
        axis=-1,
    )
    shared_width, shared_height = _sides(overlap)
    shared = shared_width * shared_height
    union = width * height + true_width * true_height - shared
    # Empty only if the target is inverted too.
    return shared / jnp.where(union > 0, union, 1.0)


def l1_iou(
    boxes: jax.Array, targets: jax.Array, *, iou_weight: jax.Array | float = 0.4
) -> jax.Array:
    """Smooth L1 with overlap, `L1 + iou_weight (1 - IoU)`.

    One of the three box losses of TAUFE (Park et al., NeurIPS 2021); the weight 0.4
    is that of its code, the paper gives none.

    Args:
      boxes: (..., 4) predictions.
      targets: (..., 4) true boxes.
      iou_weight: >= 0, possibly traced.

    Returns:
      (...) values in [0, inf), 0 for identical boxes.

    Raises:
      ValueError: a negative weight, shapes that differ, or whose last axis is not 4.
    """
    checks.in_range("iou_weight", iou_weight, 0)
    overlap = box_iou(boxes, targets)
    return smooth_l1(boxes, targets) + iou_weight * (1 - overlap)


def d_iou(
    boxes: jax.Array,
    targets: jax.Array,
    *,
    iou_weight: jax.Array | float = 0.4,
    distance_weight: jax.Array | float = 0.4,
) -> jax.Array:
    """L1-IoU with the distance of the centres (Zheng et al., AAAI 2020, Eq. 7).

    `L1 + iou_weight (1 - IoU) + distance_weight rho^2 / c^2`, with rho the distance
    of the two centres and c the diagonal of the smallest box around both, from
    corner to corner (without the pixel that the IoU adds). Every example has its own
    diagonal; the code of TAUFE, whose weights of 0.4 these are, divides a whole batch
    by one number, the largest distance of opposite corners in it.

    Args:
      boxes: (..., 4) predictions; all corners count for the box around both, also
        those of an inverted box, so that the quotient stays below 1.
      targets: (..., 4) true boxes.
      iou_weight: >= 0, possibly traced.
      distance_weight: >= 0, possibly traced.

    Returns:
      (...) values in [0, inf), 0 for identical boxes.

    Raises:
      ValueError: a negative weight, shapes that differ, or whose last axis is not 4.
    """
    checks.in_range("distance_weight", distance_weight, 0)
    value = l1_iou(boxes, targets, iou_weight=iou_weight)
    boxes, targets = _prepare(boxes, targets)
    corners = [boxes[..., :2], boxes[..., 2:], targets[..., :2], targets[..., 2:]]
    around = jnp.stack(corners)
    diagonal = jnp.sum((around.max(axis=0) - around.min(axis=0)) ** 2, axis=-1)
    shift = (corners[0] + corners[1] - corners[2] - corners[3]) / 2
    distance = jnp.sum(shift**2, axis=-1)
    return value + distance_weight * distance / jnp.maximum(
        diagonal, _SMALLEST_DIAGONAL
    )


def check_boxes(name: str, boxes: Any, height: int, width: int) -> np.ndarray:
    """Returns true boxes as float32 after checking them, on the host.

    Args:
      name: what to call the argument in an error.
      boxes: (N, 4) numbers (x1, y1, x2, y2), corners inclusive.
      height: of the images in pixels; y2 is at most `height - 1`.
      width: of the images in pixels; x2 is at most `width - 1`.

    Returns:
      (N, 4) float32.

    Raises:
      ValueError: another shape or dtype, NaN or infinity, a box that is inverted or
        reaches outside the image; the first bad row is named.
    """
    array = np.asarray(boxes)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"{name}: got shape {array.shape}, expected (N, 4)")
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name}: got {array.dtype.name}, expected numbers")
    checks.finite(name, array)
    # Unsigned coordinates would wrap around.
    array = array.astype(np.float64)
    x1, y1, x2, y2 = array.T
    outside = (array[:, :2] < 0).any(axis=1) | (x2 > width - 1) | (y2 > height - 1)
    problems = {
        "x2 < x1": x2 < x1,
        "y2 < y1": y2 < y1,
        "outside the image": outside,
    }
    bad = np.logical_or.reduce(list(problems.values()))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        reasons = ", ".join(reason for reason, rows in problems.items() if rows[row])
        raise ValueError(
            f"{name}: {int(bad.sum())} row(s) are no box within the image (first: row "
            f"{row}, {array[row].tolist()}: {reasons}), expected (x1, y1, x2, y2) with "
            f"0 <= x1 <= x2 <= {width - 1} and 0 <= y1 <= y2 <= {height - 1}"
        )
    return array.astype(np.float32)
