"""Greedy selection of one example after the other, many picks per matrix product.

For rules by which a pick only ever lowers the scores of others: a score computed
before some picks bounds the score after them. So the largest scores are found among
all N examples once; among these few candidates picks are made one after the other,
with the candidates' own similarities, while the best of them beats whatever is left
outside. Only then all N examples hear about these picks, by one matrix product. Every
pick is the one that a loop over single picks makes; what was bound by memory (a
product with one vector per pick) is bound by arithmetic.
"""

from __future__ import annotations

import abc
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
from robustjax.selection._greedy import Progress

# Candidates looked at together, and the share of them picked at most before all N
# examples are brought up to date.
CANDIDATES = 256
PICKS_SHARE = 4
# Few picks are brought to all examples by a narrow product.
_NARROW = 8
# A CPU multiplies rows by so many picks fastest with the rows first. By a few it would
# add in another order than among candidates, and near-ties would go the other way.
_MANY = 16

Rows = dict[str, jax.Array]


class Rule(abc.ABC):
    """How scores follow from what was picked. Immutable and hashable.

    `rows` holds arrays with the examples on the first axis, `shared` scalars; `level`
    (n,) is what the picks so far have done to each example.
    """

    @abc.abstractmethod
    def relate(self, picked: Rows, rows: Rows, shared: Rows) -> jax.Array:
        """What picks (p) mean for examples (n): (p, n) floats."""

    def relation(self, picked: Rows, rows: Rows, shared: Rows) -> jax.Array:
        """As (n, p), of a rule of which `relate` is symmetric."""
        if 1 < next(iter(picked.values())).shape[0] < _MANY:
            return self.relate(picked, rows, shared).T
        return self.relate(rows, picked, shared)

    @abc.abstractmethod
    def absorb(self, level: jax.Array, relation: jax.Array, picked: Rows) -> jax.Array:
        """The level (n,) after one pick, of which `relation` (n,) and `picked` are."""

    @abc.abstractmethod
    def score(self, level: jax.Array, rows: Rows, shared: Rows) -> jax.Array:
        """The (n,) scores; the largest is picked."""

    def margin(self, level: jax.Array, rows: Rows, shared: Rows) -> jax.Array | float:
        """By how much rounding may raise a score that should fall."""
        del level, rows, shared
        return 0.0

    def tell(
        self,
        level: jax.Array,
        rows: Rows,
        shared: Rows,
        picked: Rows,
        count: jax.Array,
    ) -> jax.Array:
        """The levels (n,) of examples after the first `count` of some picks (p)."""
        return absorb_in_order(
            self, level, self.relate(picked, rows, shared), picked, count
        )


class State(NamedTuple):
    """A selection under way.

    Attributes:
      level: (N,) float32.
      taken: (N,) bool, picked or not to be picked.
      picks: (budget,) int32.
      scores: (budget,) float32, of the picks when they were picked.
      made: () int32, the number of picks.
    """

    level: jax.Array
    taken: jax.Array
    picks: jax.Array
    scores: jax.Array
    made: jax.Array


def absorb_in_order(
    rule: Rule, level: jax.Array, relation: jax.Array, picked: Rows, count: jax.Array
) -> jax.Array:
    """Levels (n,) after the first `count` of some picks (p), with relations (p, n).

    In order of picks, so that levels round as in a loop over single picks.
    """

    def one(number: jax.Array, level: jax.Array) -> jax.Array:
        here = {name: array[number] for name, array in picked.items()}
        return rule.absorb(level, relation[number], here)

    return jax.lax.fori_loop(0, count, one, level)


def start(place: Placement, level: np.ndarray, taken: np.ndarray, budget: int) -> State:
    """The state before the first pick: examples divided, what was picked everywhere.

    Args:
      place: of the rows. What fills these up is taken already.
      level: (N,) float32.
      taken: (N,) bool.
      budget: the number of picks.
    """
    picks, scores = np.zeros(budget, np.int32), np.zeros(budget, np.float32)
    return State(
        place.rows(level, 0),
        place.rows(taken, True),
        *place.whole((picks, scores, np.int32(0))),
    )


def take_rows(rows: Rows, indices: jax.Array) -> Rows:
    return {name: array[indices] for name, array in rows.items()}


@functools.partial(jax.jit, static_argnames=("rule", "width"))
def absorb_given(
    rule: Rule,
    level: jax.Array,
    rows: Rows,
    shared: Rows,
    picks: jax.Array,
    width: int = 64,
) -> jax.Array:
    """The levels (N,) after given picks (M,), a block of them at a time."""
    blocks = -(-picks.shape[0] // width)
    padded = jnp.pad(picks, (0, blocks * width - picks.shape[0])).reshape(blocks, width)

    def block(number: jax.Array, level: jax.Array) -> jax.Array:
        count = jnp.minimum(width, picks.shape[0] - number * width)
        return rule.tell(level, rows, shared, take_rows(rows, padded[number]), count)

    return jax.lax.fori_loop(0, blocks, block, level)


class Chosen(NamedTuple):
    """The candidates of one round, K classes of them with as many each.

    Attributes:
      indices: (T,) int32 examples, in order of position within a class.
      there: (T,) bool, False where a class has no more.
      positions: (K, T / K) int32 in the layout.
      left_score: (K,) the best score of a class that is left out.
      left_position: (K,) int32, its position.
      slot_of: (width,) int32, the class among the K of every turn.
    """

    indices: jax.Array
    there: jax.Array
    positions: jax.Array
    left_score: jax.Array
    left_position: jax.Array
    slot_of: jax.Array


class _Served(NamedTuple):
    """Picks among the candidates (T) of one round."""

    level: jax.Array
    taken: jax.Array
    places: jax.Array
    scores: jax.Array
    made: jax.Array
    found: jax.Array


def round_width(candidates: int, budget: int) -> int:
    """How many picks a round makes at most."""
    return max(1, min(candidates // PICKS_SHARE, budget))


def choose(
    rule: Rule,
    rows: Rows,
    shared: Rows,
    layout: ClassLayout,
    turns: jax.Array,
    state: State,
    candidates: int,
) -> Chosen:
    """The candidates of the next round; of `rows` only what scores need is read."""
    size = state.level.shape[0]
    width = round_width(candidates, turns.shape[0])
    num_classes = layout.first_group.shape[0]
    slots = min(num_classes, width)
    depth = max(2, min(candidates // slots, size))
    turns = jnp.pad(turns, (0, width), mode="edge")
    window = jax.lax.dynamic_slice(turns, (state.made,), (width,))
    if num_classes <= width:
        classes, slot_of = jnp.arange(num_classes), window
    else:
        classes, slot_of = jnp.unique(window, size=slots, return_inverse=True)
    scores = rule.score(state.level, rows, shared)
    scores = jnp.where(state.taken, -jnp.inf, scores)
    best, positions = best_of_classes(scores, layout, classes, depth + 1)
    # The best that is left out, in score and among equals in position.
    left_score, left_position = best[:, -1], positions[:, -1]
    positions = jnp.sort(positions[:, :-1], axis=1)
    indices = examples_at(layout, positions, size).reshape(-1)
    there = indices < size
    indices = jnp.minimum(indices, size - 1)
    return Chosen(indices, there, positions, left_score, left_position, slot_of)


def serve(
    rule: Rule,
    few: Rows,
    shared: Rows,
    chosen: Chosen,
    margin: jax.Array | float,
    level: jax.Array,
    taken: jax.Array,
    limit: jax.Array,
) -> _Served:
    """Picks among the candidates while the best of them beats what is left out.

    Args:
      rule: how scores follow from picks.
      few: rows of the candidates (T).
      shared: scalars.
      chosen: the candidates.
      margin: see `Rule.margin`.
      level: (T,) of the candidates.
      taken: (T,) likewise.
      limit: () int32, at most so many picks.
    """
    relation = rule.relate(few, few, shared)
    slots, depth = chosen.positions.shape
    width = chosen.slot_of.shape[0]

    def one(served: _Served) -> _Served:
        slot = chosen.slot_of[served.made]
        now = rule.score(served.level, few, shared)
        now = jnp.where(served.taken, -jnp.inf, now).reshape(slots, depth)[slot]
        place = jnp.argmax(now)
        score, left = now[place], chosen.left_score[slot]
        equal = (score == left) & (jnp.asarray(margin) == 0)
        before = chosen.positions[slot, place] < chosen.left_position[slot]
        beats = (score > left + margin) | (equal & before)
        # Nothing has changed since all were scored: the first is the best.
        found = beats | (served.made == 0)
        place = slot * depth + place
        here = {name: array[place] for name, array in few.items()}
        after = _Served(
            rule.absorb(served.level, relation[place], here),
            served.taken.at[place].set(True),
            served.places.at[served.made].set(place),
            served.scores.at[served.made].set(score),
            served.made + 1,
            jnp.bool_(True),
        )
        same = served._replace(found=jnp.bool_(False))
        return jax.tree.map(lambda a, b: jnp.where(found, a, b), after, same)

    return jax.lax.while_loop(
        lambda served: served.found & (served.made < limit),
        one,
        _Served(
            level,
            taken | ~chosen.there,
            jnp.zeros(width, jnp.int32),
            jnp.zeros(width, jnp.float32),
            jnp.int32(0),
            jnp.bool_(True),
        ),
    )


def record(state: State, chosen: Chosen, served: _Served) -> State:
    """With the picks of a round, of which levels do not know yet."""
    size, budget = state.level.shape[0], state.picks.shape[0]
    width = served.places.shape[0]
    picked = chosen.indices[served.places]
    made = jnp.arange(width) < served.made
    place = jnp.where(made, state.made + jnp.arange(width), budget)
    return state._replace(
        taken=state.taken.at[jnp.where(made, picked, size)].set(True, mode="drop"),
        picks=state.picks.at[place].set(picked, mode="drop"),
        scores=state.scores.at[place].set(served.scores, mode="drop"),
        made=state.made + served.made,
    )


@functools.partial(jax.jit, static_argnames=("rule", "candidates"))
def _advance(
    rule: Rule,
    rows: Rows,
    shared: Rows,
    layout: ClassLayout,
    turns: jax.Array,
    state: State,
    stop: jax.Array,
    end: jax.Array,
    *,
    candidates: int,
) -> State:
    """Rounds of picks until at least `stop` and at most `end` are made."""
    width = round_width(candidates, turns.shape[0])

    def round_of_picks(state: State) -> State:
        chosen = choose(rule, rows, shared, layout, turns, state, candidates)
        few = take_rows(rows, chosen.indices)
        margin = rule.margin(state.level, rows, shared)
        limit = jnp.minimum(width, end - state.made)
        level, taken = state.level[chosen.indices], state.taken[chosen.indices]
        served = serve(rule, few, shared, chosen, margin, level, taken, limit)
        picked = take_rows(few, served.places)
        narrow = min(_NARROW, width)
        some = {name: array[:narrow] for name, array in picked.items()}
        level = jax.lax.cond(
            served.made <= narrow,
            lambda level: rule.tell(level, rows, shared, some, served.made),
            lambda level: rule.tell(level, rows, shared, picked, served.made),
            state.level,
        )
        return record(state, chosen, served)._replace(level=level)

    return jax.lax.while_loop(
        lambda state: state.made < jnp.minimum(stop, end), round_of_picks, state
    )


def advance(
    rule: Rule,
    rows: Rows,
    shared: Rows,
    layout: ClassLayout,
    turns: np.ndarray,
    state: State,
    end: int,
    *,
    stop: int | None = None,
    candidates: int = CANDIDATES,
    on_progress: Progress | None = None,
) -> State:
    """Picks on until `end` picks are made (or until at least `stop` are).

    Args:
      rule: how scores follow from picks.
      rows: arrays with the N examples on the first axis.
      shared: scalars.
      layout: of the N examples; its order decides between equal scores.
      turns: (budget,) int32, the class of every pick.
      state: with room for `budget` picks.
      end: at most `budget`. Every class must have an example left at its turns.
      stop: enough picks for now; by default `end`.
      candidates: looked at together; of influence on time and memory only.
      on_progress: called about a hundred times with the picks made and the budget.

    Returns:
      The state after the picks.
    """
    budget = state.picks.shape[0]
    aim = end if stop is None else stop
    step = aim if on_progress is None else max(1, budget // 100)
    made = int(state.made)
    while made < aim:
        state = _advance(
            rule,
            rows,
            shared,
            layout,
            np.asarray(turns, np.int32),
            state,
            np.int32(min(made + step, aim)),
            np.int32(end),
            candidates=candidates,
        )
        made = int(state.made)
        if on_progress is not None:
            on_progress(made, budget)
    return state
