"""Rankings from a file of JSON lines: those of a teacher asked before, or of people."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from robustjax.data import Record
from robustjax.data._located_json import read_objects
from robustjax.files import write_atomically
from robustjax.methods.instructions._ranker import Ranking

_OUTCOMES = ("ranked", "all_dropped", "malformed", "singleton")


class ReplayRanker:
    """Gives back rankings that are written down, by the ids of each group.

    Every line is an object: `ids`, the group; `order`, the ids that are kept, best
    first; and `outcome`, see `Ranking`, which may be left out where it follows.
    """

    def __init__(self, path: str | os.PathLike[str], *, name: str = "rankings"):
        """Reads the file.

        Args:
          path: JSON lines, as `save_rankings` writes them.
          name: what to call it in an error.

        Raises:
          ValueError: a file that cannot be read, a group that is there twice, an
            order that is none of its ids, an unknown outcome; with its line.
        """
        self._name, self._shown = name, repr(os.fspath(path))
        self._known: dict[frozenset[str], tuple[tuple[str, ...], str]] = {}
        for place, row in read_objects(path, name=name):
            where = f"{name}: {place} of {self._shown}"
            ids, order = _ids(row, "ids", where), _ids(row, "order", where)
            if not ids or not set(order) <= set(ids):
                raise ValueError(f"{where}: the order is not one of its ids")
            if frozenset(ids) in self._known:
                raise ValueError(f"{where} ranks a group that is ranked before")
            natural = "ranked" if order else "all_dropped"
            outcome = row.get("outcome", "singleton" if len(ids) == 1 else natural)
            if outcome not in _OUTCOMES:
                raise ValueError(
                    f"{where} has outcome {outcome!r}, expected one of "
                    f"{', '.join(_OUTCOMES)}"
                )
            self._known[frozenset(ids)] = order, outcome

    def rank(
        self, instruction_groups: Sequence[Sequence[Record]], seed: int
    ) -> list[Ranking]:
        """See `Ranker`; the seed changes nothing.

        Raises:
          ValueError: a group that the file does not hold.
        """
        del seed
        found = []
        missing = 0
        for group in instruction_groups:
            place = {each.id: i for i, each in enumerate(group)}
            if frozenset(place) not in self._known:
                missing += 1
                continue
            order, outcome = self._known[frozenset(place)]
            found.append(Ranking(tuple(place[each] for each in order), outcome))  # type: ignore[arg-type]
        if missing:
            raise ValueError(
                f"{self._name}: {self._shown} lacks {missing} of "
                f"{len(instruction_groups)} groups; was it made with the same records, "
                "embeddings, numbers and seed?"
            )
        return found


def save_rankings(
    path: str | os.PathLike[str],
    instruction_groups: Sequence[Sequence[Record]],
    rankings: Sequence[Ranking],
) -> None:
    """Writes rankings for `ReplayRanker`.

    Args:
      path: of the file, which appears when it is complete.
      instruction_groups: what was ranked.
      rankings: of every group.

    Raises:
      ValueError: not one ranking for every group.
    """
    if len(rankings) != len(instruction_groups):
        raise ValueError(
            f"rankings: got {len(rankings)} for {len(instruction_groups)} groups"
        )
    lines = [
        json.dumps(
            {
                "ids": [each.id for each in group],
                "order": [group[i].id for i in ranking.order],
                "outcome": ranking.outcome,
            },
            ensure_ascii=False,
        )
        for group, ranking in zip(instruction_groups, rankings)
    ]
    write_atomically(path, "".join(f"{line}\n" for line in lines))


def _ids(row: dict, key: str, where: str) -> tuple[str, ...]:
    values = row.get(key)
    good = isinstance(values, list) and all(isinstance(v, str) for v in values)
    if not good or len(set(values)) < len(values):  # type: ignore[arg-type]
        raise ValueError(f"{where}: {key} is not a list of different ids")
    return tuple(values)  # type: ignore[arg-type]
