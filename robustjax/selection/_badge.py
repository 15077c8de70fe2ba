"""BADGE: k-means++ seeds among the gradients of the last layer.

Ash, Zhang, Krishnamurthy, Langford, Agarwal, "Deep Batch Active Learning by Diverse,
Uncertain Gradient Lower Bounds" (ICLR 2020).
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks, conditioning
from robustjax.selection._greedy import (
    Selection,
    check_budget,
    check_features,
    selection,
)
from robustjax.selection._top import fast_argmax

# Weights are summed group by group: a running sum over all would lose small ones.
_GROUP = 256


def probability_residuals(logits: jax.Array) -> jax.Array:
    """Probabilities minus the one-hot predicted class, `p - e_argmax(p)`.

    The outer product with the features is the gradient of the cross-entropy under
    the predicted label, with respect to the last layer's weights.

    Args:
      logits: (..., C) floats.

    Returns:
      (..., C) float32; every row sums to 0.
    """
    logits = arrays.logits("logits", logits)
    p = jax.nn.softmax(logits)
    top = jax.nn.one_hot(jnp.argmax(logits, axis=-1), logits.shape[-1], dtype=bool)
    # 1 - p_max from the others: exact also where p_max is rounded to 1.
    rest = jnp.sum(jnp.where(top, 0.0, p), axis=-1, keepdims=True)
    return jnp.where(top, -rest, p)


def draw_by_weight(uniform: jax.Array, weights: jax.Array) -> jax.Array:
    """The first index whose running sum of weights exceeds `uniform` times the total.

    Args:
      uniform: () float in [0, 1).
      weights: (N,) floats >= 0.

    Returns:
      () int32. Its weight is positive if any is.
    """
    size = weights.shape[0]
    groups = jnp.pad(weights, (0, -size % _GROUP)).reshape(-1, _GROUP)
    sums = jnp.sum(groups, axis=1)
    group, left = _first_above(uniform * jnp.sum(sums), sums)
    within, _ = _first_above(left, groups[group])
    return jnp.minimum(group * _GROUP + within, size - 1).astype(jnp.int32)


def _first_above(target: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Index at which the running sum passes the target, and what is left there."""
    running = jnp.cumsum(weights)
    positive = weights > 0
    above = (running > target) & positive
    # Rounding may put the target at or above the whole sum.
    last = weights.shape[0] - 1 - jnp.argmax(positive[::-1])
    index = jnp.where(jnp.any(above), jnp.argmax(above), last)
    return index, target - (running[index] - weights[index])


@functools.partial(jax.jit, static_argnames=("budget",))
def _pick(
    uniforms: jax.Array, residuals: jax.Array, features: jax.Array, *, budget: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    size = residuals.shape[0]
    square = jnp.sum(residuals**2, axis=1) * jnp.sum(features**2, axis=1)

    def product(rows: jax.Array, picked: jax.Array) -> jax.Array:
        return jnp.matmul(rows, rows[picked], precision=jax.lax.Precision.HIGHEST)

    def absorb(
        nearest: jax.Array, taken: jax.Array, picked: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        dot = product(residuals, picked) * product(features, picked)
        distance = jnp.maximum(square + square[picked] - 2 * dot, 0.0)
        taken = taken.at[picked].set(True)
        return jnp.where(taken, 0.0, jnp.minimum(nearest, distance)), taken

    def step(
        carry: tuple[jax.Array, jax.Array], uniform: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
        nearest, taken = carry
        flat = ~jnp.any(nearest > 0)
        weights = jnp.where(flat, jnp.where(taken, 0.0, 1.0), nearest)
        picked = draw_by_weight(uniform, weights)
        return absorb(nearest, taken, picked), (picked, nearest[picked])

    first = fast_argmax(square)
    start = absorb(jnp.full(size, jnp.inf), jnp.zeros(size, bool), first)
    (nearest, _), (rest, gains) = jax.lax.scan(step, start, uniforms, length=budget - 1)
    picks = jnp.concatenate([first[None], rest])
    gains = jnp.sqrt(jnp.concatenate([square[first][None], gains]))
    return picks, gains, jnp.sum(nearest)


def badge_from_draws(uniforms: Any, logits: Any, features: Any) -> Selection:
    """`badge` with given draws.

    Args:
      uniforms: (budget - 1,) floats in [0, 1).
      logits: (N, C) finite floats, C >= 2.
      features: (N, d) finite floats, inputs of the layer that made the logits.

    Returns:
      `Selection`, see `badge`.

    Raises:
      ValueError: see `badge`; draws out of range.
    """
    draws = arrays.numbers("uniforms", uniforms, 1)
    checks.in_range("uniforms", draws, 0, 1, high_open=True)
    logits = check_features("logits", logits)
    features = check_features("features", features)
    size = checks.same_length(logits=logits, features=features)
    if logits.shape[1] < 2:
        raise ValueError(
            f"logits: got shape {logits.shape}, expected at least two classes"
        )
    budget = len(draws) + 1
    check_budget(budget, size)
    # Chances of being drawn do not depend on a common scale of the features.
    rows, scale = conditioning.scaled("features", features)
    picks, gains, objective = _pick(
        # A draw that is rounded to 1 is still one of the last example.
        jnp.asarray(draws, jnp.float32),
        probability_residuals(logits),
        rows,
        budget=budget,
    )
    gains = (np.asarray(gains) * scale).astype(np.float32)
    return selection(picks, gains, float(objective) * scale**2, size)


def badge(key: jax.Array, logits: Any, features: Any, budget: int) -> Selection:
    """Diverse and uncertain examples: k-means++ seeds of gradient embeddings.

    The embedding of an example is the outer product of `probability_residuals` and
    its features: long where the classifier is uncertain. The first pick is the
    longest one; every further one is drawn with a probability proportional to the
    squared distance to its nearest pick. A pick is not drawn again: its weight is 0,
    which is the same as drawing until another comes. Where all weights are 0 (all
    others equal some pick) the draw is uniform.

    Embeddings of C d numbers are never formed: of outer products a h^T, the squared
    distance is `|a|^2 |h|^2 + |a'|^2 |h'|^2 - 2 (a.a') (h.h')`. Memory beside the
    inputs is a few numbers per example, a pick costs N (C + d) multiplications.
    Distances are float32, so of embeddings that agree to about three digits only the
    order of magnitude of the distance is right.
    A draw within rounding of the boundary of two examples may give either.

    Args:
      key: of the draws.
      logits: (N, C) finite floats, C >= 2, of the unlabelled pool.
      features: (N, d) finite floats, inputs of the layer that made the logits.
      budget: 1 … N.

    Returns:
      `Selection`: the gains are the distances to the nearest pick before (for the
      first, the length of its embedding); the objective is the sum over all examples
      of squared distances to the nearest pick.

    Raises:
      ValueError: wrong ranks or lengths, NaN or infinity, one class only, or a budget
        out of range.

    Example:
      >>> import jax
      >>> import numpy as np
      >>> from robustjax import selection
      >>> rng = np.random.default_rng(0)
      >>> logits, features = rng.normal(size=(50, 3)), rng.normal(size=(50, 8))
      >>> picked = selection.badge(jax.random.key(0), logits, features, 5)
      >>> len(set(picked.indices.tolist()))
      5
    """
    logits = arrays.numbers("logits", logits, 2)
    check_budget(budget, len(logits))
    uniforms = jax.random.uniform(key, (budget - 1,))
    return badge_from_draws(uniforms, logits, features)
