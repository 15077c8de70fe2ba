"""What candidates cover of some examples, of many candidates and many examples at once.

A similarity counts from `low` up to `high`. Between nothing and all that can be covered
this is the gain of every candidate; between what was covered once and what is covered
now it is what gains have lost since. Similarities are made a tile at a time, which
stays in a CPU's cache until it is summed.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from robustjax.placement import Placement
from robustjax.selection._cosine_kernel import similarity_of
from robustjax.selection._factored_pool import Factors, Pool

ROWS = 256
"""Examples of a tile."""
# Candidates of a tile.
_CANDIDATES = 1024


def confined_sums(
    pool: Pool, rows: Pool, low: jax.Array, high: jax.Array, *, similarity: str
) -> jax.Array:
    """`sum_i clip(s_ij, low_i, high_i) - low_i` of every candidate j, rounded: (N,).

    Equal examples are not looked for, whose similarity is 1 but for rounding.

    Args:
      pool: N candidates.
      rows: a few examples (M,), such as `ROWS`.
      low: (M,) float32.
      high: (M,) float32, at least `low`.
      similarity: see `cosine_kernel.SIMILARITIES`.
    """
    size = pool.first.shape[0]
    width = min(size, _CANDIDATES)
    scaled = [(x * inverse[:, None]).T for x, inverse in rows.factors]

    def likeness(few: Pool) -> jax.Array:
        # As `factor_cosines`, but for rounding: norms of rows are taken out once.
        product = jnp.ones((), jnp.float32)
        for (x, inverse), y in zip(few.factors, scaled):
            cosine = jnp.matmul(x, y, precision=jax.lax.Precision.HIGHEST)
            product = cosine * inverse[:, None] * product
        return similarity_of(product, similarity)

    def tile(step: jax.Array, sums: jax.Array) -> jax.Array:
        # The last tile begins earlier, and finds some sums again.
        start = jnp.minimum(step * width, size - width)
        few = jax.tree.map(
            lambda x: jax.lax.dynamic_slice_in_dim(x, start, width), pool
        )
        value = jnp.clip(likeness(few), low[None], high[None])
        found = jnp.sum(value - low[None], axis=1)
        return jax.lax.dynamic_update_slice_in_dim(sums, found, start, 0)

    return jax.lax.fori_loop(0, -(-size // width), tile, jnp.zeros(size))


@jax.jit
def direction_sum(factors: Factors) -> jax.Array:
    """The sum (d,) of the rows of one factor, each at length 1."""
    ((x, inverse),) = factors
    return jnp.sum(x * inverse[:, None], axis=0)


@jax.jit
def sums_of_shifted(factors: Factors, total: jax.Array, number: jax.Array) -> jax.Array:
    """The sums of "shifted" similarities to so many examples (N,), by one product.

    Where nothing is covered yet these are the gains, at the cost of one candidate's.

    Args:
      factors: one, of N candidates.
      total: (d,) of the examples, see `direction_sum`.
      number: () how many they are.
    """
    ((x, inverse),) = factors
    product = jnp.matmul(x, total, precision=jax.lax.Precision.HIGHEST)
    return (number + product * inverse) / 2


def confined_gains(
    place: Placement,
    pool: Pool,
    ground: Pool,
    rows: jax.Array,
    low: jax.Array,
    high: jax.Array,
    *,
    similarity: str,
) -> jax.Array:
    """As `confined_sums`, over those of many examples that take part.

    Args:
      place: of the candidates.
      pool: N of them, divided.
      ground: G examples.
      rows: (G,) bool, those that take part.
      low: (G,) float32.
      high: (G,) float32, at least `low`.
      similarity: see `cosine_kernel.SIMILARITIES`.

    Returns:
      (N,) float32, divided as the candidates are.
    """
    size = rows.shape[0]
    (numbers,) = jnp.nonzero(rows, size=size, fill_value=0)
    count = jnp.sum(rows)
    own_sums = functools.partial(confined_sums, similarity=similarity)
    sums = place.on_rows(own_sums, 3, check_replication=False)

    def block(step: jax.Array, total: jax.Array) -> jax.Array:
        at = step * ROWS + jnp.arange(ROWS)
        here = numbers[jnp.minimum(at, size - 1)]
        # What fills up counts between 0 and 0.
        ends = (jnp.where(at < count, end[here], 0.0) for end in (low, high))
        return total + sums(pool, ground.take(here), *ends)

    zeros = jnp.zeros_like(pool.first, dtype=jnp.float32)
    return jax.lax.fori_loop(0, -(-count // ROWS), block, zeros)
