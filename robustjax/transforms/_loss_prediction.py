"""The loss of a module that predicts the losses of the network it sits in."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from robustjax import checks, losses
from robustjax.losses._ranking import pair_up
from robustjax.transforms._base import (
    Batch,
    LossTransform,
    Penalty,
    Stage,
    Terms,
    need,
)
from robustjax.transforms._rows import stateless


def _padding_inside(mask: jax.Array) -> jax.Array:
    """The (B,) order that puts one half of the real rows before all padding."""
    count, rank = jnp.sum(mask), jnp.cumsum(mask) - 1
    before = rank < count - count // 2
    return jnp.argsort(jnp.where(mask, jnp.where(before, 0, 2), 1), stable=True)


def loss_prediction(
    weight: jax.Array | float = 1.0, *, margin: jax.Array | float = 1.0
) -> LossTransform:
    """Trains predicted losses to be ordered as the losses are.

    Adds `weight` times the mean of `losses.loss_prediction` over the pairs of a batch
    (Yoo and Kweon, "Learning Loss for Active Learning", CVPR 2019, with weight 1):
    the first of the m real rows is paired with the last of them, and so on, whatever
    the padding; the middle one of an odd number has no partner. The losses are the
    head's values, so that additive terms do not count, and get no gradient. Where the
    batch is split under `pmap` or `shard_map`, pass `update` the mapped axis as
    `axis_name=` to pair up the global batch.

    Needs `predicted_loss` (B,).

    Args:
      weight: >= 0.
      margin: >= 0, of the ranking loss.

    Raises:
      ValueError: a negative weight or margin; when called, predictions of another
        shape than (B,).
    """
    name = "loss_prediction"
    checks.in_range("weight", weight, 0, high_open=True)
    checks.in_range("margin", margin, 0)

    def apply(terms: Terms, batch: Batch, /, **extra: Any) -> Terms:
        del batch
        predicted = jnp.asarray(need(name, extra, "predicted_loss"))
        if predicted.shape != terms.value.shape:
            raise ValueError(
                f"predicted_loss: got shape {predicted.shape}, expected that of the "
                f"losses, {terms.value.shape}"
            )
        mask, value = terms.mask, jax.lax.stop_gradient(terms.value)
        # Infinities on padding would reach the gradient as 0 * inf.
        predicted = jnp.where(mask, predicted, 0.0)
        if (axis_name := extra.get("axis_name")) is not None:
            # Pairs are of the global batch; every device counts all of them.
            mask, value, predicted = (
                jax.lax.all_gather(leaf, axis_name, tiled=True)
                for leaf in (mask, value, predicted)
            )
        order = _padding_inside(mask)
        value = losses.loss_prediction(predicted[order], value[order], margin=margin)
        real = jnp.logical_and(*pair_up(mask[order], pairing="opposite"))
        penalty = Penalty(value, weight, real)
        return terms.replace(penalties=(*terms.penalties, penalty))

    return stateless(apply, stage=Stage.ADDITIVE, name=name)
