"""The Jensen-Shannon divergence of label and prediction.

Englesson, Azizpour, "Generalized Jensen-Shannon Divergence Loss for Learning with Noisy
Labels", NeurIPS 2021: their loss of two distributions. The one of three or more, which
also asks for equal predictions on several views of an image, is not here.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.losses._per_class import inside, prepare


def jensen_shannon(
    logits: jax.Array, labels: jax.Array, *, label_weight: jax.Array | float = 0.5
) -> jax.Array:
    """`(w KL(y || m) + (1 - w) KL(p || m)) / Z` with `m = w y + (1 - w) p`.

    w is the weight of the label y (the paper's `pi_1`) and `Z = -(1 - w) log(1 - w)`.
    For class indices w -> 0 is the cross-entropy and w -> 1 half the mean absolute
    error, the latter as slowly as 1 / log(1 - w).

    Args:
      logits: (..., C) floats.
      labels: (...) integers in 0 … C-1, or (..., C) distributions.
      label_weight: w, a number in (0, 1), possibly traced.

    Returns:
      (...) losses in [0, 1 + w log(w) / ((1 - w) log(1 - w))]; NaN where an integer
      label is out of range.

    Raises:
      ValueError: `label_weight` outside (0, 1), or shapes that do not match.

    Example:
      >>> import jax.numpy as jnp
      >>> from robustjax import losses
      >>> logits = jnp.array([[9.0, -9.0], [0.0, 0.0], [-9.0, 9.0]])
      >>> values = losses.jensen_shannon(logits, jnp.array([0, 0, 0]))
      >>> [round(value, 2) for value in values.tolist()]
      [0.0, 0.62, 2.0]
    """
    checks.in_range("label_weight", label_weight, 0, 1, low_open=True, high_open=True)
    log_p, labels, hard = prepare(logits, labels)
    classes, dtype = log_p.shape[-1], log_p.dtype
    y = jax.nn.one_hot(labels, classes, dtype=dtype) if hard else labels.astype(dtype)
    # Of a number in float64: near 1 float32 has no logarithm of what is left.
    traced = checks.is_traced(label_weight)
    log, log1p = (jnp.log, jnp.log1p) if traced else (math.log, math.log1p)
    log_w, log_rest = log(label_weight), log1p(-label_weight)
    # log(m / y) and log(m / p), not differences from log(m): those would cancel where w
    # is close to 0 or 1. Where y is 0 the first is multiplied by it and must be finite.
    log_y = jnp.log(jnp.where(y == 0, 1, y))
    of_label = jnp.logaddexp(log_w, log_rest + log_p - log_y)
    of_prediction = jnp.logaddexp(
        jnp.where(y == 0, -jnp.inf, log_w + log_y - log_p), log_rest
    )
    total = label_weight * y * of_label + (1 - label_weight) * (
        jnp.exp(log_p) * of_prediction
    )
    values = jnp.sum(total, axis=-1) / ((1 - label_weight) * log_rest)
    # Not in y: there it would reach the gradient, also of rows that do not count.
    return jnp.where(inside(labels, classes), values, jnp.nan) if hard else values
