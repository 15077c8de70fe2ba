"""Estimating a transition matrix from a classifier trained on noisy labels."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks


def anchor_transition(
    probabilities: jax.Array, *, percentile: float | None = 97.0
) -> jax.Array:
    """Rows from anchor points, examples that almost surely belong to a class.

    Row i is the predicted distribution of the example whose probability of class i
    is largest among those *below* the given percentile, which leaves outliers out
    (Patrini et al., CVPR 2017, section 4.1). The probabilities are not changed:
    public implementations zero the outliers in place, which leaks zeros into rows
    that are estimated later.

    Args:
      probabilities: (N, C) predictions of a classifier of the *given* labels.
      percentile: in (0, 100], by the next higher order statistic; None takes the
        plain maximum, as published for CIFAR-100.

    Returns:
      (C, C) float32, rows sum to 1; NaN where a traced probability is not finite.

    Raises:
      ValueError: a percentile outside its range, or numbers that are not finite or
        negative.
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
    if percentile is None:
        anchors = jnp.argmax(probabilities, axis=0)
    else:
        checks.in_range("percentile", percentile, 0, 100, low_open=True)
        threshold = jnp.percentile(probabilities, percentile, axis=0, method="higher")
        below = probabilities < jnp.expand_dims(threshold, 0)
        anchors = jnp.argmax(jnp.where(below, probabilities, 0.0), axis=0)
    rows = probabilities[anchors]
    rows = rows / jnp.sum(rows, axis=1, keepdims=True)
    return jnp.where(jnp.all(jnp.isfinite(probabilities)), rows, jnp.nan)


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
      labels: (N,) integers, right where `trusted`.
      trusted: (N,) bool.
      fallback: (C, C) matrix.

    Returns:
      (C, C) float32, rows sum to 1.
    """
    member, count = _members(labels, trusted, probabilities.shape[1])
    mean = member.T @ probabilities / jnp.maximum(count, 1.0)
    return _as_distributions(mean, count, fallback)


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
