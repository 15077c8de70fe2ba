"""What a table of answers changed, in one sentence."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from robustjax.answers._said import NONE, OPEN, UNKNOWN
from robustjax.answers._standing import Standing


class TakenIn(NamedTuple):
    """What was taken in, in numbers of examples.

    Attributes:
      confirmed: whose label stays.
      changed: whose label is another one now.
      labeled: that had no label.
      none: that belong to none of the classes.
      unknown: looked at and not decided.
      disputed: of which people say different things.
      reopened: whose answer was taken back.
      unchanged: answered as they had been before.
      still_open: questions of the round without an answer.
    """

    confirmed: int
    changed: int
    labeled: int
    none: int
    unknown: int
    disputed: int
    reopened: int
    unchanged: int
    still_open: int

    @property
    def total(self) -> int:
        """Examples of which something new was said."""
        return sum(self[:7])

    def __str__(self) -> str:
        """Such as "took in 5: 2 confirmed, 3 changed; 15 still open"."""
        words = {
            "confirmed": self.confirmed,
            "changed": self.changed,
            "labeled": self.labeled,
            "none of the classes": self.none,
            "not known": self.unknown,
            "disputed": self.disputed,
            "open again": self.reopened,
        }
        parts = ", ".join(f"{n:,} {word}" for word, n in words.items() if n)
        text = f"took in {self.total:,}" + (f": {parts}" if parts else "")
        if self.unchanged:
            text += f"; {self.unchanged:,} said again what was known"
        return f"{text}; {self.still_open:,} still open"


def taken_in(
    before: Standing,
    after: Standing,
    given: np.ndarray,
    spoken: np.ndarray,
    asked: np.ndarray,
) -> TakenIn:
    """Compares what holds before and after some answers.

    Args:
      before: without them.
      after: with them.
      given: (N,) the labels before, below 0 where there is none.
      spoken: (S,) rows that the answers are about.
      asked: (Q,) rows of the round that waits.
    """
    rows = np.unique(np.asarray(spoken, np.int64))
    new = (before.said[rows] != after.said[rows]) | (
        before.disputed[rows] != after.disputed[rows]
    )
    changed_rows = rows[new]
    said, disputed = after.said[changed_rows], after.disputed[changed_rows]
    label = np.asarray(given)[changed_rows]
    is_class = said >= 0
    open_now = (after.said[asked] == OPEN) & ~after.disputed[asked]
    return TakenIn(
        confirmed=int(np.sum(is_class & (said == label))),
        changed=int(np.sum(is_class & (said != label) & (label >= 0))),
        labeled=int(np.sum(is_class & (label < 0))),
        none=int(np.sum(said == NONE)),
        unknown=int(np.sum(said == UNKNOWN)),
        disputed=int(np.sum(disputed)),
        reopened=int(np.sum((said == OPEN) & ~disputed)),
        unchanged=int(np.sum(~new)),
        still_open=int(np.sum(open_now)),
    )
