"""How much a prediction speaks against the given label. High means suspicious."""

from __future__ import annotations

import jax

from robustjax import arrays, losses
from robustjax.scores._uncertainty import entropy


def label_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Cross-entropy of the given label: CorrActive (Nallapati et al., 2009).

    Args:
      logits: (..., C) floats.
      labels: (...) integers in 0 … C-1.

    Returns:
      (...) values in [0, inf), in nats.
    """
    logits = arrays.logits("logits", logits)
    return losses.cross_entropy(logits, labels)


def loss_plus_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The "LossEnt" baseline of Kim (ECCV 2022), loss *plus* entropy.

    Args:
      logits: (..., C) floats.
      labels: (...) integers in 0 … C-1.

    Returns:
      (...) values in [0, inf), in nats.
    """
    return label_loss(logits, labels) + entropy(logits)


def loss_minus_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Active label cleaning (Bernhardt et al., 2022), loss *minus* entropy.

    Ambiguous examples go last, the opposite of `loss_plus_entropy`, which Kim
    (ECCV 2022) derives from the same paper.

    Args:
      logits: (..., C) floats.
      labels: (...) integers in 0 … C-1.

    Returns:
      (...) values in (-log C, inf), in nats.
    """
    return label_loss(logits, labels) - entropy(logits)
