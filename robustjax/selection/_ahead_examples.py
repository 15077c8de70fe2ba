"""The examples among which is picked ahead: on devices, or in a file."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import jax
import numpy as np

from robustjax.placement import Placement
from robustjax.row_source import RowSource
from robustjax.selection import _ahead as ahead
from robustjax.selection import _ahead_of_file as of_file
from robustjax.selection._class_layout import ClassLayout
from robustjax.selection._greedy import Progress


class Examples(Protocol):
    """N examples."""

    def absorb(
        self,
        rule: ahead.Rule,
        shared: ahead.Rows,
        state: ahead.State,
        given: np.ndarray,
        width: int,
    ) -> ahead.State:
        """With the levels after given picks (M,), `width` of them at a time."""

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
        """Picks on until `end` are made, see `_ahead.advance`."""


@dataclasses.dataclass(frozen=True)
class Resident:
    """On one device, or divided among several.

    Attributes:
      place: which.
      rows: of the rule.
    """

    place: Placement
    rows: ahead.Rows

    def absorb(
        self,
        rule: ahead.Rule,
        shared: ahead.Rows,
        state: ahead.State,
        given: np.ndarray,
        width: int,
    ) -> ahead.State:
        """See `Examples`."""
        level = ahead.absorb_given(
            rule, state.level, self.rows, shared, given, width=width
        )
        return state._replace(level=level)

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
        """See `Examples`."""
        return ahead.advance(
            rule,
            self.rows,
            self.place.whole(shared),
            self.place.whole(layout),
            turns,
            state,
            end,
            stop=stop,
            candidates=candidates,
            on_progress=on_progress,
        )


@dataclasses.dataclass(frozen=True)
class OfFile:
    """In a file, but for some numbers per example.

    Attributes:
      source: (N, d) float32, the rule's rows by the name `of_file.POINTS`.
      light: its other rows, (N,) on the host.
    """

    source: RowSource
    light: dict[str, np.ndarray]

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
            picked = {of_file.POINTS: jax.device_put(self.source[some]), **few}
            of_file.spread(rule, self.source, self.light, shared, level, picked, count)
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
        """See `Examples`."""
        return of_file.advance(
            rule,
            self.source,
            self.light,
            shared,
            layout,
            turns,
            state,
            end,
            stop=stop,
            candidates=candidates,
            on_progress=on_progress,
        )
