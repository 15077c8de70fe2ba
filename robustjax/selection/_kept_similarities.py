"""Greedy coverage of a pool of which all similarities are kept.

A pick raises what is covered of few examples only. The gains of all candidates are
therefore kept up to date by the rows of these, instead of evaluating some of them anew
for every pick, lazily: of 10,000 examples 500 picks read 60,000 rows, a sixth of what
lazy evaluation reads.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax.selection._factored_pool import Pool, similarities

# Both sides of the kept matrix are padded to a multiple of it.
TILE = 256
# Candidates whose gains are evaluated before one of them is picked: kept gains carry
# the rounding of their updates.
_EVALUATED = 8
# All gains are computed anew once the largest has fallen by this factor, so that the
# rounding of large gains does not order the small ones that are left of them.
_FALL = 8.0


class KeptState(NamedTuple):
    """What changes from pick to pick.

    Attributes:
      covered: (G,) float32, the largest confined similarity to what was picked.
      gains: (N,) float32 of all candidates, -inf of those picked.
      level: () float32, the largest gain when all were last computed.
      picks: (budget,) int32.
      values: (budget,) float32, the gain of every pick.
      made: () int32, how many picks there are.
    """

    covered: jax.Array
    gains: jax.Array
    level: jax.Array
    picks: jax.Array
    values: jax.Array
    made: jax.Array


@functools.partial(jax.jit, static_argnames="similarity")
def kept_similarities(ground: Pool, pool: Pool | None, *, similarity: str) -> jax.Array:
    """All similarities (G, N), made a tile at a time.

    Args:
      ground: what is to be covered, G of them, a multiple of `TILE`.
      pool: the candidates, N likewise; None where they are the ground: the matrix is
        symmetric then, and half of its tiles are mirrored.
      similarity: see `cosine_kernel.SIMILARITIES`.
    """
    others = ground if pool is None else pool
    shape = (ground.first.shape[0], others.first.shape[0])
    tiles = [number // TILE for number in shape]
    if pool is None:
        above, left = np.tril_indices(tiles[0])
    else:
        above, left = (part.reshape(-1) for part in np.indices(tiles))
    starts = jnp.asarray(TILE * np.stack([above, left], axis=1), jnp.int32)

    def rows(of: Pool, start: jax.Array) -> Pool:
        return jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, start, TILE), of)

    def tile(step: jax.Array, kernel: jax.Array) -> jax.Array:
        row, column = starts[step]
        here = similarities(rows(ground, row), rows(others, column), similarity)
        kernel = jax.lax.dynamic_update_slice(kernel, here, (row, column))
        if pool is None:
            kernel = jax.lax.dynamic_update_slice(kernel, here.T, (column, row))
        return kernel

    return jax.lax.fori_loop(0, len(starts), tile, jnp.zeros(shape, jnp.float32))


def _all_gains(
    kernel: jax.Array, high: jax.Array, covered: jax.Array, extra: jax.Array
) -> jax.Array:
    """What every candidate would add, (N,)."""

    # A loop over rows is vectorised by XLA on a CPU, a sum over them is not.
    def row(at: jax.Array, total: jax.Array) -> jax.Array:
        confined = jnp.minimum(kernel[at], high[at])
        return total + jnp.maximum(confined - covered[at], 0.0)

    def block(index: jax.Array, total: jax.Array) -> jax.Array:
        # Of its own sum, so that rounding does not grow with G.
        own = jax.lax.fori_loop(
            0,
            TILE,
            lambda step, own: row(index * TILE + step, own),
            jnp.zeros_like(total),
            unroll=4,
        )
        return total + own

    zeros = jnp.zeros_like(extra)
    return extra + jax.lax.fori_loop(0, kernel.shape[0] // TILE, block, zeros)


def _lost_gains(
    kernel: jax.Array, high: jax.Array, old: jax.Array, new: jax.Array
) -> jax.Array:
    """What every candidate can add no more where `new` covers more than `old`, (N,)."""
    size = old.shape[0]
    (rows,) = jnp.nonzero(new > old, size=size, fill_value=0)

    def row(step: jax.Array, lost: jax.Array) -> jax.Array:
        at = rows[step]
        confined = jnp.minimum(kernel[at], high[at])
        before = jnp.maximum(confined - old[at], 0.0)
        return lost + (before - jnp.maximum(confined - new[at], 0.0))

    start = jnp.zeros(kernel.shape[1], jnp.float32)
    return jax.lax.fori_loop(0, jnp.sum(new > old), row, start)


@functools.partial(
    jax.jit, static_argnames=("symmetric", "by_rows"), donate_argnames="state"
)
def advance_kept(
    kernel: jax.Array,
    high: jax.Array,
    extra: jax.Array,
    state: KeptState,
    stop: jax.Array,
    *,
    symmetric: bool,
    by_rows: bool,
) -> KeptState:
    """Greedy picks until there are `stop` of them, equal gains to the lowest index.

    Args:
      kernel: (G, N) similarities, see `kept_similarities`.
      high: (G,) float32, up to where an example can be covered.
      extra: (N,) float32, what a candidate is worth beside what it covers.
      state: so far; `level` is -inf before the first pick.
      stop: () int32, at most the length of `picks`.
      symmetric: whether the kernel is, whose rows are read in place of columns then.
      by_rows: whether gains are kept up to date by rows, one after another, or all
        computed anew for every pick, which is the faster way on an accelerator.
    """
    size = kernel.shape[1]

    def anew(state: KeptState) -> KeptState:
        gains = _all_gains(kernel, high, state.covered, extra)
        gains = jnp.where(jnp.isneginf(state.gains), -jnp.inf, gains)
        return state._replace(gains=gains, level=jnp.max(gains))

    def covers(places: jax.Array) -> jax.Array:
        if symmetric:
            return jnp.minimum(kernel[places], high[None])
        # A column is a number in every cache line: read once, not once per use.
        columns = jax.lax.optimization_barrier(kernel[:, places])
        return jnp.minimum(columns.T, high[None])

    def step(state: KeptState) -> KeptState:
        best, places = jax.lax.top_k(state.gains, min(_EVALUATED, size))
        rows = covers(places)
        more = jnp.maximum(rows - state.covered[None], 0.0)
        exact = jnp.where(
            jnp.isneginf(best), -jnp.inf, jnp.sum(more, axis=1) + extra[places]
        )
        gain = jnp.max(exact)
        place = jnp.min(jnp.where(exact == gain, places, size))

        def take(state: KeptState) -> KeptState:
            row = rows[jnp.argmax(places == place)]
            covered = jnp.maximum(state.covered, row)
            taken = state._replace(
                covered=covered,
                gains=state.gains.at[place].set(-jnp.inf),
                picks=state.picks.at[state.made].set(place),
                values=state.values.at[state.made].set(gain),
                made=state.made + 1,
            )
            if not by_rows:
                return anew(taken)
            lost = _lost_gains(kernel, high, state.covered, covered)
            return taken._replace(gains=taken.gains - lost)

        return jax.lax.cond(gain < state.level / _FALL, anew, take, state)

    state = jax.lax.cond(jnp.isneginf(state.level), anew, lambda state: state, state)
    return jax.lax.while_loop(lambda state: state.made < stop, step, state)
