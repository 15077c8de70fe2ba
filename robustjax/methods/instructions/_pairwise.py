"""Which of two models answers better, by a judge who sees both orders.

Dubois, Li, Taori, Zhang, Gulrajani, Ba, Guestrin, Liang, Hashimoto, "AlpacaFarm",
NeurIPS 2023, has the win rate; that a judge who contradicts itself says "tie" is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from robustjax.data._instruction_records import Record
from robustjax.methods.instructions._position_bias import Call
from robustjax.methods.instructions._prompted_ranker import (
    PromptedRanker,
    TeacherReport,
)

Verdict = Literal["win", "tie", "loss", "malformed"]
_ORDERS = 2


class PairwiseResult(NamedTuple):
    """What a judge says of pairs of answers, in their order.

    Attributes:
      verdicts: of the first answers. "win" and "loss" where both orders agree, "tie"
        where they do not or both answers are equal, "malformed" where an answer of
        the judge could not be read.
      report: of the judge; `first_by_position(report.calls)` is its position bias.
    """

    verdicts: tuple[Verdict, ...]
    report: TeacherReport

    def count(self, verdict: Verdict) -> int:
        """How many pairs ended so."""
        return self.verdicts.count(verdict)

    @property
    def _points(self) -> np.ndarray:
        worth = {"win": 1.0, "tie": 0.5, "loss": 0.0}
        return np.array([worth[v] for v in self.verdicts if v in worth])

    @property
    def win_rate(self) -> float:
        """(wins + ties / 2) / pairs that were judged; NaN without any."""
        points = self._points
        return float(points.mean()) if len(points) else float("nan")

    @property
    def standard_error(self) -> float:
        """Of the win rate, over pairs; NaN with fewer than two."""
        points = self._points
        if len(points) < 2:
            return float("nan")
        return float(points.std(ddof=1) / np.sqrt(len(points)))


def judge_pairs(
    questions: Sequence[Record],
    first: Sequence[str],
    second: Sequence[str],
    judge: PromptedRanker,
    *,
    seed: int = 0,
    on_pairs: Callable[[int], None] | None = None,
) -> PairwiseResult:
    """Compares two answers to every question, each pair in both orders.

    Args:
      questions: records, of whose outputs nothing is used.
      first: an answer to each.
      second: another.
      judge: a teacher that shows pairs in both orders.
      seed: of which order comes first.
      on_pairs: told how many pairs are done, after each part of them.

    Raises:
      ValueError: no questions, numbers of answers that differ, or a judge that does
        not see both orders.
    """
    if not len(questions) == len(first) == len(second) >= 1:
        raise ValueError(
            f"first: got {len(first)} answers and {len(second)} others to "
            f"{len(questions)} questions, expected one each to at least one"
        )
    if judge.calls not in (None, _ORDERS):
        raise ValueError(
            f"judge: got calls={judge.calls}, expected {_ORDERS}, both orders"
        )
    pairs = [
        [
            Record(f"{each.id}/{name}", each.instruction, each.input, text)
            for name, text in (("first", one), ("second", other))
        ]
        for each, one, other in zip(questions, first, second)
    ]
    unequal = [at for at, (one, other) in enumerate(zip(first, second)) if one != other]
    _, report = judge.rank_with_report([pairs[at] for at in unequal], seed, on_pairs)
    verdicts: list[Verdict] = ["tie"] * len(pairs)
    for at, calls in zip(unequal, report.calls):
        verdicts[at] = _verdict(calls)
    return PairwiseResult(tuple(verdicts), report)


def _verdict(calls: Sequence[Call]) -> Verdict:
    if any(call.outcome == "malformed" for call in calls):
        return "malformed"
    signs = {_sign(call) for call in calls}
    if signs == {1}:
        return "win"
    return "loss" if signs == {-1} else "tie"


def _sign(call: Call) -> int:
    """1 if the first answer is preferred, -1 if the second, 0 if neither."""
    # What is dropped stands below all levels.
    one, other = (level if level >= 0 else np.inf for level in call.levels)
    return int(one < other) - int(one > other)
