"""What chooses the best record of a group: a teacher model, a replay, an oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from robustjax.data._instruction_records import Record

Outcome = Literal["ranked", "all_dropped", "malformed", "singleton"]
"""How a ranking ended.

`ranked`: at least one record is kept. `all_dropped`: the ranker said that none is
right. `malformed`: nothing that it said could be read, so that nothing is known.
`singleton`: a group of one, which was asked about in its own way; its record is kept
where `order` is (0,) and found wrong where it is ().
"""


class Ranking(NamedTuple):
    """What a ranker says of one group.

    Attributes:
      order: positions in the group, best first, of the records that are kept; what is
        missing was dropped as wrong, and is never appended.
      outcome: of `Outcome`; `order` is empty if it is `all_dropped` or `malformed`.
    """

    order: tuple[int, ...]
    outcome: Outcome


class Ranker(Protocol):
    """Ranks the records inside groups by the quality of their answers."""

    def rank(
        self, instruction_groups: Sequence[Sequence[Record]], seed: int
    ) -> Sequence[Ranking]:
        """A ranking of every group, in the order of the groups.

        What is said of a group depends on that group and the seed alone.

        Args:
          instruction_groups: of one or more records each.
          seed: of all that is drawn, such as the order in which records are shown.
        """
        ...
