"""The best of what is available: maxima and top-k that are fast on every backend."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks
from robustjax.selection._greedy import check_budget

_GROUP = 64


def fast_argmax(values: jax.Array) -> jax.Array:
    """Index of the largest value, the first one among equals.

    In two levels: XLA's one-level argmax on CPU is several times slower than the
    maximum it contains.

    Args:
      values: (N,) floats without NaN.

    Returns:
      () int32.

    Raises:
      ValueError: another rank, no values, or NaN, unless traced.
    """
    checks.rank("values", values, 1)
    if np.shape(values)[0] == 0:
        raise ValueError("values: got none, expected at least one")
    if not isinstance(values, jax.Array):
        # In its own precision: float32 could make other values the largest.
        return jnp.int32(_without_nan("values", values).argmax())
    _refuse_nan("values", values)
    size = values.shape[0]
    if size <= 4 * _GROUP:
        return jnp.argmax(values).astype(jnp.int32)
    padded = jnp.pad(values, (0, -size % _GROUP), constant_values=-jnp.inf)
    groups = padded.reshape(-1, _GROUP)
    group = jnp.argmax(jnp.max(groups, axis=1))
    return (group * _GROUP + jnp.argmax(groups[group])).astype(jnp.int32)


def top_available(
    scores: jax.Array, available: jax.Array, count: int
) -> tuple[jax.Array, jax.Array]:
    """The `count` available examples with the largest scores, largest first.

    Args:
      scores: (N,) floats.
      available: (N,) bool.
      count: 1 … N.

    Returns:
      (count,) int32 indices, equal scores in order of index, and (count,) bool, False
      where fewer than `count` examples were available.

    Raises:
      ValueError: wrong ranks or lengths, a count out of range, availability that is
        neither 0 nor 1, or NaN, unless traced.
    """
    checks.rank("scores", scores, 1)
    checks.rank("available", available, 1)
    size = checks.same_length(scores=scores, available=available)
    check_budget(count, size)
    available = checks.truths("available", available)
    if not isinstance(scores, jax.Array):
        values = _without_nan("scores", scores)
        if not checks.is_traced(available):
            free = np.asarray(available)
            order = np.lexsort((-values.astype(np.float64), ~free))[:count]
            return jnp.asarray(order, jnp.int32), jnp.asarray(free[order])
        scores = arrays.float32("scores", values)
    else:
        _refuse_nan("scores", scores)
    available = jnp.asarray(available, bool)
    # Minus infinity is a score, too: such examples go before those not available.
    lowest = jnp.finfo(scores.dtype).min
    ranked = jnp.where(available, jnp.maximum(scores, lowest), -jnp.inf)
    indices = jax.lax.top_k(ranked, count)[1]
    return indices, available[indices]


def _refuse_nan(name: str, values: Any) -> None:
    """Raises `ValueError` for NaN, which JAX ranks first, unless traced."""
    if checks.is_traced(values):
        return
    missing = np.flatnonzero(np.isnan(np.asarray(values)))
    if missing.size:
        raise ValueError(
            f"{name}: {missing.size} are NaN (first: row {missing[0]}), expected none"
        )


def _without_nan(name: str, values: Any) -> np.ndarray:
    array = arrays.numbers(name, values, 1)
    _refuse_nan(name, array)
    return array
