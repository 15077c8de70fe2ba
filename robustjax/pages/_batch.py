"""What a page shows: examples with their labels, and what may be answered."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from typing import NamedTuple


class Neighbor(NamedTuple):
    """A labelled example near the one in question.

    Attributes:
      id: of the example.
      label: the name of its class.
      distance: from the one in question, or None.
      text: what there is to read of it.
      picture: a PNG or JPEG file, or None.
    """

    id: int | str
    label: str
    distance: float | None = None
    text: str = ""
    picture: bytes | None = None


@dataclasses.dataclass(frozen=True)
class Card:
    """An example in question.

    Attributes:
      id: of the example.
      current: the name of its class by now, or "" without one.
      suggested: what is suggested instead, or "".
      score: by which cards may be sorted, or None.
      text: what there is to read of it.
      picture: a PNG or JPEG file, or None.
      neighbors: labelled ones, the nearest first.
      drawn: whether it was drawn at random from what is not listed, to estimate how
        many wrong labels are there.
    """

    id: int | str
    current: str = ""
    suggested: str = ""
    score: float | None = None
    text: str = ""
    picture: bytes | None = None
    neighbors: tuple[Neighbor, ...] = ()
    drawn: bool = False


@dataclasses.dataclass(frozen=True)
class Batch:
    """A page's examples and what may be said of them.

    Attributes:
      title: of the page.
      class_names: C names.
      cards: in the order of interest.
      score_name: what the scores are.
      ranked: whether the order is by suspicion, which an estimate of the wrong labels
        below the last answer rests on.
      others: labelled examples of the data set that are not among the cards.
      none_of_them: whether an example may belong to no class.
    """

    title: str
    class_names: Sequence[str]
    cards: Sequence[Card]
    score_name: str = "score"
    ranked: bool = False
    others: int = 0
    none_of_them: bool = True

    def __post_init__(self) -> None:
        """Raises `ValueError` for cards of one id, unknown classes, infinite scores."""
        seen = set()
        known = {"", *self.class_names}
        for card in self.cards:
            if card.id in seen:
                raise ValueError(f"cards: two have the id {card.id!r}, expected one")
            seen.add(card.id)
            for name in ("current", "suggested"):
                if getattr(card, name) not in known:
                    raise ValueError(
                        f"cards: {name} of {card.id!r} is {getattr(card, name)!r}, "
                        "expected the name of a class"
                    )
            if card.score is not None and not math.isfinite(card.score):
                raise ValueError(
                    f"cards: the score of {card.id!r} is {card.score}, expected a "
                    "finite number"
                )
        if self.others < 0:
            raise ValueError(f"others: got {self.others}, expected at least 0")

    @property
    def digest(self) -> str:
        """Names the questions: a browser keeps answers under it."""
        parts = [
            list(self.class_names),
            [[card.id, card.current, card.suggested] for card in self.cards],
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
