"""Greedy coverage of a pool whose similarities are made when they are needed.

Gains only fall, so an old gain bounds the present one (Minoux, 1978): candidates are
evaluated a block at a time, and picks are made from the block while its best beats the
old gains of all others.

The first picks lower the gains of all, which are then nearly all evaluated again. So
bounds are brought up to date together, by what gains have lost where more is covered
than before. Counted for 100 picks of 10,000 examples in clusters of 25: examples are
covered more 46,000 times, and by old gains 93,000 candidates are evaluated. What orders
and ends picks is evaluated as it was: bounds carry a slack for rounding.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax.placement import Placement
from robustjax.selection._class_layout import (
    ClassLayout,
    best_of_classes,
    examples_at,
)
from robustjax.selection._confined_gains import ROWS, confined_gains
from robustjax.selection._factored_pool import Pool, similarities

# Bounds are brought up to date where that takes at most so many times what was
# evaluated since.
_WORTH = 16.0
# Gains are computed anew once the largest has fallen by this factor: they carry the
# rounding of what they were.
_FALL = 64.0
# The slack, in standard deviations of the rounding of a sum.
_DEVIATIONS = 8.0

Scalar = jax.Array | float


class LazyState(NamedTuple):
    """What changes from pick to pick.

    Attributes:
      covered: (G,) float32, the largest confined similarity to what was picked.
      bounds: (N,) float32, at least the gains, -inf of those picked.
      picks: (budget,) int32.
      values: (budget,) float32, the gain of every pick.
      made: () int32, how many picks there are.
      gains: (N,) float32, divided as candidates are: gains but for `extra`, rounded,
        where no more than `seen` was covered.
      seen: (G,) float32, -inf before gains were computed.
      level: () float32, the largest of `gains` when all were computed; -inf before.
      top: () float32, the largest of them now.
      evaluated: () int32, candidates since then.
      found: () bool, whether the last block gave a pick.
    """

    covered: jax.Array
    bounds: jax.Array
    picks: jax.Array
    values: jax.Array
    made: jax.Array
    gains: jax.Array
    seen: jax.Array
    level: jax.Array
    top: jax.Array
    evaluated: jax.Array
    found: jax.Array


class _Served(NamedTuple):
    covered: jax.Array
    gains: jax.Array
    places: jax.Array
    values: jax.Array
    made: jax.Array
    found: jax.Array


def slack_of(size: int, level: Scalar, top: Scalar) -> Scalar:
    """By how much gains may be larger than those that are kept up to date.

    Similarities of at most 1, sums of them of `level` in blocks, and evaluated gains of
    `top` round so, each term by itself.

    Args:
      size: G, the number of terms.
      level: () float32, see `LazyState`.
      top: likewise.
    """
    unit = float(np.finfo(np.float32).eps) / 2
    return _DEVIATIONS * unit * np.sqrt(size) * (1 + level / np.sqrt(ROWS) + top)


def worthwhile(
    changed: Scalar, evaluated: Scalar, candidates: int, ground: int
) -> Scalar:
    """Whether bounds are to be brought up to date, by similarities that it takes."""
    taken = 1.0 * changed * candidates
    return (changed > 0) & (taken <= _WORTH * evaluated * ground)


def is_anew(changed: Scalar, able: Scalar, level: Scalar, top: Scalar) -> Scalar:
    """Whether gains are to be computed anew rather than by what they have lost.

    Args:
      changed: () how many examples are covered more than before.
      able: () how many can be covered more than they are.
      level: see `LazyState`.
      top: see there.
    """
    return jnp.isneginf(level) | (4 * changed >= 3 * able) | (top < level / _FALL)


def first_state(
    place: Placement, low: np.ndarray, bounds: np.ndarray, budget: int
) -> LazyState:
    """Before the first pick.

    Args:
      place: of the rows.
      low: (G,) float32, to where an example counts as covered.
      bounds: (N,) float32, at least the gains; inf where none are known, which are
        then found before anything else.
      budget: the number of picks.
    """
    size = len(bounds)
    known = bool(np.isfinite(bounds).all())
    picks, values = np.zeros(budget, np.int32), np.zeros(budget, np.float32)
    never, evaluated = np.float32(-np.inf), np.int32(0 if known else size)
    return LazyState(
        # What fills up is covered as far as it can be.
        covered=place.rows(low, 0),
        bounds=place.whole(bounds),
        picks=place.whole(picks),
        values=place.whole(values),
        made=place.whole(np.int32(0)),
        gains=place.rows(np.zeros(size, np.float32), 0),
        seen=place.rows(np.full_like(low, -np.inf), 0),
        level=place.whole(never),
        top=place.whole(never),
        evaluated=place.whole(evaluated),
        found=place.whole(np.bool_(known)),
    )


def _brought_up_to_date(
    place: Placement,
    pool: Pool,
    ground: Pool,
    high: jax.Array,
    extra: jax.Array,
    state: LazyState,
    similarity: str,
) -> LazyState:
    """Bounds that are gains but for rounding."""
    size = extra.shape[0]
    changed, able = state.covered > state.seen, high > state.covered
    anew = is_anew(jnp.sum(changed), jnp.sum(able), state.level, state.top)
    found = confined_gains(
        place,
        pool,
        ground,
        jnp.where(anew, able, changed),
        jnp.where(anew, state.covered, state.seen),
        jnp.where(anew, high, state.covered),
        similarity=similarity,
    )
    gains = jnp.where(anew, found, state.gains - found)
    top = jnp.max(gains[:size])
    level = jnp.where(anew, top, state.level)
    bounds = extra + gains[:size] + slack_of(high.shape[0], level, top)
    return state._replace(
        bounds=jnp.minimum(state.bounds, bounds),
        gains=gains,
        seen=state.covered,
        level=level,
        top=top,
        evaluated=jnp.int32(0),
    )


@functools.partial(jax.jit, static_argnames=("place", "similarity", "candidates"))
def advance_lazily(
    place: Placement,
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
      place: of the rows.
      pool: the candidates, N of them.
      ground: what is to be covered, G of them.
      high: (G,) float32, up to where an example can be covered.
      extra: (N,) float32, what a candidate is worth beside what it covers.
      layout: of the N candidates as one class.
      state: so far; see `first_state`.
      stop: () int32, at most the length of `picks`.
      similarity: see `cosine_kernel.SIMILARITIES`.
      candidates: evaluated together.
    """
    size, budget = state.bounds.shape[0], state.picks.shape[0]

    def gains_of(columns: jax.Array, covered: jax.Array) -> jax.Array:
        return jnp.sum(jnp.maximum(columns - covered[None], 0.0), axis=1)

    def up_to_date(state: LazyState) -> LazyState:
        return _brought_up_to_date(place, pool, ground, high, extra, state, similarity)

    def round_of_picks(state: LazyState) -> LazyState:
        changed = jnp.sum(state.covered > state.seen)
        due = worthwhile(changed, state.evaluated, size, high.shape[0])
        state = jax.lax.cond(
            due & ~state.found,
            up_to_date,
            lambda state: state,
            state,
        )
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
        return state._replace(
            covered=served.covered,
            bounds=state.bounds.at[known].set(served.gains, mode="drop"),
            picks=state.picks.at[slot].set(safe[served.places], mode="drop"),
            values=state.values.at[slot].set(served.values, mode="drop"),
            made=state.made + served.made,
            evaluated=state.evaluated + candidates,
            found=served.made > 0,
        )

    return jax.lax.while_loop(lambda state: state.made < stop, round_of_picks, state)
