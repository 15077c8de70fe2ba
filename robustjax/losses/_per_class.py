"""From logits and labels to per-class values, and from those to one per example."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from robustjax import arrays


def prepare(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array, bool]:
    """Returns (log probabilities, labels, whether the labels are class indices).

    Args:
      logits: (..., C) floats.
      labels: (...) integers, or (..., C) distributions.

    Raises:
      ValueError: shapes that do not match.
    """
    logits = wide_logits(logits)
    labels = arrays.labels_for(labels)
    hard = jnp.issubdtype(labels.dtype, jnp.integer)
    wanted = logits.shape[:-1] if hard else logits.shape
    if labels.shape != wanted:
        kind = "integer" if hard else "distribution"
        raise ValueError(
            f"labels: got shape {labels.shape}, expected {wanted} for {kind} labels "
            f"and logits of shape {logits.shape}"
        )
    return jax.nn.log_softmax(logits), labels, hard


def wide_logits(logits: Any, name: str = "logits") -> jax.Array:
    """Logits as float32 or better, of which a cast has lost no difference.

    Args:
      logits: (..., C) numbers, possibly traced.
      name: what to call them in an error.
    """
    if not isinstance(logits, jax.Array) and not jax.config.read("jax_enable_x64"):
        return arrays.logits(name, logits)
    logits = jnp.asarray(logits)
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))


def need_indices(hard: bool) -> None:
    """Raises `ValueError` unless the labels are class indices."""
    if not hard:
        raise ValueError("labels: got distributions, expected integer class indices")


def inside(labels: jax.Array, num_classes: int) -> jax.Array:
    """Where an integer label names one of the classes."""
    return (labels >= 0) & (labels < num_classes)


def at_label(values: jax.Array, labels: jax.Array) -> jax.Array:
    """Picks `values[..., label]`; NaN for a label outside the classes.

    A masked sum, not a gather: its gradient needs no scatter, which is what makes
    a gather slow on CPU.
    """
    num_classes = values.shape[-1]
    chosen = jax.nn.one_hot(labels, num_classes, dtype=bool)
    picked = jnp.sum(jnp.where(chosen, values, 0), axis=-1)
    return jnp.where(inside(labels, num_classes), picked, jnp.nan)


def under_label(values: jax.Array, labels: jax.Array, hard: bool) -> jax.Array:
    """The expectation of (..., C) values over the label."""
    if hard:
        return at_label(values, labels)
    # 0 * log 0 must be 0, also in the gradient.
    return jnp.sum(jnp.where(labels == 0, 0, labels * values), axis=-1)


def box_cox(log_p: jax.Array, q: jax.Array | float) -> jax.Array:
    """`(1 - p^q) / q` from log p, with its limit `-log p` at q = 0."""
    at_zero = jnp.asarray(q == 0)
    safe_q = jnp.where(at_zero, 1.0, q)
    return jnp.where(at_zero, -log_p, -jnp.expm1(safe_q * log_p) / safe_q)
