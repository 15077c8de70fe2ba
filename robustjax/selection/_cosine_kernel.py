"""Cosine similarities as Prune4ReL and SIMILAR use them: shifted, and thresholded."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from robustjax.placement import Placement
from robustjax.selection._row_blocks import by_blocks

# Rows whose norms are found together.
_BLOCK = 256

# "shifted" is (1 + cos) / 2, in [0, 1]; "cosine" is the cosine itself.
SIMILARITIES = ("shifted", "cosine")


def inverse_norms(features: jax.Array) -> jax.Array:
    """One over the Euclidean norm of every row (N, d) -> (N,)."""
    # The largest entry out of the square: tiny and huge rows have a norm, too.
    scale = jnp.max(jnp.abs(features), axis=1)
    square = jnp.sum((features / scale[:, None]) ** 2, axis=1)
    return 1 / (scale * jnp.sqrt(square))


@functools.partial(jax.jit, static_argnames="place")
def placed_inverse_norms(features: jax.Array, place: Placement) -> jax.Array:
    """As `inverse_norms`, of rows where they lie."""

    def of_device(rows: jax.Array) -> jax.Array:
        # Where it begins does not matter: every number is made.
        begin = rows[:, 0]
        return by_blocks(lambda _, some: inverse_norms(some), begin, rows, _BLOCK)

    found: jax.Array = place.on_rows(of_device, 0)(features)
    return found


def cosines(
    a: jax.Array, b: jax.Array, inverse_a: jax.Array, inverse_b: jax.Array
) -> jax.Array:
    """Cosines (A, B) of rows (A, d) and (B, d) from their inverse norms."""
    product = jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)
    # Norms first: s_ij and s_ji then round alike.
    return product * (inverse_a[:, None] * inverse_b[None])


def one_where_equal(
    cosine: jax.Array, first_a: jax.Array, first_b: jax.Array
) -> jax.Array:
    """The cosines (A, B), of equal rows exactly 1.

    Args:
      cosine: (A, B), rounded.
      first_a: (A,) integers, equal for equal rows, of `equal_rows.first_equal_rows`.
      first_b: (B,) likewise, of the same call.
    """
    return jnp.where(first_a[:, None] == first_b[None], 1.0, cosine)


def similarity_of(cosine: jax.Array, similarity: str) -> jax.Array:
    """The similarity of a cosine, at most 1."""
    value = (1 + cosine) / 2 if similarity == "shifted" else cosine
    return jnp.minimum(value, 1.0)


def thresholded(cosine: jax.Array, threshold: jax.Array, similarity: str) -> jax.Array:
    """The similarity where it is larger than the threshold, else 0."""
    value = similarity_of(cosine, similarity)
    return jnp.where(value > threshold, value, 0.0)
