"""Heads: the per-example values from logits and labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from robustjax import checks, losses
from robustjax.transforms._base import (
    Batch,
    ExampleSpec,
    LossState,
    LossTransform,
    Stage,
    Terms,
    need,
)
from robustjax.transforms._reduction import example_mean, need_single_labels
from robustjax.transforms._rows import rowwise, stateless


def loss_head(
    loss: Callable[..., jax.Array], *, name: str, **hyperparameters: Any
) -> LossTransform:
    """The head of a stateless loss `(logits, labels, *, ...) -> (B, ...)`.

    Args:
      loss: from logits (B, ..., C) and labels to one value per label.
      name: for error messages.
      **hyperparameters: passed to the loss.
    """

    def apply(terms: Terms, batch: Batch, /, **extra: Any) -> Terms:
        del batch
        values = loss(need(name, extra, "logits"), terms.labels, **hyperparameters)
        return terms.replace(value=example_mean(name, terms, values))

    return stateless(apply, stage=Stage.HEAD, name=name)


def ce() -> LossTransform:
    """Cross-entropy; see `losses.cross_entropy`. Needs `logits`."""
    return loss_head(losses.cross_entropy, name="ce")


def mae() -> LossTransform:
    """Mean absolute error; see `losses.mae`. Needs `logits`.

    Not to be joined with `elr`: nothing pulls a wrong certainty back.
    """
    return loss_head(losses.mae, name="mae")


def gce(q: float = 0.7) -> LossTransform:
    """Generalised cross-entropy; see `losses.gce`. Needs `logits`.

    Needs no ELR; if it gets one, of about `strength * C^-q`, see `elr`.

    Example:
      >>> import jax.numpy as jnp
      >>> import robustjax as rj
      >>> tx = rj.gce(q=0.7)
      >>> state = tx.init(rj.ExampleSpec(num_examples=4, num_classes=2))
      >>> loss, _ = rj.value(tx, state, jnp.array([[0.0, 9.0]]), jnp.array([0]))
      >>> round(float(loss), 3)  # At most 1 / q, however wrong the label is.
      1.426
    """
    checks.in_range("q", q, 0, 1)
    return loss_head(losses.gce, name="gce", q=q)


def gce_weighted_ce(q: float = 0.7) -> LossTransform:
    """GCE as on dataset bias, see `losses.gce_weighted_ce`. Needs `logits`."""
    checks.in_range("q", q, 0, 1, low_open=True)
    return loss_head(losses.gce_weighted_ce, name="gce_weighted_ce", q=q)


def symmetric_ce(
    alpha: float = 0.1, beta: float = 1.0, log_zero: float = losses.LOG_ZERO
) -> LossTransform:
    """Symmetric cross-entropy; see `losses.symmetric_ce`. Needs `logits`."""
    checks.in_range("alpha", alpha, 0)
    checks.in_range("beta", beta, 0)
    return loss_head(
        losses.symmetric_ce,
        name="symmetric_ce",
        alpha=alpha,
        beta=beta,
        log_zero=log_zero,
    )


def jensen_shannon(label_weight: float = 0.5) -> LossTransform:
    """Jensen-Shannon divergence; see `losses.jensen_shannon`. Needs `logits`."""
    checks.in_range("label_weight", label_weight, 0, 1, low_open=True, high_open=True)
    return loss_head(
        losses.jensen_shannon, name="jensen_shannon", label_weight=label_weight
    )


def forward_correction(transition: jax.Array) -> LossTransform:
    """Forward-corrected cross-entropy; see `losses.forward_corrected_ce`.

    Give the matrix through `inject_hyperparams` where it changes during
    training. Needs `logits`.

    Example:
      >>> import jax.numpy as jnp
      >>> import robustjax as rj
      >>> from robustjax.corruption import transitions
      >>> noise = transitions.symmetric_transition(3, 0.3, include_true=False)
      >>> tx = rj.forward_correction(noise)
      >>> state = tx.init(rj.ExampleSpec(num_examples=4, num_classes=3))
      >>> loss, _ = rj.value(tx, state, jnp.array([[9.0, 0.0, 0.0]]), jnp.array([1]))
      >>> round(float(loss), 2)  # A wrong label of probability 0.15: -log(0.15).
      1.9
    """
    checks.stochastic("transition", transition)
    return loss_head(
        losses.forward_corrected_ce, name="forward_correction", transition=transition
    )


def backward_correction(transition: jax.Array) -> LossTransform:
    """Backward-corrected cross-entropy; see `losses.backward_corrected_ce`.

    Values can be negative. Give the matrix through `inject_hyperparams` where it
    changes during training; it is then inverted at every step. Needs `logits`.

    Raises:
      ValueError: a matrix that is not stochastic or not invertible.
    """
    losses.inverse_transition(transition)
    return loss_head(
        losses.backward_corrected_ce,
        name="backward_correction",
        transition=transition,
    )


def bootstrap(
    beta: float | None = None, *, hard: bool = False, stop_gradient: bool = False
) -> LossTransform:
    """Bootstrapped cross-entropy; see `losses.bootstrap_ce`. Needs `logits`.

    Args:
      beta: the weight of the label in [0, 1]; by default as published, 0.95 for the
        soft and 0.8 for the hard form.
      hard: whether the target is mixed with the predicted class instead of the
        predicted distribution.
      stop_gradient: whether the soft target counts as a constant.

    Raises:
      ValueError: beta outside [0, 1].
    """
    if beta is None:
        beta = 0.8 if hard else 0.95
    checks.in_range("beta", beta, 0, 1)
    return loss_head(
        losses.bootstrap_ce,
        name="bootstrap",
        beta=beta,
        hard=hard,
        stop_gradient=stop_gradient,
    )


def truncated_gce(
    q: float = 0.7, k: float = 0.5, *, start_epoch: int = 0
) -> LossTransform:
    """Truncated generalised cross-entropy with a per-epoch choice of examples.

    An example is kept while `p_y > k` at the last epoch's end; a pruned one has loss
    `(1 - k^q)/q` without gradient and stays in the mean's denominator, and returns
    when its probability recovers (Zhang and Sabuncu, 2018, Alg. 1; public code
    prunes from the first learning-rate drop on, hence `start_epoch`). With the default
    everything below k is pruned after the first epoch, and a slow start (SGD 0.1 on
    MNIST) never recovers: give the network some epochs first. Not to be joined with
    `elr`.

    Needs `logits`, and `losses` at the epoch's end.

    Args:
      q: a number in [0, 1].
      k: the probability at or below which an example is pruned, in (0, 1).
      start_epoch: the number of first epochs that keep every example.

    Raises:
      ValueError: q or k outside their range, or a negative `start_epoch`.
    """
    name = "truncated_gce"
    checks.in_range("q", q, 0, 1)
    checks.in_range("k", k, 0, 1, low_open=True, high_open=True)
    checks.in_range("start_epoch", start_epoch, 0)

    def init_rows(spec: ExampleSpec) -> Any:
        return {"kept": jnp.ones(spec.padded_examples, bool)}

    def update_rows(
        terms: Terms, rows: Any, shared: Any, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, Any]:
        del shared, batch
        need_single_labels(name, terms)
        value = losses.gce(need(name, extra, "logits"), terms.labels, q=q)
        log_k = jnp.log(jnp.float32(k))
        ceiling = losses.gce(
            jnp.stack([log_k, jnp.log1p(-jnp.float32(k))]), jnp.int32(0), q=q
        )
        # What is not finite must show, whether its example is pruned or not.
        shown = rows["kept"] | jnp.isnan(value)
        return terms.replace(value=jnp.where(shown, value, ceiling)), rows

    def epoch(state: LossState, /, **extra: Any) -> LossState:
        # The cross-entropy of a class index is -log p_y.
        kept = ~(jnp.exp(-need(name, extra, "losses")) <= k)
        finished = state.shared["epochs"] + 1
        kept = kept | (finished < start_epoch)
        return LossState({"kept": kept}, {"epochs": finished})

    return rowwise(
        init_rows,
        update_rows,
        stage=Stage.HEAD,
        name=name,
        init_shared=lambda spec: {"epochs": jnp.int32(0)},
        epoch=epoch,
        needs=frozenset({"losses"}),
    )
