"""Greedy coverage of a pool whose similarities are made when they are needed.

Gains only fall, so an old gain bounds the present one (Minoux, 1978): candidates are
evaluated a block at a time, and picks are made from the block while its best beats the
old gains of all others.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from robustjax.selection._class_layout import (
    ClassLayout,
    best_of_classes,
    examples_at,
)
from robustjax.selection._factored_pool import Pool, similarities


class LazyState(NamedTuple):
    """What changes from pick to pick.

    Attributes:
      covered: (G,) float32, the largest confined similarity to what was picked.
      bounds: (N,) float32, gains as they were last evaluated, -inf of those picked.
      picks: (budget,) int32.
      values: (budget,) float32, the gain of every pick.
      made: () int32, how many picks there are.
    """

    covered: jax.Array
    bounds: jax.Array
    picks: jax.Array
    values: jax.Array
    made: jax.Array


class _Served(NamedTuple):
    covered: jax.Array
    gains: jax.Array
    places: jax.Array
    values: jax.Array
    made: jax.Array
    found: jax.Array


@functools.partial(jax.jit, static_argnames=("similarity", "candidates"))
def advance_lazily(
    pool: Pool,
    ground: Pool,
    high: jax.Array,
    extra: jax.Array,
    layout: ClassLayout,
    state: LazyState,
    stop: jax.Array,
    *,
    similarity: str,
    candidates: int,
) -> LazyState:
    """Greedy picks until there are `stop` of them, equal gains to the lowest index.

    Args:
      pool: the candidates, N of them.
      ground: what is to be covered, G of them.
      high: (G,) float32, up to where an example can be covered.
      extra: (N,) float32, what a candidate is worth beside what it covers.
      layout: of the N candidates as one class.
      state: so far; `bounds` is inf before the first pick.
      stop: () int32, at most the length of `picks`.
      similarity: see `cosine_kernel.SIMILARITIES`.
      candidates: evaluated together.
    """
    size, budget = state.bounds.shape[0], state.picks.shape[0]

    def gains_of(columns: jax.Array, covered: jax.Array) -> jax.Array:
        return jnp.sum(jnp.maximum(columns - covered[None], 0.0), axis=1)

    def round_of_picks(state: LazyState) -> LazyState:
        best, positions = best_of_classes(
            state.bounds, layout, jnp.zeros(1, jnp.int32), candidates + 1
        )
        left_gain, left_position = best[0, -1], positions[0, -1]
        order = jnp.sort(positions[0, :-1])
        rows = examples_at(layout, order, size)
        safe = jnp.minimum(rows, size - 1)
        usable = (rows < size) & (state.bounds[safe] > -jnp.inf)
        # All that a candidate can cover, held for the picks of this round.
        columns = similarities(pool.take(safe), ground, similarity)
        columns = jnp.minimum(columns, high[None])
        own = extra[safe]

        def serve(served: _Served) -> _Served:
            place = jnp.argmax(served.gains)
            gain = served.gains[place]
            equal = (gain == left_gain) & (order[place] < left_position)
            found = (gain > left_gain) | equal

            def pick(served: _Served) -> _Served:
                covered = jnp.maximum(served.covered, columns[place])
                taken = jnp.isinf(served.gains).at[place].set(True)
                gains = jnp.where(taken, -jnp.inf, own + gains_of(columns, covered))
                return _Served(
                    covered,
                    gains,
                    served.places.at[served.made].set(place),
                    served.values.at[served.made].set(gain),
                    served.made + 1,
                    found,
                )

            return jax.lax.cond(
                found, pick, lambda served: served._replace(found=found), served
            )

        limit = jnp.minimum(candidates, budget - state.made)
        gains = jnp.where(usable, own + gains_of(columns, state.covered), -jnp.inf)
        served = jax.lax.while_loop(
            lambda served: served.found & (served.made < limit),
            serve,
            _Served(
                state.covered,
                gains,
                jnp.zeros(candidates, jnp.int32),
                jnp.zeros(candidates, jnp.float32),
                jnp.int32(0),
                jnp.bool_(True),
            ),
        )
        made = jnp.arange(candidates) < served.made
        slot = jnp.where(made, state.made + jnp.arange(candidates), budget)
        known = jnp.where(usable, rows, size)
        return LazyState(
            served.covered,
            state.bounds.at[known].set(served.gains, mode="drop"),
            state.picks.at[slot].set(safe[served.places], mode="drop"),
            state.values.at[slot].set(served.values, mode="drop"),
            state.made + served.made,
        )

    return jax.lax.while_loop(lambda state: state.made < stop, round_of_picks, state)
