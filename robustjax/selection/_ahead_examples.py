"""The examples among which is picked ahead; those of a file are in `_ahead_of_file`."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np

from robustjax.placement import Placement
from robustjax.selection import _ahead as ahead
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
