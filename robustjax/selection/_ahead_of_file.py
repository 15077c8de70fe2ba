"""Greedy selection of rows of a file, which is read once for every round of picks.

The rounds of `_ahead`, with the same picks: levels and a few numbers per example are in
memory, the rows of the candidates are read by their numbers, and the file goes by,
block by block, when all examples are to hear about the picks of a round.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from robustjax.row_source import RowSource, row_blocks
from robustjax.selection import _ahead as ahead
from robustjax.selection._class_layout import ClassLayout
from robustjax.selection._greedy import Progress

POINTS = "points"
"""The name among a rule's rows of those that are read."""

_choose = jax.jit(ahead.choose, static_argnames=("rule", "candidates"))


@functools.partial(jax.jit, static_argnames="rule")
def _serve(
    rule: ahead.Rule,
    points: jax.Array,
    light: ahead.Rows,
    shared: ahead.Rows,
    chosen: ahead.Chosen,
    state: ahead.State,
    end: jax.Array,
) -> tuple[ahead.State, ahead.Rows, jax.Array]:
    """The state with the picks of a round, their rows, and how many they are."""
    few = {POINTS: points, **ahead.take_rows(light, chosen.indices)}
    margin = rule.margin(state.level, light, shared)
    limit = jnp.minimum(chosen.slot_of.shape[0], end - state.made)
    level, taken = state.level[chosen.indices], state.taken[chosen.indices]
    served = ahead.serve(rule, few, shared, chosen, margin, level, taken, limit)
    picked = ahead.take_rows(few, served.places)
    return ahead.record(state, chosen, served), picked, served.made


@functools.partial(jax.jit, static_argnames="rule")
def _tell(
    rule: ahead.Rule,
    level: jax.Array,
    rows: ahead.Rows,
    shared: ahead.Rows,
    picked: ahead.Rows,
    count: jax.Array,
) -> jax.Array:
    return rule.tell(level, rows, shared, picked, count)


@dataclasses.dataclass(frozen=True)
class OfFile:
    """Examples in a file, but for some numbers of each. Implements `Examples`.

    Attributes:
      source: (N, d) float32, the rule's rows by the name `POINTS`.
      light: its other rows, (N,) on the host.
    """

    source: RowSource
    light: dict[str, np.ndarray]

    def _tell_all(
        self,
        rule: ahead.Rule,
        shared: ahead.Rows,
        level: np.ndarray,
        picked: ahead.Rows,
        count: int,
    ) -> None:
        """Brings levels (N,) up to date by the first of some picks, in place."""
        for here in row_blocks(self.source):
            few = {name: array[here] for name, array in self.light.items()}
            rows = {POINTS: self.source[here], **few}
            level[here] = _tell(
                rule, level[here], rows, shared, picked, np.int32(count)
            )

    def absorb(
        self,
        rule: ahead.Rule,
        shared: ahead.Rows,
        state: ahead.State,
        given: np.ndarray,
        width: int,
    ) -> ahead.State:
        """See `Examples`."""
        level = np.array(state.level)
        for start in range(0, len(given), width):
            some = given[start : start + width]
            count = len(some)
            some = np.pad(some, (0, width - count), mode="edge")
            few = {
                name: jax.device_put(each[some]) for name, each in self.light.items()
            }
            picked = {POINTS: jax.device_put(self.source[some]), **few}
            self._tell_all(rule, shared, level, picked, count)
        return state._replace(level=jax.device_put(level))

    def advance(
        self,
        rule: ahead.Rule,
        shared: ahead.Rows,
        layout: ClassLayout,
        turns: np.ndarray,
        state: ahead.State,
        end: int,
        *,
        stop: int | None = None,
        candidates: int,
        on_progress: Progress | None,
    ) -> ahead.State:
        """See `Examples`; progress is told after every round."""
        level = np.array(state.level)
        on_device = jax.device_put(self.light)
        while int(state.made) < (end if stop is None else stop):
            chosen = _choose(
                rule, on_device, shared, layout, turns, state, candidates=candidates
            )
            points = self.source[np.asarray(chosen.indices)]
            state, picked, count = _serve(
                rule, points, on_device, shared, chosen, state, np.int32(end)
            )
            self._tell_all(rule, shared, level, picked, int(count))
            state = state._replace(level=jax.device_put(level.copy()))
            if on_progress is not None:
                on_progress(int(state.made), state.picks.shape[0])
        return state
