"""Explicit Euler diffusion on a graph, with a clamped node."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import sparse as jsparse

from robustjax import arrays, checks
from robustjax.graph._matvec import SplitRows, matvec, split_rows

SOLVERS = ("euler", "chebyshev")

# Coefficients whose sum is below this fraction of the values change nothing in
# float32.
_CHEBYSHEV_TOLERANCE = 1e-7

# Float32 sums of a few thousand shares are within it of 1.
_ROW_TOLERANCE = 1e-3

# Graphs that are rebuilt on new points every round keep their compiled programs.
_PIECES_MULTIPLE = 256


def diffuse(
    laplacian: Any, values: Any, *, step_size: float, steps: int = 1
) -> jax.Array:
    """Explicit Euler steps `e <- e - delta L e` (Kim, ECCV 2022, Eq. 8).

    Args:
      laplacian: (N, N) sparse matrix or `SplitRows`.
      values: (N,).
      step_size: delta in [0, 1]; the scheme is stable on [0, 1] for a random-walk
        Laplacian, where every step is an average over neighbours.
      steps: number of steps, at least 0.

    Returns:
      (N,).

    Raises:
      ValueError: a step size or a number of steps out of range, or values of another
        rank or length.
    """
    checks.in_range("step_size", step_size, 0, 1)
    checks.at_least("steps", steps, 0)
    return _diffuse(laplacian, arrays.float32("values", values, 1), step_size, steps)


@functools.partial(jax.jit, static_argnames="steps")
def _diffuse(
    laplacian: Any, values: jax.Array, step_size: jax.Array | float, steps: int
) -> jax.Array:
    def step(_: jax.Array, e: jax.Array) -> jax.Array:
        return e - step_size * matvec(laplacian, e)

    return jax.lax.fori_loop(0, steps, step, values)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class ClampedDiffusion:
    """`s` Euler steps, before each of which one chosen node is set to zero.

    This is the inner loop of entropy propagation (Kim, ECCV 2022, Alg. 1, lines 17 to
    20) as a linear map. Because the clamp precedes the step, the node itself ends
    above zero.

    With K = I - delta L and Z the projector that zeroes the node, the map is
    `(K Z)^s = K (Z K Z)^(s-1) Z`. The "euler" solver multiplies step by step. The
    "chebyshev" solver evaluates the same polynomial of `Z P Z`, whose spectrum lies
    in [-1, 1], by its Chebyshev series, dropping terms below float32 rounding: the
    paper's 10 steps of 0.1 take 7 products instead of 10.

    Attributes:
      twice: `2 P = 2 (I - L)`, laid out for `matvec`.
      euler: `K = I - delta L`, laid out for `matvec`.
      coefficients: the Chebyshev series of `(1 - delta + delta p)^(s-1)`; empty for
        the "euler" solver.
      steps: s, static.
    """

    twice: SplitRows
    euler: SplitRows
    coefficients: tuple[float, ...] = dataclasses.field(metadata={"static": True})
    steps: int = dataclasses.field(metadata={"static": True})

    def __call__(self, values: jax.Array, node: jax.Array) -> jax.Array:
        """Applies the map.

        Args:
          values: (N,) floats.
          node: () integer, the clamped node.

        Returns:
          (N,) floats.

        Raises:
          ValueError: values of another length, or a node that is none, unless traced.
        """
        # JAX would leave out what is out of range, and count back from below zero.
        checks.in_range("node", node, 0, self.twice.shape[0] - 1)
        if self.steps == 0:
            return values
        if not self.coefficients:

            def step(_: jax.Array, e: jax.Array) -> jax.Array:
                return matvec(self.euler, e.at[node].set(0.0))

            return jax.lax.fori_loop(0, self.steps, step, values)

        # Clenshaw's recurrence: b_k = c_k v + 2 B b_{k+1} - b_{k+2} for B = Z P Z,
        # and the sum of the series is c_0 v + B b_1 - b_2.
        start = values.at[node].set(0.0)
        if len(self.coefficients) == 1:
            return matvec(self.euler, self.coefficients[0] * start)
        series = jnp.asarray(self.coefficients, values.dtype)
        highest = len(self.coefficients) - 1

        def descend(
            i: jax.Array, carry: tuple[jax.Array, jax.Array]
        ) -> tuple[jax.Array, jax.Array]:
            one_up, two_up = carry
            base = series[highest - 1 - i] * start - two_up
            here = matvec(self.twice, one_up, base=base).at[node].set(0.0)
            return here, one_up

        first = series[highest] * start
        b_1, b_2 = jax.lax.fori_loop(
            0, highest - 1, descend, (first, jnp.zeros_like(first))
        )
        double = matvec(self.twice, b_1, base=2 * (series[0] * start - b_2))
        return matvec(self.euler, (double / 2).at[node].set(0.0))


def _check_random_walk(laplacian: SplitRows) -> None:
    """Raises `ValueError` unless `I - L` has non-negative rows that sum to 1."""
    stays = 1 - np.asarray(laplacian.diagonal, np.float64)
    goes = -np.asarray(laplacian.values, np.float64)
    more = -np.asarray(laplacian.more_values, np.float64)
    sums = stays + goes.sum(axis=0)
    np.add.at(sums, np.asarray(laplacian.owners), more.sum(axis=0))
    least = min(float(part.min(initial=0)) for part in (stays, goes, more))
    off = float(np.abs(sums - 1).max(initial=0))
    if not (off <= _ROW_TOLERANCE and least >= -_ROW_TOLERANCE):
        raise ValueError(
            f"laplacian: rows of I - L are off 1 by up to {off:.3g} and their smallest "
            f"entry is {least:.3g}, expected non-negative rows that sum to 1"
        )


def clamped_diffusion(
    laplacian: jsparse.BCOO,
    *,
    step_size: float = 0.1,
    steps: int = 10,
    solver: str = "chebyshev",
) -> ClampedDiffusion:
    """Prepares `ClampedDiffusion` for a Laplacian; runs on the host.

    Args:
      laplacian: (N, N) BCOO, `L = I - P` with P row-stochastic and similar to a
        symmetric matrix (as `graph.neighbor_graph` gives).
      step_size: delta in [0, 1].
      steps: s >= 0.
      solver: "chebyshev" or "euler"; equal up to float32 rounding.

    Raises:
      ValueError: arguments outside their range, or a matrix that is no such Laplacian:
        the transitions themselves, say, or one whose rows are not normalised.

    Example:
      >>> import jax.numpy as jnp
      >>> import numpy as np
      >>> from robustjax import graph
      >>> points = np.array([[0.0], [1.0], [1.5], [9.0]])
      >>> laplacian = graph.neighbor_graph(points, k=1).laplacian
      >>> spread = graph.clamped_diffusion(laplacian, steps=10)
      >>> values = spread(jnp.ones(4), 1)  # Of node 1, which is set to 0 at every step.
      >>> [round(value, 2) for value in values.tolist()]
      [0.35, 0.04, 0.39, 0.75]
    """
    checks.in_range("step_size", step_size, 0, 1)
    checks.at_least("steps", steps, 0)
    checks.one_of("solver", solver, SOLVERS)
    layout = split_rows(laplacian, pieces_multiple=_PIECES_MULTIPLE)
    on_host = jax.device_get((layout.diagonal, layout.values, layout.more_values))
    _check_random_walk(layout)

    def changed(start: int, factor: float) -> SplitRows:
        """`start I - factor L`."""
        diagonal, values, more_values = (-factor * part for part in on_host)
        parts = (start + diagonal, values, more_values)
        names = ("diagonal", "values", "more_values")
        return dataclasses.replace(layout, **dict(zip(names, jax.device_put(parts))))

    twice, euler = changed(2, 2), changed(1, step_size)
    series: tuple[float, ...] = ()
    if solver == "chebyshev" and steps > 0:
        power = np.polynomial.Polynomial([1 - step_size, step_size]) ** (steps - 1)
        full = np.polynomial.chebyshev.poly2cheb(power.coef)
        tail = np.cumsum(np.abs(full)[::-1])[::-1]
        kept = max(1, int(np.sum(tail > _CHEBYSHEV_TOLERANCE)))
        series = tuple(float(c) for c in full[:kept])
    return ClampedDiffusion(twice, euler, series, steps)
