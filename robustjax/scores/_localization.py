"""Weakly supervised localisation: from a classifier's feature map to a box.

A classifier that was never shown a box still says where it looks. Its activation map
is brought to the size of the image, scaled to [0, 1], cut off at a threshold, and the
largest connected region becomes the box (Zhou et al., "Learning Deep Features for
Discriminative Localization", CVPR 2016; the steps are those of Choe et al.,
"Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020):

  maps = class_activation_map(feature_map, head_kernel, labels)
  maps = normalize_map(resize_map(maps, (height, width)))
  accuracy = max_box_accuracy(maps, boxes)

Maps are computed with JAX, boxes on the host. Boxes are (x1, y1, x2, y2) in pixels
with inclusive corners, as in `losses.box_iou`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from robustjax import arrays, checks
from robustjax.losses._boxes import box_iou

# The published evaluation stores maps as 8-bit images.
_LEVELS = 255
# Pixels that are labelled at once: enough to hide the calls, few enough for a cache.
_CHUNK = 2**20
_MOST_PIXELS = 1e9

THRESHOLDS = np.arange(100) / 100
"""Those over which the largest accuracy is taken, 0, 0.01, …, 0.99."""


class BoxAccuracy(NamedTuple):
    """Shares of images whose box is right, by the threshold of the map.

    Attributes:
      thresholds: (T,) float64.
      accuracy: (T,) float64 in [0, 1], see `gt_known_localization`.
      best: the largest of them (MaxBoxAcc). The threshold was chosen on the very
        images it is measured on.
      best_threshold: the (first) threshold it belongs to.
      fixed: the accuracy at a threshold chosen beforehand.
    """

    thresholds: np.ndarray
    accuracy: np.ndarray
    best: float
    best_threshold: float
    fixed: float


def class_activation_map(
    feature_map: jax.Array, head_kernel: jax.Array, labels: jax.Array
) -> jax.Array:
    """Where a class is seen, `M(u, v) = sum_c w[c, y] F(u, v, c)`.

    Source: Zhou et al., CVPR 2016, Eq. 2. It takes a network whose logits are linear
    in the averages of the feature map's channels; the mean over the map is then the
    logit, less its bias.

    Args:
      feature_map: (B, h, w, c) floats, the last feature map before pooling.
      head_kernel: (c, C) floats, the weights from the averages to the logits.
      labels: (B,) integers in 0 … C-1, the class to look for: for "GT-known"
        localisation the true one.

    Returns:
      (B, h, w) float32, of any sign.

    Raises:
      ValueError: other ranks, channels or lengths that do not fit, or a label outside
        the classes.
    """
    checks.rank("feature_map", feature_map, 4)
    checks.rank("head_kernel", head_kernel, 2)
    feature_map = arrays.float32("feature_map", feature_map)
    head_kernel = arrays.float32("head_kernel", head_kernel)
    channels, num_classes = head_kernel.shape
    if feature_map.shape[-1] != channels:
        raise ValueError(
            f"head_kernel: got shape {head_kernel.shape}, expected a row for each of "
            f"the {feature_map.shape[-1]} channels of feature_map"
        )
    if not checks.is_traced(labels):
        labels = jnp.asarray(checks.labels("labels", labels, num_classes))
    checks.same_length(labels=labels, feature_map=feature_map)
    return jnp.einsum("bhwc,bc->bhw", feature_map, head_kernel.T[labels])


def activation_map(feature_map: jax.Array) -> jax.Array:
    """Where anything is seen, the sum over the channels.

    For data without class labels, and as an alternative to
    `class_activation_map`.

    Args:
      feature_map: (B, h, w, c) floats.

    Returns:
      (B, h, w) float32.

    Raises:
      ValueError: another rank.
    """
    checks.rank("feature_map", feature_map, 4)
    return jnp.sum(arrays.float32("feature_map", feature_map), axis=-1)


def resize_map(maps: jax.Array, size: int | tuple[int, int]) -> jax.Array:
    """Maps at the size of the images, by bicubic interpolation.

    The kernel is that of Keys with a = -0.5, where OpenCV has -0.75: values differ a
    little from those of evaluations that use it. Like every cubic, it overshoots, so
    scale with `normalize_map` afterwards, not before.

    Args:
      maps: (B, h, w) floats.
      size: (height, width), or one number for both.

    Returns:
      (B, height, width) float32.

    Raises:
      ValueError: another rank, or a size below one.
    """
    checks.rank("maps", maps, 3)
    height, width = (size, size) if isinstance(size, int) else size
    checks.at_least("size", min(height, width), 1)
    maps = arrays.float32("maps", maps)
    if 0 in maps.shape:
        raise ValueError(f"maps: got shape {maps.shape}, expected at least one pixel")
    return jax.image.resize(maps, (maps.shape[0], height, width), "cubic")


def normalize_map(maps: jax.Array) -> jax.Array:
    """Scales every map to [0, 1] by its smallest and its largest value.

    Args:
      maps: (B, h, w) floats.

    Returns:
      (B, h, w) float32; zeros for a map that is constant or holds NaN or infinity.

    Raises:
      ValueError: another rank.
    """
    checks.rank("maps", maps, 3)
    if 0 in np.shape(maps)[1:]:
        raise ValueError(f"maps: got shape {np.shape(maps)}, expected pixels")
    if not isinstance(maps, jax.Array):
        maps = _levelled(arrays.numbers("maps", maps))
    maps = arrays.float32("maps", maps)
    low = jnp.min(maps, axis=(1, 2), keepdims=True)
    high = jnp.max(maps, axis=(1, 2), keepdims=True)
    width = high - low
    usable = jnp.isfinite(width) & (width > 0)
    scaled = (maps - low) / jnp.where(usable, width, 1.0)
    # A compiled quotient may miss 1 by a rounding, to either side.
    scaled = jnp.where(maps == high, 1.0, jnp.minimum(scaled, 1.0))
    return jnp.where(usable, scaled, 0.0)


def _levelled(maps: np.ndarray) -> np.ndarray:
    """Maps less their smallest values, near 1 in size, before they become float32."""
    if not arrays.is_wide(maps):
        return maps
    levelled = np.empty(maps.shape, np.float32)
    for row, one in enumerate(maps):
        with np.errstate(over="ignore", invalid="ignore"):
            wide = one.astype(np.float64)
            shift = wide / 2 - wide.min() / 2
            largest = shift.max()
            levelled[row] = shift / (largest if largest > 0 else 1)
    return levelled


def boxes_from_maps(maps: Any, thresholds: Sequence[float] | np.ndarray) -> np.ndarray:
    """Boxes around the largest connected region above each threshold.

    A map is cut down to whole numbers 0 … 255, and a pixel belongs to the mask if it
    lies strictly above `threshold` times the map's largest value. Of the mask's
    components, with eight neighbours to a pixel, the one of most pixels counts, of
    several as large the one met first, row by row. The published evaluation takes the
    component whose outer contour encloses the largest area instead: holes count
    there, and a line of single pixels encloses nothing. On the blob-like maps that
    interpolation gives the two hardly ever differ.

    The box holds the component's pixels exactly. The published evaluation has corners
    `x2 = x1 + width`, clipped to the image, one more than here.

    The work is B * H * W per different threshold, a few tens of nanoseconds each:
    20 seconds or so for 10,000 maps of 32 by 32 pixels at 100 thresholds. Thresholds
    that come to the same whole number are computed once.

    Args:
      maps: (B, H, W) floats in [0, 1], see `normalize_map`.
      thresholds: (T,) numbers in [0, 1].

    Returns:
      (T, B, 4) float32 (x1, y1, x2, y2), inclusive; zeros where the mask is empty.

    Raises:
      ValueError: another rank, or values or thresholds outside [0, 1].
    """
    maps = arrays.numbers("maps", maps, 3)
    if 0 in maps.shape[1:]:
        raise ValueError(f"maps: got shape {maps.shape}, expected pixels")
    if not arrays.is_wide(maps):
        maps = maps.astype(np.float32, copy=False)
    thresholds = arrays.numbers("thresholds", thresholds, 1).astype(np.float64)
    checks.in_range("thresholds", thresholds, 0, 1)
    if not ((maps >= 0) & (maps <= 1)).all():
        raise ValueError("maps: got values outside [0, 1] or NaN, expected [0, 1]")
    count, height, width = maps.shape
    boxes = np.zeros((len(thresholds), count, 4), np.float32)
    step = max(_CHUNK // max((height + 1) * width, 1), 1)
    for start in range(0, count, step):
        rows = slice(start, start + step)
        boxes[:, rows] = _boxes_of(maps[rows], thresholds)
    return boxes


def _boxes_of(maps: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """`boxes_from_maps` of a chunk."""
    values = (maps * _LEVELS).astype(np.uint8)
    peaks = values.max(axis=(1, 2)).astype(np.float64)
    # Whole numbers lie above a limit just when they lie above its integer part.
    limits = np.floor(thresholds[:, None] * peaks[None]).astype(np.uint8)
    different, place = np.unique(limits, axis=0, return_inverse=True)
    # The maps one below the other make a single image; an empty row keeps a map's
    # components apart from those of the next.
    apart = np.pad(values, ((0, 0), (0, 1), (0, 0)))
    boxes = [_largest_component(apart > limit[:, None, None]) for limit in different]
    return np.stack(boxes)[place]


def _largest_component(masks: np.ndarray) -> np.ndarray:
    """Boxes (B, 4) of masks (B, H, W) whose last row is empty."""
    count, height, width = masks.shape
    neighbors = np.ones((3, 3), bool)
    labels = ndimage.label(masks.reshape(-1, width), neighbors)[0]
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    flat = labels.reshape(count, -1)
    largest = flat[np.arange(count), sizes[flat].argmax(axis=1)]
    chosen = (flat == largest[:, None]).reshape(masks.shape)
    rows, columns = chosen.any(axis=2), chosen.any(axis=1)
    boxes = np.stack(
        [
            columns.argmax(axis=1),
            rows.argmax(axis=1),
            width - 1 - columns[:, ::-1].argmax(axis=1),
            height - 1 - rows[:, ::-1].argmax(axis=1),
        ],
        axis=1,
    )
    return np.where((largest > 0)[:, None], boxes, 0)


def gt_known_localization(
    boxes: jax.Array, targets: jax.Array, delta: float = 0.5
) -> jax.Array:
    """GT-known Loc: the share of boxes whose IoU with the true one reaches `delta`.

    Args:
      boxes: (..., B, 4) predicted boxes, such as (T, B, 4).
      targets: (B, 4) true boxes. The published evaluation cuts them down to whole
        pixels first.
      delta: in (0, 1].

    Returns:
      (...) float32 in [0, 1].

    Raises:
      ValueError: a delta outside (0, 1], no box, shapes that do not fit, boxes that
        are not finite, or true ones whose corners are in another order (as those of
        left, top, width and height often are).
    """
    return jnp.mean(_right(boxes, targets, delta), axis=-1)


def _right(boxes: jax.Array, targets: jax.Array, delta: float) -> jax.Array:
    """(..., B) bool, whether the IoU reaches `delta`."""
    checks.in_range("delta", delta, 0, 1, low_open=True)
    given = {"boxes": boxes, "targets": targets}
    for name, array in given.items():
        if not checks.is_traced(array):
            numbers = arrays.numbers(name, array)
            checks.finite(name, numbers)
            arrays.check_resolved(name, numbers)
            # An area is a square.
            largest = float(np.abs(numbers).max(initial=0))
            checks.in_range(name, largest, 0, _MOST_PIXELS)
        given[name] = arrays.float32(name, array)
    boxes, targets = given["boxes"], given["targets"]
    if boxes.ndim < 2 or boxes.shape[-2:] != targets.shape:
        raise ValueError(
            f"targets: got shape {targets.shape}, expected (B, 4) for boxes of shape "
            f"{boxes.shape}"
        )
    if targets.shape[0] == 0:
        raise ValueError("targets: got no box, expected at least one")
    if not checks.is_traced(targets):
        corners = np.asarray(targets)
        inverted = np.flatnonzero((corners[:, 2:] < corners[:, :2]).any(axis=1))
        if inverted.size:
            row = int(inverted[0])
            raise ValueError(
                f"targets: got {corners[row].tolist()} at row {row}, expected "
                "(x1, y1, x2, y2) with x1 <= x2 and y1 <= y2"
            )
    return box_iou(boxes, jnp.broadcast_to(targets, boxes.shape)) >= delta


def _check_within(targets: np.ndarray, height: int, width: int) -> None:
    """Raises `ValueError` for true boxes that are not in pixels of the maps."""
    # A corner may be one more, as where boxes end before it.
    beyond = (targets < 0) | (targets > [width, height, width, height])
    rows = np.flatnonzero(beyond.any(axis=1))
    if rows.size:
        raise ValueError(
            f"targets: got {targets[rows[0]].tolist()} at row {rows[0]}, expected "
            f"pixels of maps of height {height} and width {width}"
        )


def max_box_accuracy(
    maps: Any,
    targets: jax.Array,
    thresholds: Sequence[float] | np.ndarray = THRESHOLDS,
    *,
    fixed: float = 0.2,
    delta: float = 0.5,
) -> BoxAccuracy:
    """GT-known Loc at every threshold, the best of all, and that of a fixed one.

    The best (MaxBoxAcc of Choe et al., CVPR 2020, who have thresholds 0.001 apart)
    compares the maps of methods whatever their scale; 0.2 of the maximum is the
    threshold of Zhou et al. (CVPR 2016).

    Args:
      maps: (B, H, W) floats in [0, 1], see `normalize_map`.
      targets: (B, 4) true boxes in pixels of the maps, inclusive.
      thresholds: (T,) numbers in [0, 1], T >= 1.
      fixed: the threshold to report beside them, in [0, 1].
      delta: the IoU that makes a box right.

    Raises:
      ValueError: see `boxes_from_maps` and `gt_known_localization`; no threshold, or
        true boxes beyond the maps, as in pixels of larger images.
    """
    thresholds = arrays.numbers("thresholds", thresholds, 1).astype(np.float64)
    checks.at_least("thresholds", len(thresholds), 1)
    checks.in_range("fixed", fixed, 0, 1)
    boxes = boxes_from_maps(maps, np.append(thresholds, fixed))
    right = np.asarray(_right(jnp.asarray(boxes), targets, delta))
    _check_within(np.asarray(targets), *np.shape(maps)[1:])
    accuracy = right.mean(axis=1)
    best = int(np.argmax(accuracy[:-1]))
    return BoxAccuracy(
        thresholds,
        accuracy[:-1],
        best=float(accuracy[best]),
        best_threshold=float(thresholds[best]),
        fixed=float(accuracy[-1]),
    )
