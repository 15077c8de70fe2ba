"""Diversity by log-determinants, like one set and unlike another (LogDetCMI).

SIMILAR (Kothawade, Beck, Killamsetty, Iyer, NeurIPS 2021), with
`f(A) = log det(S_A + lambda I)` and

    I(A; Q | P) = f(A u P) + f(Q u P) - f(A u Q u P) - f(P).

The gain of one more example is the difference of two logarithms of conditional
variances of a Gaussian process with kernel S and noise lambda: given A and P, and given
A, P and Q. With S = Z Z' both are kept for all N examples by vectors of the length of a
row of Z: no matrix over Q, P or the pool exists.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from robustjax import arrays, checks, conditioning
from robustjax.selection._equal_rows import first_equal_rows
from robustjax.selection._greedy import (
    Progress,
    Selection,
    check_budget,
    check_features,
    selection,
)
from robustjax.selection._top import fast_argmax

_EXACT = jax.lax.Precision.HIGHEST
_MOST_NOISE = 1e4


class _Process(NamedTuple):
    """Conditional variances given a growing set.

    Attributes:
      inverse: (D, D) of `I + Z_0' Z_0 / lambda`, Z_0 being given at the start.
      steps: (budget, D), one vector per pick.
      variance: (N,) with the noise.
    """

    inverse: jax.Array
    steps: jax.Array
    variance: jax.Array


class _State(NamedTuple):
    processes: tuple[_Process, _Process]
    taken: jax.Array
    picks: jax.Array
    gains: jax.Array
    made: jax.Array


def _features(name: str, features: Any, width: int | None = None) -> np.ndarray:
    """Z with `z_i . z_j = (1 + cos) / 2`, (M, d + 1) float32, checked."""
    points = check_features(name, features, nonzero=True)
    if len(points) == 0:
        # Like nothing at all is all alike: every gain would be zero.
        raise ValueError(f"{name}: got no rows, expected at least one")
    if width is not None and points.shape[1] != width:
        raise ValueError(
            f"{name}: got rows of width {points.shape[1]}, expected that of the "
            f"pool, {width}"
        )
    rows = np.ones((len(points), points.shape[1] + 1), np.float32)
    for here in arrays.blocks(*points.shape):
        rows[here, 1:] = conditioning.unit_rows(points[here])
    return rows * np.float32(0.5**0.5)


def _process(
    z: jax.Array, first: jax.Array, given: list[np.ndarray], noise: float, b: int
) -> _Process:
    """The process given some sets, before the first of b picks."""
    width = z.shape[1]
    matrix = np.eye(width)
    for rows in given:
        rows = rows.astype(np.float64)
        matrix += rows.T @ rows / noise
    inverse = scipy.linalg.inv(matrix).astype(np.float32)
    projected = jnp.matmul(z, inverse, precision=_EXACT)
    variance = noise + jnp.sum(projected * z, axis=1)
    return _Process(jnp.asarray(inverse), jnp.zeros((b, width)), variance[first])


def _observe(
    process: _Process, z: jax.Array, first: jax.Array, pick: jax.Array, at: jax.Array
) -> Any:
    """The process given one more example, as the `at`-th step.

    Args:
      process: so far.
      z: (N, D) of the pool.
      first: (N,) int32, of `first_equal_rows`: copies keep the same variance.
      pick: of the example.
      at: number of the step.
    """
    inverse, steps, variance = process
    row = z[pick]
    # The inverse after all steps, times the row: rank-one terms are kept apart, which
    # loses no digits to repeated subtraction from a matrix.
    known = jnp.matmul(steps, row, precision=_EXACT)
    image = jnp.matmul(inverse, row, precision=_EXACT)
    image = image - jnp.matmul(known, steps, precision=_EXACT)
    step = image / jnp.sqrt(variance[pick])
    change = jnp.matmul(z, step, precision=_EXACT)
    variance = variance - change**2
    return _Process(inverse, steps.at[at].set(step), variance[first])


@functools.partial(jax.jit, donate_argnums=3)
def _advance(
    z: jax.Array, first: jax.Array, noise: jax.Array, state: _State, stop: jax.Array
) -> _State:
    def gain(state: _State) -> jax.Array:
        free, asked = state.processes
        # Rounding must not make a variance smaller than its noise.
        free_variance = jnp.maximum(free.variance, noise)
        return jnp.log(free_variance / jnp.maximum(asked.variance, noise))

    def pick(state: _State) -> _State:
        gains = jnp.where(state.taken, -jnp.inf, gain(state))
        best = fast_argmax(gains)
        free, asked = state.processes
        return _State(
            (
                _observe(free, z, first, best, state.made),
                _observe(asked, z, first, best, state.made),
            ),
            state.taken.at[best].set(True),
            state.picks.at[state.made].set(best),
            state.gains.at[state.made].set(gains[best]),
            state.made + 1,
        )

    return jax.lax.while_loop(lambda state: state.made < stop, pick, state)


def log_det_cmi(
    pool: Any,
    query: Any,
    private: Any,
    budget: int,
    *,
    noise: float = 1.0,
    on_progress: Progress | None = None,
) -> Selection:
    """Greedy maximisation of LogDetCMI with the kernel (1 + cos) / 2.

    Similarities across sets count in full (eta = nu = 1, as published). Every gain is
    up to date at every pick, since this function is not submodular and old gains bound
    nothing; a pick costs four products of the (N, d + 1) features with a vector. Equal
    gains go to the lowest index.

    Args:
      pool: (N, d) finite floats without zero rows.
      query: (|Q|, d), likewise.
      private: (|P|, d), likewise, or None where nothing is private.
      budget: 1 … N.
      noise: lambda in (0, 1e4], what is added to the diagonal; beside more, nothing of
        similarities of at most 1 is left in float32.
      on_progress: called now and then with the picks made and the budget.

    Returns:
      `Selection` with the gains in I, and its value.

    Raises:
      ValueError: features of a wrong rank or width, none, not finite or with a zero
        row, a budget or a noise out of range.
    """
    checks.in_range("noise", noise, 0, _MOST_NOISE, low_open=True)
    rows = _features("pool", pool)
    size, width = rows.shape[0], rows.shape[1] - 1
    check_budget(budget, size)
    asked = [_features("query", query, width)]
    hidden = [] if private is None else [_features("private", private, width)]
    z = jnp.asarray(rows)
    first = jnp.asarray(first_equal_rows(rows))
    state = _State(
        (
            _process(z, first, hidden, noise, budget),
            _process(z, first, hidden + asked, noise, budget),
        ),
        jnp.zeros(size, bool),
        jnp.zeros(budget, jnp.int32),
        jnp.zeros(budget, jnp.float32),
        jnp.int32(0),
    )
    step = budget if on_progress is None else max(1, budget // 100)
    for stop in range(step, budget + step, step):
        stop = min(stop, budget)
        state = _advance(z, first, jnp.float32(noise), state, jnp.int32(stop))
        if on_progress is not None:
            jax.block_until_ready(state)
            on_progress(stop, budget)
    gains = np.asarray(state.gains)
    return selection(state.picks, gains, float(gains.sum(dtype=float)), size)
