"""The head of bounding-box regression: values from predicted and true boxes."""

from __future__ import annotations

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from robustjax import checks, losses
from robustjax.transforms._base import Batch, LossTransform, Stage, Terms, need
from robustjax.transforms._batches import entry
from robustjax.transforms._rows import stateless

BoxLoss = Literal["l1", "l1_iou", "d_iou"]
BOX_LOSSES: tuple[BoxLoss, ...] = get_args(BoxLoss)
"""Values of `loss` in `box_head`."""


def box_head(
    loss: BoxLoss = "l1",
    *,
    iou_weight: jax.Array | float = 0.4,
    distance_weight: jax.Array | float = 0.4,
) -> LossTransform:
    """Sets the values to a loss between predicted and true boxes.

    Needs `boxes`, (B, 4) predictions (x1, y1, x2, y2) in pixels with inclusive
    corners; the targets are `batch["box"]`, (B, 4) alike. The labels are not used.

    Args:
      loss: "l1" (`losses.smooth_l1`), "l1_iou" (`losses.l1_iou`) or "d_iou"
        (`losses.d_iou`), as in TAUFE (Park et al., NeurIPS 2021).
      iou_weight: >= 0, of `1 - IoU` in "l1_iou" and "d_iou".
      distance_weight: >= 0, of the distance of centres in "d_iou".

    Raises:
      ValueError: an unknown loss, a negative weight or one of another loss; when
        called, shapes other than (B, 4).
      TypeError: when called, a batch without "box".
    """
    name = "box_head"
    checks.one_of("loss", loss, BOX_LOSSES)
    checks.in_range("iou_weight", iou_weight, 0)
    checks.in_range("distance_weight", distance_weight, 0)
    if loss == "l1":
        checks.no_effect("iou_weight", iou_weight, 0.4, "with loss='l1'")
    if loss != "d_iou":
        checks.no_effect("distance_weight", distance_weight, 0.4, f"with loss={loss!r}")

    def apply(terms: Terms, batch: Batch, /, **extra: Any) -> Terms:
        boxes = jnp.asarray(need(name, extra, "boxes"))
        targets = jnp.asarray(entry(batch, "box"))
        wanted = (*terms.mask.shape, 4)
        for key, array in (("boxes", boxes), ("batch['box']", targets)):
            if array.shape != wanted:
                raise ValueError(f"{key}: got shape {array.shape}, expected {wanted}")
        # A NaN on padding would reach the gradient through 0 * NaN.
        real = terms.mask[:, None]
        boxes, targets = jnp.where(real, boxes, 0), jnp.where(real, targets, 0)
        if loss == "l1":
            value = losses.smooth_l1(boxes, targets)
        elif loss == "l1_iou":
            value = losses.l1_iou(boxes, targets, iou_weight=iou_weight)
        else:
            value = losses.d_iou(
                boxes,
                targets,
                iou_weight=iou_weight,
                distance_weight=distance_weight,
            )
        return terms.replace(value=value)

    return stateless(apply, stage=Stage.HEAD, name=name)
