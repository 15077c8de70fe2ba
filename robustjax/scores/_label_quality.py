"""How well predictions support the given labels. Low means suspicious.

The scores of cleanlab 2, by its names (Kuan and Mueller, "Model-agnostic label quality
scoring to detect real-world label errors", ICML DataPerf workshop 2022). The scores of
`label_disagreement` have the opposite direction and take logits.
"""

from __future__ import annotations

import functools
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks
from robustjax.scores._confident_learning import ABSENT_CLASS, thresholds_of
from robustjax.scores._given_labels import (
    best_other,
    check_given,
    check_probabilities,
    class_major_blocks,
    own_probability,
)

QualityMethod = Literal[
    "self_confidence", "normalized_margin", "confidence_weighted_entropy"
]
QUALITY_METHODS: tuple[QualityMethod, ...] = get_args(QualityMethod)
"""Values of `method` in `label_quality_scores`."""

_FLOOR = 1e-6


def label_quality_scores(
    labels: Any,
    pred_probs: Any,
    *,
    method: QualityMethod = "self_confidence",
    adjust_pred_probs: bool = False,
) -> Any:
    """Scores every label from 0 (likely wrong) to 1 (likely right).

    With p the probabilities of an example, y its label and H entropy divided by log C:

    - "self_confidence": `p_y`;
    - "normalized_margin": `(p_y - max_{k != y} p_k + 1) / 2`;
    - "confidence_weighted_entropy": `log(1 + r) / r` with `r = H(p) / max(p_y, 1e-6)`.
      Below r = 1e-6, where nearly all probability is on one class, the score is 1 if
      that is the label and 0 if not. (There cleanlab divides by 1e-6 instead, by which
      perfectly predicted labels get 0.)

    JAX arrays, traced ones too, are scored on their device, and `jax.jit`, `jax.vmap`
    and `jax.grad` apply. Anything else is scored with NumPy in the precision it has, in
    which ranks among the least trusted float64 rows are not lost to rounding.

    Args:
      labels: (N,) integers in 0 … C-1.
      pred_probs: (N, C) floats, out of sample; rows sum to 1.
      method: one of `QUALITY_METHODS`.
      adjust_pred_probs: whether to make classes comparable first: the mean
        probability of each class over the examples labeled so is subtracted, the
        largest of these added, and rows are divided by their sums. Not for entropy.

    Returns:
      (N,) floats in [0, 1]; a JAX array if an argument was one, else a NumPy array.

    Raises:
      ValueError: an unknown method, labels or probabilities that are none, lengths
        that differ, or adjusted entropy.

    Example:
      >>> import numpy as np
      >>> from robustjax import scores
      >>> probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.5, 0.5]])
      >>> scores.label_quality_scores([0, 1, 0], probabilities).round(2).tolist()
      [0.9, 0.1, 0.5]
    """
    checks.one_of("method", method, QUALITY_METHODS)
    if adjust_pred_probs and method == "confidence_weighted_entropy":
        raise ValueError(
            "adjust_pred_probs: got True, expected False with "
            "method='confidence_weighted_entropy'"
        )
    if isinstance(labels, jax.Array) or isinstance(pred_probs, jax.Array):
        checks.rank("labels", labels, 1)
        checks.rank("pred_probs", pred_probs, 2)
        checks.same_length(labels=labels, pred_probs=pred_probs)
        if not checks.is_traced((labels, pred_probs)):
            check_given(labels, pred_probs)
        if not isinstance(labels, jax.Array):
            # As int32, which must not wrap around.
            labels = checks.labels("labels", labels, np.shape(pred_probs)[1])
        if not isinstance(pred_probs, jax.Array):
            pred_probs = check_probabilities(pred_probs)
        return _on_device(
            jnp.asarray(labels),
            jnp.asarray(pred_probs),
            method=method,
            adjust=adjust_pred_probs,
        )
    given, probabilities = check_given(labels, pred_probs)
    return quality_of(given, probabilities, method, adjust_pred_probs)


def quality_of(
    labels: np.ndarray, probabilities: np.ndarray, method: str, adjust: bool = False
) -> np.ndarray:
    """As `label_quality_scores` on the host, of checked arrays."""
    own = own_probability(labels, probabilities)
    if adjust:
        bars = thresholds_of(labels, own, probabilities.shape[1])
        probabilities = probabilities + (bars.max() - bars).astype(own.dtype)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        own = own_probability(labels, probabilities)
    if method == "self_confidence":
        return own
    if method == "normalized_margin":
        return (own - best_other(labels, probabilities) + 1) / 2
    entropy = np.empty_like(own)
    for rows, block in class_major_blocks(probabilities):
        # Where p is 0, so is p log p.
        block *= np.log(np.where(block > 0, block, 1))
        np.sum(block, axis=0, out=entropy[rows])
    ratio = entropy / -np.log(probabilities.shape[1]) / np.maximum(own, _FLOOR)
    safe = np.maximum(ratio, _FLOOR)
    return np.where(ratio < _FLOOR, own > 0.5, np.log1p(safe) / safe).astype(own.dtype)


@functools.partial(jax.jit, static_argnames=("method", "adjust"))
def _on_device(
    labels: jax.Array, probabilities: jax.Array, method: str, adjust: bool
) -> jax.Array:
    """As `quality_of`, in JAX and at least in float32."""
    wide = jnp.promote_types(probabilities.dtype, jnp.float32)
    probabilities = probabilities.astype(wide)
    if adjust:
        probabilities = _adjusted(labels, probabilities)
    own = jnp.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    if method == "self_confidence":
        return own
    classes = probabilities.shape[1]
    if method == "normalized_margin":
        given = jnp.arange(classes)[None, :] == labels[:, None]
        other = jnp.max(jnp.where(given, -jnp.inf, probabilities), axis=1)
        return (own - other + 1) / 2
    # `where` twice: gradients go through the branch that is not taken.
    positive = jnp.where(probabilities > 0, probabilities, 1.0)
    entropy = -jnp.sum(positive * jnp.log(positive), axis=1) / np.log(classes)
    ratio = entropy / jnp.maximum(own, _FLOOR)
    safe = jnp.maximum(ratio, _FLOOR)
    limit = (own > 0.5).astype(wide)
    return jnp.where(ratio < _FLOOR, limit, jnp.log1p(safe) / safe)


def _adjusted(labels: jax.Array, probabilities: jax.Array) -> jax.Array:
    """Probabilities less the thresholds of their classes, as distributions again."""
    classes = probabilities.shape[1]
    given = labels[:, None] == jnp.arange(classes)[None, :]
    counts = jnp.sum(given, axis=0)
    sums = jnp.sum(jnp.where(given, probabilities, 0.0), axis=0)
    bars = jnp.where(counts > 0, sums / jnp.maximum(counts, 1), ABSENT_CLASS)
    shifted = probabilities + (jnp.max(bars) - bars)[None, :]
    return shifted / jnp.sum(shifted, axis=1, keepdims=True)
