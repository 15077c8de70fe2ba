"""Bootstrapping: the given label mixed with the model's own prediction."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.losses._per_class import at_label, prepare, under_label


def bootstrap_ce(
    logits: jax.Array,
    labels: jax.Array,
    *,
    beta: jax.Array | float,
    hard: bool = False,
    stop_gradient: bool = False,
) -> jax.Array:
    """Cross-entropy under `beta y + (1 - beta) p` (Reed et al., ICLR 2015 workshop).

    The soft form mixes the label with the predicted distribution, the hard form with
    the predicted class. The soft form is `beta CE` plus `1 - beta` times the entropy
    of the prediction; beta = 1 is the cross-entropy.

    Args:
      logits: (..., C) floats.
      labels: (...) integers in 0 … C-1, or (..., C) distributions.
      beta: the weight of the label in [0, 1], possibly traced; published are 0.95 for
        the soft and 0.8 for the hard form.
      hard: whether the predicted class takes the place of the distribution.
      stop_gradient: whether the soft target counts as a constant; public code
        differentiates it. A predicted class has no gradient anyway.

    Returns:
      (...) losses in [0, inf); NaN where an integer label is out of range.

    Raises:
      ValueError: beta outside [0, 1], or shapes that do not match.
    """
    checks.in_range("beta", beta, 0, 1)
    log_p, labels, indices = prepare(logits, labels)
    given = -under_label(log_p, labels, indices)
    if hard:
        own = -at_label(log_p, jnp.argmax(log_p, axis=-1))
    else:
        target = jnp.exp(log_p)
        if stop_gradient:
            target = jax.lax.stop_gradient(target)
        own = -jnp.sum(target * log_p, axis=-1)
    return beta * given + (1 - beta) * own
