"""Transforms that rewrite the labels before the loss sees them.

What they leave are distributions, (B, ..., C), so the head must take distributions.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from robustjax import checks, losses
from robustjax.transforms._base import (
    Batch,
    ExampleSpec,
    LossTransform,
    Stage,
    Terms,
    need,
)
from robustjax.transforms._rows import rowwise, stateless


def _distributions(terms: Terms, num_classes: int) -> jax.Array:
    """The labels as (B, ..., C) distributions, finite where they do not count."""
    mask = terms.mask if terms.positions is None else terms.positions
    mask = mask.reshape(mask.shape + (1,) * (terms.labels.ndim - mask.ndim))
    # A NaN would reach the gradient through 0 * NaN, although padding has weight 0.
    labels = jnp.where(mask, terms.labels, 0)
    return losses.as_distributions(labels, num_classes)


def label_smoothing(smoothing: float = 0.1) -> LossTransform:
    """Smooths the labels towards the uniform distribution; see `losses.smooth_labels`.

    Needs `logits` (for the number of classes).

    Args:
      smoothing: in [0, 1], the share of the uniform distribution over all classes.

    Raises:
      ValueError: smoothing outside [0, 1].

    Example:
      >>> import jax.numpy as jnp
      >>> import robustjax as rj
      >>> tx = rj.chain(rj.label_smoothing(0.1), rj.ce())
      >>> state = tx.init(rj.ExampleSpec(num_examples=4, num_classes=2))
      >>> batch = {"index": jnp.arange(1), "label": jnp.array([1])}
      >>> terms, _ = tx.update(rj.start(batch), state, batch, logits=jnp.zeros((1, 2)))
      >>> [round(share, 3) for share in terms.labels[0].tolist()]
      [0.05, 0.95]
    """
    name = "label_smoothing"
    checks.in_range("smoothing", smoothing, 0, 1)

    def apply(terms: Terms, batch: Batch, /, **extra: Any) -> Terms:
        del batch
        num_classes = need(name, extra, "logits").shape[-1]
        labels = _distributions(terms, num_classes)
        smooth = losses.smooth_labels(labels, num_classes, smoothing=smoothing)
        return terms.replace(labels=smooth)

    return stateless(apply, stage=Stage.LABELS, name=name)


def given_labels(weight: float = 1.0) -> LossTransform:
    """Mixes the labels with the state's rows "label": `(1 - a) given + a rows`.

    Rows are initially zero, and a row that sums to 0 is not set: its example keeps
    the given label. Set rows to use it, as `state._replace(rows={"label": r})` with
    r (N_padded, ..., C), and the weight a likewise, as `shared=state.shared |
    {"weight": jnp.float32(a)}`; both are plain state, so an epoch rule can do so
    inside a compiled program.

    The cross-entropy under the mixed label is the mixture of the cross-entropies,
    `(1 - a) CE(given) + a CE(rows)` (the loss of Han et al., ICCV 2019, "Deep
    self-learning from noisy labels"); so is every loss that is an expectation over
    the label. The state takes N_padded x C floats.

    Args:
      weight: a at the start, in [0, 1]; 1 replaces the labels of set rows outright,
        and then a given label of such a row may be out of range (an unknown label).

    Raises:
      ValueError: a weight outside [0, 1].
    """
    checks.in_range("weight", weight, 0, 1)

    def init_rows(spec: ExampleSpec) -> Any:
        shape = (spec.padded_examples, *spec.positions, spec.num_classes)
        return {"label": jnp.zeros(shape, jnp.float32)}

    def update_rows(
        terms: Terms, rows: Any, shared: Any, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, Any]:
        del batch, extra
        new = rows["label"]
        given = _distributions(terms, new.shape[-1])
        if given.shape != new.shape:
            raise ValueError(
                f"given_labels: got labels of shape {given.shape}, expected "
                f"{new.shape}, by the num_classes and positions of the ExampleSpec"
            )
        # NaN is set: it must show, and not leave the given label.
        is_set = jnp.sum(new, axis=-1, keepdims=True) != 0
        share = jnp.where(is_set, shared["weight"], 0.0)
        # An unknown label is NaN here, and must not get past the weight 0.
        kept = jnp.where(share < 1, (1 - share) * given, 0.0)
        return terms.replace(labels=kept + share * new), rows

    return rowwise(
        init_rows,
        update_rows,
        stage=Stage.LABELS,
        name="given_labels",
        init_shared=lambda spec: {"weight": jnp.float32(weight)},
    )
