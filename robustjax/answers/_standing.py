"""What holds after all that was said: a fold over the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from robustjax import data
from robustjax.answers._log import Answer, History, Submission
from robustjax.answers._said import OPEN, parse_said

NEVER = int(np.iinfo(np.int32).max)
"""The round of what was not answered."""

_Voices = dict[str, tuple[str, str | None]]


class Standing(NamedTuple):
    """What is known of every example.

    Attributes:
      said: (N,) int32 classes, `OPEN`, `UNKNOWN` or `NONE`; `OPEN` where people
        disagree.
      disputed: (N,) bool, whether they do.
      closed_in: (N,) int32, the round that waited when the example was first answered:
        -1 before all rounds, and `NEVER` for those that are not.
    """

    said: np.ndarray
    disputed: np.ndarray
    closed_in: np.ndarray


class Disagreement(NamedTuple):
    """An example of which people say different things.

    Attributes:
      id: of the example.
      voices: (annotator, what they say, when), in the order in which they came.
    """

    id: int | str
    voices: tuple[tuple[str, str, str | None], ...]


def standing(history: History, dataset: data.Dataset) -> Standing:
    """Settles what was said.

    The last word of everyone counts. Where an answer comes without a name it settles
    the example alone, whoever spoke before; a later one with a name replaces it.

    Args:
      history: of the log.
      dataset: whose examples and classes are meant.

    Raises:
      ValueError: answers about other examples or classes.
    """
    size = len(dataset)
    said = np.full(size, OPEN, np.int32)
    disputed = np.zeros(size, bool)
    closed_in = np.full(size, NEVER, np.int32)
    row_of = {identity: row for row, identity in enumerate(dataset.ids.tolist())}
    voices = _voices(history)
    foreign = next((identity for identity in voices if identity not in row_of), None)
    if foreign is not None:
        raise ValueError(
            f"folder: its log tells of {foreign!r}, which is not in {dataset.name}"
        )
    rows = np.array([row_of[identity] for identity in voices], np.int64)
    words = [{text for text, _ in by.values()} for by in voices.values()]
    settled = [next(iter(w)) if len(w) == 1 else "" for w in words]
    said[rows] = parse_said(settled, dataset.class_names, name="the log")
    disputed[rows] = [len(w) > 1 for w in words]
    first = _first_rounds(history)
    closed = [first[i] if w else NEVER for i, w in zip(voices, words)]
    closed_in[rows] = closed
    return Standing(said, disputed, closed_in)


def disagreements(history: History) -> list[Disagreement]:
    """The examples of which people say different things, in the order of the log."""
    return [
        Disagreement(identity, tuple((who, text, at) for who, (text, at) in by.items()))
        for identity, by in _voices(history).items()
        if len({text for text, _ in by.values()}) > 1
    ]


def last_words(history: History) -> dict[int | str, dict[str, str]]:
    """What everyone says by now: example -> annotator -> words."""
    return {
        identity: {who: text for who, (text, _) in by.items()}
        for identity, by in _voices(history).items()
    }


def _submissions(history: History) -> Sequence[Submission]:
    return [event for event in history if isinstance(event, Submission)]


def _voices(history: History) -> dict[int | str, _Voices]:
    """The last word of everyone who has one, by example."""
    found: dict[int | str, _Voices] = {}
    for submission in _submissions(history):
        for answer in submission.answers:
            by = found.setdefault(answer.id, {})
            _hear(by, answer, submission.at)
    return found


def _hear(by: _Voices, answer: Answer, at: str | None) -> None:
    if answer.annotator:
        by.pop("", None)
        by.pop(answer.annotator, None)
    else:
        by.clear()
    if answer.said:
        by[answer.annotator] = answer.said, at


def _first_rounds(history: History) -> dict[int | str, int]:
    first: dict[int | str, int] = {}
    for submission in _submissions(history):
        for answer in submission.answers:
            first.setdefault(answer.id, submission.round_number)
    return first
