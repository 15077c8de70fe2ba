"""The log only grows, notices edits, and what holds is a fold over it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from robustjax import answers, data
from robustjax.answers import Answer, Asked, Question, Submission


@pytest.fixture
def animals():
    return data.make_dataset(
        np.eye(4), [0, 1, 2, 0], ids=list("abcd"), class_names=["cat", "dog", "cow"]
    )


def handed(number, *said, at=None):
    return Submission(
        number, "labeled.csv", "", tuple(Answer(*s) for s in said), "", at
    )


EVENTS = (
    Asked(0, (Question("a", "cat", "dog", "0.1"), Question("ü", "", "", "")), "t0"),
    handed(0, ("a", "dog", "Ann"), at="t1"),
    handed(0, ("a", "cat", "Ben")),
)


def test_what_is_appended_is_read(tmp_path):
    path = tmp_path / "log.jsonl"
    assert answers.read_history(path) == ()
    for number, event in enumerate(EVENTS, 1):
        answers.append_event(path, event)
        assert answers.read_history(path) == EVENTS[:number]


def test_half_a_line_of_a_dead_process_is_as_if_it_never_was(tmp_path):
    path = tmp_path / "log.jsonl"
    for event in EVENTS[:2]:
        answers.append_event(path, event)
    whole = path.read_bytes()
    answers.append_event(path, EVENTS[2])
    longer = path.read_bytes()
    for size in range(len(whole), len(longer)):
        path.write_bytes(longer[:size])
        assert answers.read_history(path) == EVENTS[:2]
    answers.append_event(path, EVENTS[2])
    assert path.read_bytes() == longer


def test_edits_are_refused(tmp_path):
    path = tmp_path / "log.jsonl"
    for event in EVENTS:
        answers.append_event(path, event)
    lines = path.read_text().splitlines()
    record = json.loads(lines[1])
    for edited in (
        [lines[0], lines[2]],
        [lines[0], lines[1].replace('"dog"', '"cow"'), lines[2]],
        [lines[0], json.dumps({**record, "at": "t9"}), lines[2]],
        [lines[0], "", lines[1]],
        [lines[0], "[]", lines[1]],
    ):
        path.write_text("\n".join(edited) + "\n")
        with pytest.raises(ValueError, match=r"folder: line 2 of .* is not as it was"):
            answers.read_history(path)
        with pytest.raises(ValueError, match="line 2"):
            answers.append_event(path, EVENTS[0])


def test_the_last_word_of_everyone_counts(animals):
    history = [handed(0, ("a", "cat"), ("b", "dog", "Ann"), ("b", "cow", "Ben"))]

    def stand():
        found = answers.standing(tuple(history), animals)
        return found.said.tolist(), np.flatnonzero(found.disputed).tolist()

    assert stand() == ([0, -1, -1, -1], [1])
    (only,) = answers.disagreements(tuple(history))
    assert only.voices == (("Ann", "dog", None), ("Ben", "cow", None))
    # One of them gives in; another time nobody's name settles it.
    history.append(handed(1, ("b", "cow", "Ann")))
    assert stand() == ([0, 2, -1, -1], [])
    history.append(handed(1, ("b", "cat", "Cleo")))
    assert stand()[1] == [1]
    history.append(handed(2, ("b", "none of them")))
    assert stand() == ([0, answers.NONE, -1, -1], [])
    # A name replaces what was said without one.
    history.append(handed(3, ("a", "don't know", "Ann")))
    assert stand() == ([answers.UNKNOWN, answers.NONE, -1, -1], [])
    found = answers.standing(tuple(history), animals)
    assert found.closed_in.tolist() == [0, 0, answers.NEVER, answers.NEVER]
    history.append(handed(3, ("a", "", "Ann")))
    assert stand()[0][0] == answers.OPEN


def test_answers_about_something_else_are_refused(animals):
    with pytest.raises(ValueError, match="log tells of 'z'"):
        answers.standing((handed(0, ("z", "cat")),), animals)


def test_what_was_taken_in_is_one_sentence(animals):
    before = answers.standing((handed(0, ("d", "dog")),), animals)
    history = (
        handed(0, ("d", "dog")),
        handed(0, ("a", "cat"), ("b", "cow"), ("c", "?"), ("d", "dog")),
    )
    after = answers.standing(history, animals)
    told = answers.taken_in(
        before, after, animals.labels, np.arange(4), np.array([0, 1, 2, 3])
    )
    assert str(told) == (
        "took in 3: 1 confirmed, 1 changed, 1 not known; 1 said again what was known; "
        "0 still open"
    )
