"""Estimating a transition matrix from a classifier trained on noisy labels."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks

# Shares in half precision sum to 1 within less than this.
_SUM_TOLERANCE = 1e-2


def anchor_transition(
    probabilities: jax.Array, *, percentile: float | None = 97.0
) -> jax.Array:
    """Rows from anchor points, examples that almost surely belong to a class.

    Row i is the predicted distribution of the example whose probability of class i
    is largest among those *below* the given percentile, which leaves outliers out
    (Patrini et al., CVPR 2017, section 4.1). Where none of those has any probability
    of the class, as of one that is much rarer than the share that is left out, it is
    the largest of all, and where nobody has, the row is that of the identity. The
    probabilities are not changed: public implementations zero the outliers in place,
    which leaks zeros into rows that are estimated later.

    Args:
      probabilities: (N, C) predictions of a classifier of the *given* labels.
      percentile: in (0, 100], by the next higher order statistic; None takes the
        plain maximum, as published for CIFAR-100.

    Returns:
      (C, C) float32, rows sum to 1; NaN where a traced probability is not finite.

    Raises:
      ValueError: a percentile outside its range, or numbers that are not finite,
        negative, or do not sum to 1 in a row (of zeros, it is padding).
    """
    probabilities = arrays.float32("probabilities", probabilities, 2)
    if not checks.is_traced(probabilities):
        checks.finite("probabilities", np.asarray(probabilities))
        lowest = float(jnp.min(probabilities))
        if lowest < 0:
            raise ValueError(
                f"probabilities: got {lowest:g}, expected none below 0; are these "
                "logits?"
            )
        _check_sums(np.asarray(probabilities))
    anchors = jnp.argmax(probabilities, axis=0)
    if percentile is not None:
        checks.in_range("percentile", percentile, 0, 100, low_open=True)
        threshold = jnp.percentile(probabilities, percentile, axis=0, method="higher")
        below = probabilities < jnp.expand_dims(threshold, 0)
        kept = jnp.where(below, probabilities, 0.0)
        inner = jnp.argmax(kept, axis=0)
        anchors = jnp.where(jnp.max(kept, axis=0) > 0, inner, anchors)
    rows = probabilities[anchors]
    rows = rows / jnp.sum(rows, axis=1, keepdims=True)
    somebody = jnp.max(probabilities, axis=0) > 0
    rows = jnp.where(somebody[:, None], rows, jnp.eye(len(rows), dtype=rows.dtype))
    return jnp.where(jnp.all(jnp.isfinite(probabilities)), rows, jnp.nan)


def _check_sums(probabilities: np.ndarray) -> None:
    """Raises `ValueError` for rows of something else than shares, or of zeros."""
    sums = probabilities.sum(axis=1)
    wrong = np.flatnonzero((np.abs(sums - 1) > _SUM_TOLERANCE) & (sums != 0))
    if wrong.size:
        raise ValueError(
            f"probabilities: row {wrong[0]} sums to {sums[wrong[0]]:g}, expected 1"
        )


def trusted_transition(
    probabilities: jax.Array,
    labels: jax.Array,
    trusted: jax.Array,
    fallback: jax.Array,
) -> jax.Array:
    """Rows averaged over examples whose true class is known.

    Row i is the mean prediction over trusted examples of class i; a class without
    any keeps its fallback row (Li et al., "Dual active label correction", 2022).

    Args:
      probabilities: (N, C) predictions of a classifier of the *given* labels.
      labels: (N,) integers, right where `trusted`; what they are elsewhere does not
        matter.
      trusted: (N,) bool.
      fallback: (C, C) matrix, rows sum to 1.

    Returns:
      (C, C) float32, rows sum to 1.

    Raises:
      ValueError: lengths that differ, labels of trusted examples that are no classes,
        `trusted` that is not bool, or a fallback that is no such matrix.
    """
    probabilities = arrays.float32("probabilities", probabilities, 2)
    checks.same_length(probabilities=probabilities, labels=labels, trusted=trusted)
    classes = probabilities.shape[1]
    checks.truth("trusted", trusted)
    checks.stochastic("fallback", fallback, classes)
    if not checks.is_traced((labels, trusted)):
        known = arrays.numbers("labels", labels, 1)[np.asarray(trusted)]
        if known.size:
            checks.labels("labels", known, classes)
    labels = jnp.asarray(labels, jnp.int32)
    member, count = _members(labels, jnp.asarray(trusted), classes)
    mean = member.T @ probabilities / jnp.maximum(count, 1.0)
    return _as_distributions(mean, count, jnp.asarray(fallback))


# Not all in one program: it would round the product's rows otherwise.
@functools.partial(jax.jit, static_argnums=2)
def _members(
    labels: jax.Array, trusted: jax.Array, num_classes: int
) -> tuple[jax.Array, jax.Array]:
    """(N, C) who is trusted to be of which class, and (C, 1) how many are."""
    member = jax.nn.one_hot(labels, num_classes) * trusted[:, None]
    return member, jnp.sum(member, axis=0)[:, None]


@jax.jit
def _as_distributions(
    mean: jax.Array, count: jax.Array, fallback: jax.Array
) -> jax.Array:
    """Rows that sum to 1, or the fallback's where there is nobody."""
    mean = mean / jnp.maximum(jnp.sum(mean, axis=1, keepdims=True), 1e-12)
    return jnp.where(count > 0, mean, fallback)
