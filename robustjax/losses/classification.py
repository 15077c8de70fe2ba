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

# The value that public implementations give to log(0) in the reverse cross-entropy:
# they clip the one-hot label at 1e-4.
LOG_ZERO = float(np.log(1e-4))


def _prepare(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array, bool]:
    """Returns (log probabilities, labels, whether the labels are class indices)."""
    logits = jnp.asarray(logits)
    labels = jnp.asarray(labels)
    hard = jnp.issubdtype(labels.dtype, jnp.integer)
    wanted = logits.shape[:-1] if hard else logits.shape
    if labels.shape != wanted:
        kind = "integer" if hard else "distribution"
        raise ValueError(
            f"labels: got shape {labels.shape}, expected {wanted} for {kind} labels "
            f"and logits of shape {logits.shape}"
        )
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    return jax.nn.log_softmax(logits), labels, hard


def _at_label(values: jax.Array, labels: jax.Array) -> jax.Array:
    """Picks `values[..., label]`; NaN for a label outside the classes.

    A masked sum, not a gather: its gradient needs no scatter, which is what makes
    a gather slow on CPU.
    """
    num_classes = values.shape[-1]
    chosen = jax.nn.one_hot(labels, num_classes, dtype=bool)
    picked = jnp.sum(jnp.where(chosen, values, 0), axis=-1)
    inside = (labels >= 0) & (labels < num_classes)
    return jnp.where(inside, picked, jnp.nan)


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Cross-entropy in nats, `-sum_k y_k log p_k`.

    Args:
      logits: (..., C) floats.
      labels: (...) integers in 0 … C-1, or (..., C) distributions.

    Returns:
      (...) losses in [0, inf); NaN where an integer label is out of range.
    """
    log_p, labels, hard = _prepare(logits, labels)
    if hard:
        return -_at_label(log_p, labels)
    # 0 * log 0 must be 0, also in the gradient.
    return -jnp.sum(jnp.where(labels == 0, 0, labels * log_p), axis=-1)


def mae(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean absolute error between distributions, `sum_k |y_k - p_k|`.

    For class indices this is `2 (1 - p_y)`; some repositories drop the 2
    (Ghosh et al., AAAI 2017, "Robust loss functions under label noise").

    Args:
      logits: (..., C) floats.
      labels: (...) integers in 0 … C-1, or (..., C) distributions.

    Returns:
      (...) losses in [0, 2].
    """
    log_p, labels, hard = _prepare(logits, labels)
    if hard:
        return -2 * jnp.expm1(_at_label(log_p, labels))
    return jnp.sum(jnp.abs(labels - jnp.exp(log_p)), axis=-1)


def _box_cox(log_p: jax.Array, q: jax.Array | float) -> jax.Array:
    """`(1 - p^q) / q` from log p, with its limit `-log p` at q = 0."""
    at_zero = jnp.asarray(q == 0)
    safe_q = jnp.where(at_zero, 1.0, q)
    return jnp.where(at_zero, -log_p, -jnp.expm1(safe_q * log_p) / safe_q)


def gce(
    logits: jax.Array, labels: jax.Array, *, q: jax.Array | float = 0.7
) -> jax.Array:
    """Generalised cross-entropy, `(1 - p_y^q) / q` (Zhang and Sabuncu, 2018, Eq. 6).

    q -> 0 is the cross-entropy and q = 1 is half the mean absolute error; the
    gradient is `p_y^q` times the gradient of the cross-entropy. For distributions
    the value is the expectation over the label.

    Args:
      logits: (..., C) floats.
      labels: (...) integers in 0 … C-1, or (..., C) distributions.
      q: a number in [0, 1], possibly traced.

    Returns:
      (...) losses in [0, 1/q].

    Raises:
      ValueError: q outside [0, 1], or shapes that do not match.
    """
    checks.in_range("q", q, 0, 1)
    log_p, labels, hard = _prepare(logits, labels)
    if hard:
        return _box_cox(_at_label(log_p, labels), q)
    return jnp.sum(labels * _box_cox(log_p, q), axis=-1)


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
    log_p, labels, hard = _prepare(logits, labels)
    if not hard:
        raise ValueError("labels: got distributions, expected integer class indices")
    at_label = _at_label(log_p, labels)
    log_k = jnp.log(jnp.asarray(k, at_label.dtype))
    # `p_y <= k` as a test leaves NaN (an out-of-range label) untouched.
    return jnp.where(at_label <= log_k, _box_cox(log_k, q), _box_cox(at_label, q))


def reverse_cross_entropy(
    logits: jax.Array, labels: jax.Array, *, log_zero: float = LOG_ZERO
) -> jax.Array:
    """Reverse cross-entropy, `-sum_k p_k log y_k` with `log 0 := log_zero`.

    For class indices this is `-log_zero (1 - p_y)` (Wang et al., ICCV 2019, Eq. 6).
    Public code clips the one-hot label at 1e-4, so that `log_zero` is -9.21.

    Args:
      logits: (..., C) floats.
      labels: (...) integers in 0 … C-1, or (..., C) distributions.
      log_zero: a negative number.

    Returns:
      (...) losses in [0, -log_zero].

    Raises:
      ValueError: `log_zero` that is not negative, or shapes that do not match.
    """
    checks.in_range("log_zero", log_zero, high=0, high_open=True)
    log_p, labels, hard = _prepare(logits, labels)
    if hard:
        return log_zero * jnp.expm1(_at_label(log_p, labels))
    floor = np.exp(log_zero)
    return -jnp.sum(jnp.exp(log_p) * jnp.log(jnp.maximum(labels, floor)), axis=-1)


def symmetric_ce(
    logits: jax.Array,
    labels: jax.Array,
    *,
    alpha: jax.Array | float = 0.1,
    beta: jax.Array | float = 1.0,
    log_zero: float = LOG_ZERO,
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


def forward_corrected_ce(
    logits: jax.Array, labels: jax.Array, *, transition: jax.Array
) -> jax.Array:
    """Forward-corrected cross-entropy, `-log (T^T p)_y` (Patrini et al., CVPR 2017).

    Args:
      logits: (..., C) floats, for the *true* class.
      labels: (...) integers in 0 … C-1, the given (noisy) classes.
      transition: (C, C), `T[i, j] = P(given = j | true = i)`; rows sum to 1.

    Returns:
      (...) losses in [0, inf).

    Raises:
      ValueError: a matrix that is not stochastic, distribution labels, or shapes
        that do not match.
    """
    log_p, labels, hard = _prepare(logits, labels)
    if not hard:
        raise ValueError("labels: got distributions, expected integer class indices")
    checks.stochastic("transition", transition, log_p.shape[-1])
    # A column of T per example, without a gather (see `_at_label`).
    one_hot = jax.nn.one_hot(labels, log_p.shape[-1], dtype=log_p.dtype)
    given = one_hot @ jnp.asarray(transition, log_p.dtype).T
    return -jax.nn.logsumexp(log_p, b=given, axis=-1)
