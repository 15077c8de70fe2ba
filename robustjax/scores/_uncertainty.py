"""Uncertainty of a prediction, from logits. High means uncertain."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays


def _log_probabilities(logits: jax.Array) -> jax.Array:
    logits = arrays.logits("logits", logits)
    if logits.shape[-1:] in ((), (0,)):
        raise ValueError(
            f"logits: got shape {logits.shape}, expected (…, C) with at least one class"
        )
    return jax.nn.log_softmax(logits)


def entropy(logits: jax.Array) -> jax.Array:
    """Entropy of the predicted class distribution in nats.

    Args:
      logits: (..., C) floats.

    Returns:
      (...) values in [0, log C].

    Example:
      >>> import jax.numpy as jnp
      >>> from robustjax import scores
      >>> values = scores.entropy(jnp.array([[0.0, 0.0], [9.0, 0.0]]))
      >>> [round(value, 3) for value in values.tolist()]
      [0.693, 0.001]
    """
    log_p = _log_probabilities(logits)
    p = jnp.exp(log_p)
    # Not `p > 0`: the entropy of NaN is not 0.
    return -jnp.sum(jnp.where(p == 0, 0.0, p * log_p), axis=-1)


def least_confidence(logits: jax.Array) -> jax.Array:
    """One minus the largest class probability, in [0, 1 - 1/C].

    Args:
      logits: (..., C) floats.
    """
    return -jnp.expm1(jnp.max(_log_probabilities(logits), axis=-1))


def low_max_logit(logits: jax.Array) -> jax.Array:
    """Minus the largest logit, without a softmax.

    The authors of MQNet (Park et al., NeurIPS 2022) rank by it where the paper says
    least confidence. It depends on the common level of the logits, to which
    probabilities are blind.

    Args:
      logits: (..., C) floats.

    Returns:
      (...) values, unbounded.
    """
    if isinstance(logits, jax.Array):
        wide = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
        return -jnp.max(wide, axis=-1)
    largest = np.max(arrays.numbers("logits", logits), axis=-1)
    return -arrays.float32("logits", largest)


def margin_uncertainty(logits: jax.Array) -> jax.Array:
    """One minus the gap between the two largest class probabilities, in [0, 1].

    Args:
      logits: (..., C) floats, C >= 2.
    """
    log_p = _log_probabilities(logits)
    if log_p.shape[-1] < 2:
        raise ValueError(
            f"logits: got shape {log_p.shape}, expected at least two classes"
        )
    top = jax.lax.top_k(jnp.exp(log_p), 2)[0]
    return 1 - (top[..., 0] - top[..., 1])
