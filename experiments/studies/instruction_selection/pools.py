"""From files to pools of records of which it is known which answers are wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from experiments.studies.instruction_selection.config import InstructionSelectionConfig
from experiments.study.flags import errors_name_flags
from robustjax import data
from robustjax.data import HaluEval, Record


class Pools(NamedTuple):
    """All records that occur, and which of them are in the pool of each repeat.

    Attributes:
      records: U of them; two may have one id, but never in one pool.
      score_ids: (U,) their ids in a file of scores: HaluEval's answers keep theirs.
      wrong: (U,) bool, whether people have marked the answer.
      rows: of every repeat, (N,) of the records in its pool.
      own: (J,) rows of records that HaluEval has answered, too.
      others: (J,) rows of the same records with its answers.
    """

    records: tuple[Record, ...]
    score_ids: tuple[str, ...]
    wrong: np.ndarray
    rows: tuple[np.ndarray, ...]
    own: np.ndarray
    others: np.ndarray

    @property
    def description(self) -> str:
        """For people, of the first repeat."""
        rows = self.rows[0]
        wrong = int(self.wrong[rows].sum())
        return (
            f"{len(rows):,} records, {wrong:,} wrong answers ({wrong / len(rows):.1%})"
        )

    def limited(self, there: np.ndarray, problem: str) -> Pools:
        """The same pools without the records (U,) that are not there.

        Raises:
          ValueError: `problem`, where a pool without a wrong answer is left.
        """
        rows = tuple(mine[there[mine]] for mine in self.rows)
        if not all(self.wrong[mine].any() for mine in rows):
            raise ValueError(problem)
        return self._replace(rows=rows)

    def digests(self) -> np.ndarray:
        """(U, 32) uint8, of every record's texts."""
        return np.array(
            [
                list(
                    hashlib.sha256(
                        "\0".join((r.id, r.instruction, r.input, r.output)).encode()
                    ).digest()
                )
                for r in self.records
            ],
            np.uint8,
        )


def read_pools(
    config: InstructionSelectionConfig,
    narrowed: Callable[[Pools], Pools] | None = None,
) -> Pools:
    """Reads the files and draws what each repeat has.

    Args:
      config: every flag.
      narrowed: leaves records out, before `config.limit` of them are drawn.

    Raises:
      ValueError: a file that cannot be read, records that do not join, fewer wrong
        answers than are wanted, or none among the records that are drawn.
    """
    pools = _whole(config)
    if narrowed is not None:
        pools = narrowed(pools)
    if not config.limit:
        return pools
    rows = []
    for repeat, mine in enumerate(pools.rows):
        generator = np.random.default_rng([config.seed, repeat, 1])
        drawn = np.sort(generator.permutation(mine)[: config.limit])
        if not pools.wrong[drawn].any():
            raise ValueError(
                f"limit: got {config.limit}, expected enough for a wrong answer: "
                f"repeat {repeat} has none"
            )
        rows.append(drawn)
    return pools._replace(rows=tuple(rows))


def _whole(config: InstructionSelectionConfig) -> Pools:
    if config.mix == "own":
        return _own(
            config, data.load_halueval(place_of(config.dataset), name="dataset")
        )
    halueval = data.load_halueval(place_of(config.halueval), name="halueval")
    found = data.load_instructions(
        place_of(config.dataset), incomplete="drop", name="dataset"
    )
    with errors_name_flags(records="dataset"):
        joined = data.join_halueval(found.records, halueval)
    if config.mix == "add":
        return _added(config, found.records, halueval, joined)
    return _replaced(config, found.records, halueval, joined)


def place_of(path: str) -> str:
    """A path as it is, or under $ROBUSTJAX_DATA where only that is there."""
    root = os.environ.get("ROBUSTJAX_DATA")
    inside = pathlib.Path(root or "", path)
    return str(inside) if root and not os.path.exists(path) else path


def _draws(config: InstructionSelectionConfig, marked: np.ndarray) -> list[np.ndarray]:
    """Of every repeat, the marked rows that are in its pool."""
    count = config.wrong_count or marked.size
    if not 0 < count <= marked.size:
        raise ValueError(
            f"wrong_count: got {config.wrong_count}, expected at most {marked.size}, "
            f"the wrong answers that there are with mix={config.mix}"
        )
    return [
        np.sort(
            np.random.default_rng([config.seed, repeat]).permutation(marked)[:count]
        )
        for repeat in range(config.repeats)
    ]


def _own(config: InstructionSelectionConfig, halueval: HaluEval) -> Pools:
    marked = np.flatnonzero(halueval.hallucinated)
    clean = np.flatnonzero(~halueval.hallucinated)
    rows = [np.sort(np.concatenate([clean, own])) for own in _draws(config, marked)]
    ids = tuple(each.id for each in halueval.records)
    nothing = np.zeros(0, np.int64)
    wrong = halueval.hallucinated
    return Pools(halueval.records, ids, wrong, tuple(rows), nothing, nothing)


def _replaced(
    config: InstructionSelectionConfig,
    records: tuple[Record, ...],
    halueval: HaluEval,
    joined: data.HaluEvalJoin,
) -> Pools:
    size = len(records)
    others = tuple(
        dataclasses.replace(
            records[row], output=halueval.records[answer].output, source="halueval"
        )
        for row, answer in zip(joined.rows, joined.answers)
    )
    marked = size + np.flatnonzero(joined.hallucinated)
    rows = []
    for drawn in _draws(config, marked):
        mine = np.arange(size)
        mine[joined.rows[drawn - size]] = drawn
        rows.append(mine[joined.rows] if config.mix == "join" else mine)
    return Pools(
        (*records, *others),
        _score_ids(records, halueval, joined.answers),
        np.concatenate([np.zeros(size, bool), joined.hallucinated]),
        tuple(rows),
        joined.rows.astype(np.int64),
        size + np.arange(len(others)),
    )


def _added(
    config: InstructionSelectionConfig,
    records: tuple[Record, ...],
    halueval: HaluEval,
    joined: data.HaluEvalJoin,
) -> Pools:
    # A question that is there twice would be a cluster of its own.
    known = {each.question for each in records}
    free = [
        row
        for row in np.flatnonzero(halueval.hallucinated).tolist()
        if halueval.records[row].question not in known
    ]
    base = _replaced(
        dataclasses.replace(config, wrong_count=0), records, halueval, joined
    )
    start = len(base.records)
    marked = start + np.arange(len(free))
    rows = [
        np.concatenate([np.arange(len(records)), drawn])
        for drawn in _draws(config, marked)
    ]
    return Pools(
        (*base.records, *(halueval.records[row] for row in free)),
        (*base.score_ids, *(halueval.records[row].id for row in free)),
        np.concatenate([base.wrong, np.ones(len(free), bool)]),
        tuple(rows),
        base.own,
        base.others,
    )


def _score_ids(
    records: tuple[Record, ...], halueval: HaluEval, answers: np.ndarray
) -> tuple[str, ...]:
    return (
        *(each.id for each in records),
        *(halueval.records[row].id for row in answers),
    )
