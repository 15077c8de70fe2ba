"""Active passive losses: a normalised active loss plus a passive one.

A normalised loss divides a loss by its sum over all labels, `l(y) / sum_k l(k)`. Its
values for the C labels add up to 1, and any loss whose values add up to a constant
is robust to symmetric noise (Ma et al., ICML 2020, "Normalized loss functions for
deep learning with noisy labels"). *Active* losses only raise the labelled class's
probability; *passive* ones also lower the others explicitly.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.losses._classification import LOG_ZERO, mae, reverse_cross_entropy
from robustjax.losses._per_class import box_cox, prepare, under_label

ACTIVE = ("nce", "nfl", "ngce")
PASSIVE = ("rce", "mae")
DETACHED = ("both", "normaliser", "none")


def _normalized(
    values: jax.Array, below: jax.Array, labels: jax.Array, hard: bool
) -> jax.Array:
    """`values_y / sum_k below_k` from (..., C) values of one sign."""
    # The label is looked up last: the NaN of an invalid one, divided, would reach the
    # gradient of the sum although the example is masked out.
    return under_label(values / jnp.sum(below, axis=-1, keepdims=True), labels, hard)


def _modulating_factor(log_p: jax.Array, gamma: jax.Array | float) -> jax.Array:
    """`(1 - p)^gamma`, with the gradient 0 instead of infinity at p = 1."""
    rest = -jnp.expm1(log_p)
    certain = rest == 0
    power = jnp.where(certain, 1.0, rest) ** gamma
    return jnp.where(certain & jnp.asarray(gamma > 0), 0.0, power)


def nce(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Normalised cross-entropy, `log p_y / sum_k log p_k`.

    For distributions the value is the expectation over the label.

    Args:
      logits: (..., C) floats.
      labels: (...) integers in 0 … C-1, or (..., C) distributions.

    Returns:
      (...) losses in [0, 1]; NaN where an integer label is out of range.

    Raises:
      ValueError: shapes that do not match.
    """
    log_p, labels, hard = prepare(logits, labels)
    return _normalized(log_p, log_p, labels, hard)


rce = reverse_cross_entropy
"""The reverse cross-entropy under its name in the active passive losses."""


def ngce(
    logits: jax.Array, labels: jax.Array, *, q: jax.Array | float = 0.7
) -> jax.Array:
    """Normalised generalised cross-entropy, `(1 - p_y^q) / (C - sum_k p_k^q)`.

    q -> 0 is `nce`; at q = 1 it is `(1 - p_y) / (C - 1)`. The authors' configurations
    take q = 0.1 for CIFAR-10 and 0.7 for CIFAR-100. For distributions the value is
    the expectation over the label.

    Args:
      logits: (..., C) floats.
      labels: (...) integers in 0 … C-1, or (..., C) distributions.
      q: a number in [0, 1], possibly traced.

    Returns:
      (...) losses in [0, 1]; NaN where an integer label is out of range.

    Raises:
      ValueError: q outside [0, 1], or shapes that do not match.
    """
    checks.in_range("q", q, 0, 1)
    log_p, labels, hard = prepare(logits, labels)
    values = box_cox(log_p, q)
    return _normalized(values, values, labels, hard)


def focal(
    logits: jax.Array,
    labels: jax.Array,
    *,
    gamma: jax.Array | float = 2.0,
    stop_gradient: bool = False,
) -> jax.Array:
    """Focal loss, `-(1 - p_y)^gamma log p_y` (Lin et al., ICCV 2017, Eq. 4).

    gamma = 0 is the cross-entropy. For distributions the value is the expectation
    over the label.

    Args:
      logits: (..., C) floats.
      labels: (...) integers in 0 … C-1, or (..., C) distributions.
      gamma: >= 0, possibly traced. The default is the paper's; the active passive
        losses take 0.5.
      stop_gradient: whether the factor `(1 - p_y)^gamma` counts as a constant, as in
        the code of the active passive losses; the paper differentiates it.

    Returns:
      (...) losses in [0, inf); NaN where an integer label is out of range.

    Raises:
      ValueError: a negative gamma, or shapes that do not match.
    """
    checks.in_range("gamma", gamma, 0)
    log_p, labels, hard = prepare(logits, labels)
    factor = _modulating_factor(log_p, gamma)
    if stop_gradient:
        factor = jax.lax.stop_gradient(factor)
    return -under_label(factor * log_p, labels, hard)


def nfl(
    logits: jax.Array,
    labels: jax.Array,
    *,
    gamma: jax.Array | float = 0.5,
    detached: str = "both",
) -> jax.Array:
    """Normalised focal loss, `focal(y) / sum_k focal(k)`.

    The authors' code treats the modulating factors `(1 - p_k)^gamma` as constants, in
    the normaliser and in the numerator. The value does not show it, the gradient
    does; `detached` chooses. gamma = 0 is `nce`. For distributions the value is the
    expectation over the label.

    Args:
      logits: (..., C) floats.
      labels: (...) integers in 0 … C-1, or (..., C) distributions.
      gamma: >= 0, possibly traced; published with 0.5.
      detached: where the modulating factors are constants: "both" (the authors'
        code), "normaliser" only, or "none" (the gradient of the printed formula).

    Returns:
      (...) losses in [0, 1]; NaN where an integer label is out of range.

    Raises:
      ValueError: a negative gamma, an unknown `detached`, or shapes that do not match.
    """
    checks.in_range("gamma", gamma, 0)
    checks.one_of("detached", detached, DETACHED)
    log_p, labels, hard = prepare(logits, labels)
    factor = _modulating_factor(log_p, gamma)
    constant = jax.lax.stop_gradient(factor)
    above = constant if detached == "both" else factor
    below = factor if detached == "none" else constant
    return _normalized(above * log_p, below * log_p, labels, hard)


def active_passive(
    logits: jax.Array,
    labels: jax.Array,
    *,
    active: str = "nce",
    passive: str = "rce",
    alpha: jax.Array | float = 1.0,
    beta: jax.Array | float = 1.0,
    gamma: jax.Array | float = 0.5,
    q: jax.Array | float = 0.7,
    log_zero: jax.Array | float = LOG_ZERO,
) -> jax.Array:
    """Active passive loss, `alpha active + beta passive` (Ma et al., ICML 2020).

    Published weights (alpha, beta): (1, 1) for CIFAR-10; for CIFAR-100 (10, 0.1) with
    "rce" and (10, 1) with "mae"; (50, 0.1) for mini-WebVision with "nce" and "rce".
    They belong to the authors' code, whose mean absolute error is `1 - p_y`: half of
    `mae`. So the passive term "mae" is *half* of `losses.mae` here, and published
    weights mean the same as published.

    Args:
      logits: (..., C) floats.
      labels: (...) integers in 0 … C-1, or (..., C) distributions.
      active: "nce", "nfl" or "ngce".
      passive: "rce" or "mae".
      alpha: the weight of the active loss, >= 0.
      beta: the weight of the passive loss, >= 0.
      gamma: see `nfl`; of no effect with another active loss.
      q: see `ngce`; of no effect with another active loss. The authors'
        configurations take 0.1 for CIFAR-10 and 0.7 for CIFAR-100.
      log_zero: see `reverse_cross_entropy`; of no effect with "mae".

    Returns:
      (...) losses in [0, alpha - beta log_zero], or [0, alpha + beta] with "mae".

    Raises:
      ValueError: an unknown name, a parameter out of its range, or shapes that do
        not match.
    """
    checks.one_of("active", active, ACTIVE)
    checks.one_of("passive", passive, PASSIVE)
    checks.in_range("alpha", alpha, 0)
    checks.in_range("beta", beta, 0)
    if active == "nce":
        raising = nce(logits, labels)
    elif active == "nfl":
        raising = nfl(logits, labels, gamma=gamma)
    else:
        raising = ngce(logits, labels, q=q)
    if passive == "rce":
        lowering = rce(logits, labels, log_zero=log_zero)
    else:
        lowering = mae(logits, labels) / 2
    return alpha * raising + beta * lowering
