"""Judged pairs: both orders, ties, and judges that prefer a position."""

from __future__ import annotations

import math

import pytest

from robustjax.data import Record
from robustjax.methods import instructions
from robustjax.methods.instructions import Answer, AskReport

QUESTIONS = [Record(str(n), f"Question {n}?", "", "unused") for n in range(5)]
GOOD, BAD = ["good"] * 5, ["bad"] * 5


class _Judge:
    """Answers by what it is shown: (text of item 1, text of item 2) -> answer."""

    def __init__(self, answer):
        self.answer = answer
        self.shown = []

    def ask(self, questions):
        answers = []
        for question in questions:
            items = [m.content for m in question.messages if m.content.startswith("[")]
            shown = tuple("good" if '"good"' in item else "bad" for item in items)
            self.shown.append(shown)
            answers.append(Answer(self.answer(shown)))
        return answers, AskReport(questions=len(questions), requests=len(questions))


def _judged(answer, first=GOOD, second=BAD, **options):
    asker = _Judge(answer)
    judge = instructions.PromptedRanker(asker, **{"retries": 0, **options})
    return instructions.judge_pairs(QUESTIONS, first, second, judge), asker


def _honest(shown):
    place = shown.index("good") + 1
    return f"[{place}] > [{3 - place}]"


def test_an_honest_judge():
    won, asker = _judged(_honest)
    assert won.verdicts == ("win",) * 5
    assert sorted(asker.shown) == [("bad", "good")] * 5 + [("good", "bad")] * 5
    lost, _ = _judged(_honest, BAD, GOOD)
    assert lost.verdicts == ("loss",) * 5
    assert (won.win_rate, lost.win_rate) == (1.0, 0.0)


def test_a_judge_that_prefers_a_position_says_tie():
    result, _ = _judged(lambda shown: "[1] > [2]")
    assert result.verdicts == ("tie",) * 5
    assert result.win_rate == 0.5
    first = instructions.first_by_position(result.report.calls)[2]
    assert first[0] == 1.0


def test_dropped_answers_are_worse():
    def only_good(shown):
        return f"[{shown.index('good') + 1}]"

    assert _judged(only_good)[0].verdicts == ("win",) * 5
    assert _judged(lambda shown: "[]")[0].verdicts == ("tie",) * 5


def test_equal_answers_are_not_asked_about():
    result, asker = _judged(_honest, GOOD, ["good", "bad", "bad", "good", "good"])
    assert result.verdicts == ("tie", "win", "win", "tie", "tie")
    assert len(asker.shown) == 4
    points = [0.5, 1, 1, 0.5, 0.5]
    mean = sum(points) / 5
    assert result.win_rate == pytest.approx(mean)
    spread = math.sqrt(sum((p - mean) ** 2 for p in points) / 4)
    assert result.standard_error == pytest.approx(spread / math.sqrt(5))


def test_what_cannot_be_read_is_no_verdict():
    result, _ = _judged(lambda shown: "hm" if shown[0] == "good" else "[1] > [2]")
    assert result.verdicts == ("malformed",) * 5
    assert result.count("malformed") == 5
    assert math.isnan(result.win_rate)


def test_what_cannot_be_judged():
    judge = instructions.PromptedRanker(_Judge(_honest))
    with pytest.raises(ValueError, match="first: got 4 answers and 5 others to 5"):
        instructions.judge_pairs(QUESTIONS, GOOD[:4], BAD, judge)
    one = instructions.PromptedRanker(_Judge(_honest), calls=1)
    with pytest.raises(ValueError, match="judge: got calls=1, expected 2, both orders"):
        instructions.judge_pairs(QUESTIONS, GOOD, BAD, one)
