"""Stateless per-example classification losses.

All take `(logits, labels, *, hyperparameters)` and return one value per example,
with any leading batch shape. Labels are class indices (integers, one rank below
the logits) or distributions over classes (floats, the logits' shape). Arithmetic is
in float32 or better whatever the dtype of the logits, and is expressed in log
probabilities, so that no clipping of probabilities is needed.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks
from robustjax.losses._per_class import (
    at_label,
    box_cox,
    need_indices,
    prepare,
    under_label,
)

LOG_ZERO = float(np.log(1e-4))
"""What public implementations take for log(0) in the reverse cross-entropy: they clip
the one-hot label at 1e-4."""


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Cross-entropy in nats, `-sum_k y_k log p_k`.

    Args:
      logits: (..., C) floats.
      labels: (...) integers in 0 … C-1, or (..., C) distributions.

    Returns:
      (...) losses in [0, inf); NaN where an integer label is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> from robustjax import losses
      >>> values = losses.cross_entropy(jnp.zeros((2, 4)), jnp.array([0, 3]))
      >>> [round(value, 3) for value in values.tolist()]  # log(4)
      [1.386, 1.386]
    """
    log_p, labels, hard = prepare(logits, labels)
    return -under_label(log_p, labels, hard)


def mae(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean absolute error between distributions, `sum_k |y_k - p_k|`.

    For class indices this is `2 (1 - p_y)` (Ghosh et al., AAAI 2017, "Robust loss
    functions under label noise"). Some repositories drop the 2, among them that of
    the active passive losses: `active_passive` takes half of this loss, too.

    Args:
      logits: (..., C) floats.
      labels: (...) integers in 0 … C-1, or (..., C) distributions.

    Returns:
      (...) losses in [0, 2].
    """
    log_p, labels, hard = prepare(logits, labels)
    if hard:
        return -2 * jnp.expm1(at_label(log_p, labels))
    return jnp.sum(jnp.abs(labels - jnp.exp(log_p)), axis=-1)


def gce(
    logits: jax.Array, labels: jax.Array, *, q: jax.Array | float = 0.7
) -> jax.Array:
    """Generalised cross-entropy, `(1 - p_y^q) / q` (Zhang and Sabuncu, 2018, Eq. 6).

    q -> 0 is the cross-entropy and q = 1 is half the mean absolute error; the
    gradient is `p_y^q` times the gradient of the cross-entropy. For distributions
    the value is the expectation over the label.

    `gce_weighted_ce` is the form that repositories on dataset bias call GCE: another
    value, and `q` times this gradient.

    Args:
      logits: (..., C) floats.
      labels: (...) integers in 0 … C-1, or (..., C) distributions.
      q: a number in [0, 1], possibly traced.

    Returns:
      (...) losses in [0, 1/q].

    Raises:
      ValueError: q outside [0, 1], or shapes that do not match.

    Example:
      >>> import jax.numpy as jnp
      >>> from robustjax import losses
      >>> logits = jnp.array([[2.0, 0.0], [0.0, 2.0]])
      >>> values = losses.gce(logits, jnp.array([0, 0]), q=0.7)
      >>> [round(value, 3) for value in values.tolist()]
      [0.121, 1.106]
    """
    checks.in_range("q", q, 0, 1)
    log_p, labels, hard = prepare(logits, labels)
    if hard:
        return box_cox(at_label(log_p, labels), q)
    return jnp.sum(labels * box_cox(log_p, q), axis=-1)


def gce_weighted_ce(
    logits: jax.Array, labels: jax.Array, *, q: jax.Array | float = 0.7
) -> jax.Array:
    """Cross-entropy weighted by a constant, `q stop_gradient(p_y^q) (-log p_y)`.

    This is what the code of LfF (Nam et al., NeurIPS 2020) and DFA (Lee et al.,
    NeurIPS 2021) calls the generalised cross-entropy. It differs from `gce` twice:
    the gradient is `q` times that of `gce` (no matter under Adam, a learning rate of
    0.7 times the nominal one under SGD), and the value is no objective that this
    gradient descends: it is largest, 1/e, at `p_y = exp(-1/q)`, and falls on both
    sides, so do not read progress off it. For distributions the value is the
    expectation over the label.

    Args:
      logits: (..., C) floats.
      labels: (...) integers in 0 … C-1, or (..., C) distributions.
      q: a number in (0, 1], possibly traced.

    Returns:
      (...) losses in [0, 1/e].

    Raises:
      ValueError: q outside (0, 1], or shapes that do not match.
    """
    checks.in_range("q", q, 0, 1, low_open=True)
    log_p, labels, hard = prepare(logits, labels)
    weight = q * jax.lax.stop_gradient(jnp.exp(q * log_p))
    return -under_label(weight * log_p, labels, hard)


def truncated_gce(
    logits: jax.Array,
    labels: jax.Array,
    *,
    q: jax.Array | float = 0.7,
    k: jax.Array | float = 0.5,
) -> jax.Array:
    """Truncated generalised cross-entropy (Zhang and Sabuncu, 2018, Eq. 8).

    Equals `gce` where `p_y > k` and the constant `(1 - k^q) / q`, with no gradient,
    where `p_y <= k`. This is the stateless form, which decides at every step; the
    loss transform of the same name decides once per epoch, as published.

    Args:
      logits: (..., C) floats.
      labels: (...) integers in 0 … C-1.
      q: a number in [0, 1].
      k: the probability below which an example is ignored, in (0, 1).

    Returns:
      (...) losses in [0, (1 - k^q)/q].

    Raises:
      ValueError: q or k outside their range, distribution labels, or shapes that
        do not match.
    """
    checks.in_range("q", q, 0, 1)
    checks.in_range("k", k, 0, 1, low_open=True, high_open=True)
    log_p, labels, hard = prepare(logits, labels)
    need_indices(hard)
    log_p_y = at_label(log_p, labels)
    log_k = jnp.log(jnp.asarray(k, log_p_y.dtype))
    # `p_y <= k` as a test leaves NaN (an out-of-range label) untouched.
    return jnp.where(log_p_y <= log_k, box_cox(log_k, q), box_cox(log_p_y, q))


def reverse_cross_entropy(
    logits: jax.Array, labels: jax.Array, *, log_zero: jax.Array | float = LOG_ZERO
) -> jax.Array:
    """Reverse cross-entropy, `-sum_k p_k log y_k` with `log 0 := log_zero`.

    For class indices this is `-log_zero (1 - p_y)` (Wang et al., ICCV 2019, Eq. 6).
    Public code clips the one-hot label at 1e-4, so that `log_zero` is -9.21.

    Args:
      logits: (..., C) floats.
      labels: (...) integers in 0 … C-1, or (..., C) distributions.
      log_zero: a negative number, possibly traced.

    Returns:
      (...) losses in [0, -log_zero].

    Raises:
      ValueError: `log_zero` that is not negative, or shapes that do not match.
    """
    checks.in_range("log_zero", log_zero, high=0, high_open=True)
    log_p, labels, hard = prepare(logits, labels)
    if hard:
        return log_zero * jnp.expm1(at_label(log_p, labels))
    floor = jnp.exp(jnp.asarray(log_zero, log_p.dtype))
    return -jnp.sum(jnp.exp(log_p) * jnp.log(jnp.maximum(labels, floor)), axis=-1)


def symmetric_ce(
    logits: jax.Array,
    labels: jax.Array,
    *,
    alpha: jax.Array | float = 0.1,
    beta: jax.Array | float = 1.0,
    log_zero: jax.Array | float = LOG_ZERO,
) -> jax.Array:
    """Symmetric cross-entropy, `alpha CE + beta RCE` (Wang et al., ICCV 2019, Eq. 7).

    Published settings: (0.1, 1) for CIFAR-10, (6, 0.1) for CIFAR-100.

    Args:
      logits: (..., C) floats.
      labels: (...) integers in 0 … C-1, or (..., C) distributions.
      alpha: the weight of the cross-entropy, >= 0.
      beta: the weight of the reverse cross-entropy, >= 0.
      log_zero: see `reverse_cross_entropy`.

    Returns:
      (...) losses in [0, inf).

    Raises:
      ValueError: a negative weight, or shapes that do not match.
    """
    checks.in_range("alpha", alpha, 0)
    checks.in_range("beta", beta, 0)
    reverse = reverse_cross_entropy(logits, labels, log_zero=log_zero)
    return alpha * cross_entropy(logits, labels) + beta * reverse
