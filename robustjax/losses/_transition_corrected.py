"""Cross-entropies corrected by a known noise transition matrix.

Throughout, `T[i, j] = P(given = j | true = i)`: rows are true classes and sum to 1.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks
from robustjax.losses._per_class import inside, need_indices, prepare

# Beyond this condition number a float32 inverse holds no correct digit.
_LARGEST_CONDITION = 1 / float(np.finfo(np.float32).eps)


def _check_matrix(transition: jax.Array, num_classes: int | None) -> None:
    checks.rank("transition", transition, 2)
    checks.stochastic("transition", transition, num_classes)


def forward_corrected_ce(
    logits: jax.Array, labels: jax.Array, *, transition: jax.Array
) -> jax.Array:
    """Forward-corrected cross-entropy, `-log (T^T p)_y` (Patrini et al., CVPR 2017).

    With the true matrix, its expectation over noisy labels is smallest at the true
    posterior (the paper's Theorem 2).

    Args:
      logits: (..., C) floats, for the *true* class.
      labels: (...) integers in 0 … C-1, the given (noisy) classes.
      transition: (C, C), `T[i, j] = P(given = j | true = i)`; rows sum to 1.

    Returns:
      (...) losses in [0, inf); NaN where a label is out of range.

    Raises:
      ValueError: a matrix that is not stochastic, distribution labels, or shapes
        that do not match.
    """
    log_p, labels, hard = prepare(logits, labels)
    need_indices(hard)
    num_classes = log_p.shape[-1]
    _check_matrix(transition, num_classes)
    valid = inside(labels, num_classes)
    # A column of T per example, without a gather (see `at_label`). A column of zeros
    # has the logarithm -inf, whose gradient is NaN: keep it off invalid labels.
    safe = jnp.where(valid, labels, 0)
    one_hot = jax.nn.one_hot(safe, num_classes, dtype=log_p.dtype)
    matrix = jnp.asarray(transition, log_p.dtype)
    given = jnp.matmul(one_hot, matrix.T, precision="highest")
    return jnp.where(valid, -jax.nn.logsumexp(log_p, b=given, axis=-1), jnp.nan)


def inverse_transition(
    transition: jax.Array, num_classes: int | None = None
) -> jax.Array:
    """The inverse of a transition matrix, in float64 where its values are known.

    Args:
      transition: (C, C), rows sum to 1. A traced matrix is inverted as it is: if it
        is singular, the result holds infinities or NaN.
      num_classes: C, by default any.

    Returns:
      (C, C) floats; rows sum to 1, entries may be negative.

    Raises:
      ValueError: a matrix that is not stochastic, of another size, or singular to
        single precision.
    """
    _check_matrix(transition, num_classes)
    if checks.is_traced(transition):
        matrix = jnp.asarray(transition)
        wide = jnp.promote_types(matrix.dtype, jnp.float32)
        return jnp.linalg.inv(matrix.astype(wide))
    known = np.asarray(transition, np.float64)
    condition = np.linalg.cond(known)
    if not condition < _LARGEST_CONDITION:
        raise ValueError(
            f"transition: got a singular matrix (condition number {condition:.3g}), "
            f"expected an invertible one (below {_LARGEST_CONDITION:.3g})"
        )
    return jnp.asarray(np.linalg.inv(known))


def backward_corrected_ce(
    logits: jax.Array, labels: jax.Array, *, transition: jax.Array
) -> jax.Array:
    """Backward-corrected cross-entropy, `sum_j (T^-1)_yj (-log p_j)`.

    Unbiased: over the noise, its expectation is the cross-entropy under the true
    class, `sum_j T_ij backward(j) = -log p_i` (Patrini et al., CVPR 2017, Theorem 1).
    The inverse has negative entries, so single values can be negative and are not
    bounded below; their variance grows with the matrix's condition number.

    Args:
      logits: (..., C) floats, for the *true* class.
      labels: (...) integers in 0 … C-1, the given (noisy) classes, or (..., C)
        distributions over them (the loss is linear in the label).
      transition: (C, C), `T[i, j] = P(given = j | true = i)`; rows sum to 1. Inverted
        at every call where it is traced, once per compilation otherwise.

    Returns:
      (...) losses in (-inf, inf); NaN where an integer label is out of range.

    Raises:
      ValueError: a matrix that is not stochastic or not invertible, or shapes that
        do not match.
    """
    log_p, labels, hard = prepare(logits, labels)
    num_classes = log_p.shape[-1]
    inverse = inverse_transition(transition, num_classes).astype(log_p.dtype)
    given = labels.astype(log_p.dtype)
    if hard:
        given = jax.nn.one_hot(labels, num_classes, dtype=log_p.dtype)
    share = jnp.matmul(given, inverse, precision="highest")
    value = -jnp.sum(share * log_p, axis=-1)
    if not hard:
        return value
    return jnp.where(inside(labels, num_classes), value, jnp.nan)
