"""A language model as the ranker: FP-Instruction's teacher.

Prompts, the order in which records are shown, retries and what is made of the answers
are the same for every model behind an `Asker`.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple, get_args

from robustjax import checks
from robustjax.data._instruction_records import Record
from robustjax.methods.instructions import _ranking_prompt as prompts
from robustjax.methods.instructions._kemeny import MOST_ITEMS
from robustjax.methods.instructions._position_bias import (
    MOST_CYCLIC,
    Call,
    combine_calls,
    group_generator,
    presentation_orders,
)
from robustjax.methods.instructions._question import (
    Answer,
    Asker,
    AskReport,
    Question,
    add_reports,
)
from robustjax.methods.instructions._ranker import Ranking
from robustjax.methods.instructions._ranking_grammar import (
    ParsedRanking,
    parse_decision,
    parse_ranking,
)
from robustjax.methods.instructions._ranking_prompt import PromptStyle

Form = Literal["text", "choice", "letters"]
"""What is asked for.

`text`: a ranking in the grammar, which a model may get wrong. `choice`: the same, where
the endpoint or the model can only answer one of the possible rankings (groups of at
most 5; larger ones are asked for text). `letters`: the log-probabilities of the items'
letters as the first token of the answer: one token, always readable, nothing dropped.
"""

_FORMS = get_args(Form)
# Identifiers, signs and spaces of a long ranking, with room for a word before it.
_RANKING_TOKENS = 128
_WORD_TOKENS = 8


class TeacherReport(NamedTuple):
    """What a teacher was asked and how it answered.

    Attributes:
      ranked: groups.
      all_dropped: groups.
      malformed: groups.
      singletons: groups of one record.
      found_wrong: of the singletons.
      undecided: of the singletons, neither yes nor no: kept.
      lenient: answers that were read although they are not in the exact grammar.
      retried: answers that could not be read and were asked for again.
      cut: records of which the prompts show less than the whole.
      asked: see `AskReport`.
      calls: of each group, in the order of the groups; () for singletons.
    """

    ranked: int = 0
    all_dropped: int = 0
    malformed: int = 0
    singletons: int = 0
    found_wrong: int = 0
    undecided: int = 0
    lenient: int = 0
    retried: int = 0
    cut: int = 0
    asked: AskReport = AskReport()
    calls: tuple[tuple[Call, ...], ...] = ()


class _Asked(NamedTuple):
    """A question about a group, and in which order it shows the group."""

    group: int
    shown: tuple[int, ...]


class _Read(NamedTuple):
    call: Call
    lenient: bool


@dataclasses.dataclass(frozen=True)
class PromptedRanker:
    """Ranks groups by asking a language model. Implements `Ranker`.

    Attributes:
      asker: an `Endpoint`, a `LocalModel`, or what answers like them.
      form: see `Form`.
      calls: in how many orders a group is shown, or None for one per item; of text and
        choices 5 at most. Rounded up to whole rounds of cyclic orders, see
        `presentation_orders`.
      retries: of an answer that cannot be read; all but the first with a reminder of
        the format, as is a single one.
      style: see `PromptStyle`.
      chunk: how many groups are asked about at once.
      exact: whether a ranking counts only in the exact grammar: what small models
        ramble often holds a "[1]" that ranks nothing.
    """

    asker: Asker
    form: Form = "text"
    calls: int | None = None
    retries: int = 2
    style: PromptStyle = prompts.DEFAULT_STYLE
    chunk: int = 256
    exact: bool = False

    def __post_init__(self) -> None:
        checks.one_of("form", self.form, _FORMS)
        checks.at_least("retries", self.retries, 0)
        checks.at_least("chunk", self.chunk, 1)
        checks.at_least("max_characters", self.style.max_characters, 1)
        if self.calls is not None:
            checks.at_least("calls", self.calls, 1)

    def rank(
        self, instruction_groups: Sequence[Sequence[Record]], seed: int
    ) -> list[Ranking]:
        """See `Ranker.rank`; `rank_with_report` also tells what happened."""
        return self.rank_with_report(instruction_groups, seed)[0]

    def rank_with_report(
        self,
        instruction_groups: Sequence[Sequence[Record]],
        seed: int,
        on_groups: Callable[[int], None] | None = None,
    ) -> tuple[list[Ranking], TeacherReport]:
        """A ranking of every group, in the order of the groups, and the report.

        Args:
          instruction_groups: of 1 to 14 records each.
          seed: of the orders in which records are shown.
          on_groups: told how many groups are done, after each chunk of them; an error
            that it raises ends the work.

        Raises:
          ValueError: an empty group, or one of more than 14 records.
        """
        _check_groups(instruction_groups)
        rankings: list[Ranking] = []
        reports: list[TeacherReport] = []
        for start in range(0, len(instruction_groups), self.chunk):
            part = instruction_groups[start : start + self.chunk]
            ranked, report = self._rank_chunk(part, seed)
            rankings += ranked
            reports.append(report)
            if on_groups is not None:
                on_groups(len(rankings))
        return rankings, _summed(reports)

    def questions(
        self, instruction_groups: Sequence[Sequence[Record]], seed: int
    ) -> Iterator[Question]:
        """All that would be asked if every answer could be read, for an estimate."""
        _check_groups(instruction_groups)
        for group, shown in self._plan(instruction_groups, seed):
            yield self._question(instruction_groups[group], shown, 0)

    def _plan(self, groups: Sequence[Sequence[Record]], seed: int) -> list[_Asked]:
        plan = []
        for at, group in enumerate(groups):
            generator = group_generator(seed, [record.id for record in group])
            calls = 1 if len(group) == 1 else self.calls
            orders = presentation_orders(
                len(group), calls, generator, cyclic=self.form == "letters"
            )
            plan += [_Asked(at, shown) for shown in orders]
        return plan

    def _question(
        self, group: Sequence[Record], shown: tuple[int, ...], attempt: int
    ) -> Question:
        letters = self.form == "letters"
        # The first of two retries asks the same again, the second one reminds.
        remind = not letters and attempt > 0 and attempt >= min(self.retries, 2)
        if len(group) == 1:
            words = ("Yes", "No")
            return Question(
                prompts.singleton_messages(group[0], self.style, remind=remind),
                _WORD_TOKENS,
                choices=words if self.form == "choice" else (),
                letters=words if letters else (),
                attempt=attempt,
            )
        records = [group[at] for at in shown]
        few = len(group) <= MOST_CYCLIC
        return Question(
            prompts.ranking_messages(
                records, self.style, letters=letters, remind=remind
            ),
            1 if letters else _RANKING_TOKENS,
            choices=(
                prompts.possible_answers(len(group))
                if self.form == "choice" and few
                else ()
            ),
            letters=tuple(prompts.LETTERS[: len(group)]) if letters else (),
            attempt=attempt,
        )

    def _rank_chunk(
        self, groups: Sequence[Sequence[Record]], seed: int
    ) -> tuple[list[Ranking], TeacherReport]:
        plan = self._plan(groups, seed)
        read: dict[_Asked, _Read] = {}
        asked_reports, retried = [], 0
        left = plan
        for attempt in range(1 + self.retries):
            retried += len(left) if attempt else 0
            questions = [
                self._question(groups[q.group], q.shown, attempt) for q in left
            ]
            answers, report = self.asker.ask(questions)
            asked_reports.append(report)
            again = []
            for asked, answer in zip(left, answers):
                read[asked] = _understood(answer, asked.shown, self.exact)
                if (
                    read[asked].call.outcome == "malformed"
                    and answer.status != "failed"
                ):
                    again.append(asked)
            left = again
            if not left:
                break
        calls: list[list[Call]] = [[] for _ in groups]
        for asked in plan:
            calls[asked.group].append(read[asked].call)
        rankings = [
            combine_calls(of) if len(group) > 1 else _singleton(of[0])
            for group, of in zip(groups, calls)
        ]
        counted = _counted(groups, rankings, calls)
        return rankings, counted._replace(
            lenient=sum(
                one.lenient and one.call.outcome != "malformed" for one in read.values()
            ),
            retried=retried,
            cut=sum(
                prompts.is_cut(record, self.style)
                for group in groups
                for record in group
            ),
            asked=add_reports(asked_reports),
        )


def _counted(
    groups: Sequence[Sequence[Record]],
    rankings: Sequence[Ranking],
    calls: Sequence[Sequence[Call]],
) -> TeacherReport:
    """The part of the report that the rankings tell."""
    outcomes = collections.Counter(ranking.outcome for ranking in rankings)
    return TeacherReport(
        ranked=outcomes["ranked"],
        all_dropped=outcomes["all_dropped"],
        malformed=outcomes["malformed"],
        singletons=outcomes["singleton"],
        found_wrong=sum(ranking == Ranking((), "singleton") for ranking in rankings),
        undecided=sum(
            of[0].outcome == "malformed"
            for group, of in zip(groups, calls)
            if len(group) == 1
        ),
        calls=tuple(
            tuple(of) if len(group) > 1 else () for group, of in zip(groups, calls)
        ),
    )


def _check_groups(groups: Sequence[Sequence[Record]]) -> None:
    for at, group in enumerate(groups):
        if not 1 <= len(group) <= MOST_ITEMS:
            raise ValueError(
                f"instruction_groups: group {at} has {len(group)} records, expected 1 "
                f"to {MOST_ITEMS}"
            )


def _understood(answer: Answer, shown: tuple[int, ...], exact: bool) -> _Read:
    """An answer as a call; of a single record, level 0 is right and -1 is wrong."""
    if answer.scores:
        return _Read(_scored_call(answer.scores, shown), False)
    if len(shown) == 1:
        wrong = parse_decision(answer.text)
        if wrong is None:
            return _Read(Call(shown, (-1,), "malformed"), False)
        outcome: Literal["all_dropped", "ranked"] = "all_dropped" if wrong else "ranked"
        return _Read(Call(shown, (-1 if wrong else 0,), outcome), False)
    whole = answer.status != "cut"
    parsed = parse_ranking(answer.text, len(shown), whole=whole)
    if exact and parsed.lenient:
        parsed = ParsedRanking((), "malformed", True)
    levels = [-1] * len(shown)
    for level, place in enumerate(parsed.order):
        levels[shown[place]] = level
    return _Read(Call(shown, tuple(levels), parsed.outcome), parsed.lenient)


def _scored_call(scores: tuple[float, ...], shown: tuple[int, ...]) -> Call:
    if not any(math.isfinite(score) for score in scores):
        return Call(shown, (-1,) * len(shown), "malformed")
    if len(shown) == 1:
        yes, no = scores
        return Call(
            shown, (-1 if yes > no else 0,), "all_dropped" if yes > no else "ranked"
        )
    distinct = sorted(set(scores), reverse=True)
    levels = [0] * len(shown)
    by_record = [0.0] * len(shown)
    for place, score in enumerate(scores):
        levels[shown[place]] = distinct.index(score)
        by_record[shown[place]] = score
    return Call(shown, tuple(levels), "ranked", tuple(by_record))


def _singleton(call: Call) -> Ranking:
    return Ranking(() if call.outcome == "all_dropped" else (0,), "singleton")


def _summed(reports: Sequence[TeacherReport]) -> TeacherReport:
    counts = {
        name: sum(getattr(report, name) for report in reports)
        for name, default in TeacherReport._field_defaults.items()
        if default == 0
    }
    return TeacherReport(
        asked=add_reports(report.asked for report in reports),
        calls=tuple(calls for report in reports for calls in report.calls),
        **counts,
    )
