"""Examples whose features are products of factors, and their similarities."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from robustjax.selection._cosine_kernel import (
    cosines,
    one_where_equal,
    similarity_of,
)

# Factors of features, each with the inverse norms of its rows: JAX arrays, or arrays of
# the host and `RowSource`s of which some rows are taken before anything is computed.
Factors = tuple[tuple[Any, Any], ...]


def take_rows(factors: Factors, rows: Any) -> Factors:
    """Some examples of them, by numbers (M,) or, on the host, a slice."""
    return tuple((x[rows], inverse[rows]) for x, inverse in factors)


def factor_cosines(a: Factors, b: Factors) -> jax.Array:
    """(A, B); the cosine of outer products is the product of the cosines."""
    product = jnp.ones((), jnp.float32)
    for (x, inverse_x), (y, inverse_y) in zip(a, b):
        product = cosines(x, y, inverse_x, inverse_y) * product
    return product


class Pool(NamedTuple):
    """Examples of one pool.

    Attributes:
      factors: of their features.
      first: (M,) int32, equal for equal examples.
    """

    factors: Factors
    first: Any

    def take(self, rows: Any) -> Pool:
        """Some of them, see `take_rows`."""
        return Pool(take_rows(self.factors, rows), self.first[rows])


def similarities(a: Pool, b: Pool, similarity: str) -> jax.Array:
    """(A, B) of examples of one pool, of equal ones exactly 1.

    Args:
      a: examples of a pool.
      b: examples of the same pool.
      similarity: see `cosine_kernel.SIMILARITIES`.
    """
    cosine = one_where_equal(factor_cosines(a.factors, b.factors), a.first, b.first)
    return similarity_of(cosine, similarity)
