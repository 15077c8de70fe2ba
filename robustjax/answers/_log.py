"""The log of a folder of questions: who was asked what, and who said what when.

A file of JSON lines that only grows. Every line carries a digest over itself and the
line before, so that an edit by hand is noticed, and a line that a dying process left
half is as if it had not been begun.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from robustjax.files import digest_of_record


class Question(NamedTuple):
    """What was asked about an example.

    Attributes:
      id: of the example.
      current: its label then, or "" without one.
      suggested: the classifier's, or "" without one.
      score: what the questions tell of it, as text.
    """

    id: int | str
    current: str
    suggested: str
    score: str


class Asked(NamedTuple):
    """The questions of a round.

    Attributes:
      round_number: from 0. After an amendment a round is asked again.
      questions: the most useful first.
      at: when, as the caller said.
    """

    round_number: int
    questions: tuple[Question, ...]
    at: str | None = None


class Answer(NamedTuple):
    """What one person said of one example.

    Attributes:
      id: of the example.
      said: the name of a class, "don't know", "none of them", or "" to take an answer
        back.
      annotator: "" where no name was given.
    """

    id: int | str
    said: str
    annotator: str = ""


class Submission(NamedTuple):
    """Answers that were handed in together.

    Attributes:
      round_number: that was waiting for answers; -1 before the first.
      source: name of the file.
      sha256: of its content.
      answers: those that say something new.
      filed: where the file is kept below the folder, or "" if it is left where it is.
      at: when they were taken in, as the caller said.
    """

    round_number: int
    source: str
    sha256: str
    answers: tuple[Answer, ...]
    filed: str = ""
    at: str | None = None


Event = Asked | Submission
History = tuple[Event, ...]
"""A log, oldest event first."""


def append_event(path: str | pathlib.Path, event: Event) -> None:
    """Adds an event to a log, whole or not at all.

    Args:
      path: of the log, which is made if needed; its folder must exist.
      event: what happened.

    Raises:
      ValueError: see `read_history`.
    """
    path = pathlib.Path(path)
    content = _whole_lines(path)
    last = ""
    for _, record in _records(path, content):
        last = record["digest"]
    record = {"event": type(event).__name__.lower(), **_as_record(event), "after": last}
    record = json.loads(json.dumps(record))
    record["digest"] = digest_of_record(record)
    line = json.dumps(record, ensure_ascii=False) + "\n"
    with open(path, "ab") as file:
        # What a process that died left half of a line.
        file.truncate(len(content))
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def read_history(path: str | pathlib.Path) -> History:
    """Reads a log; one that is not there is empty.

    Raises:
      ValueError: a log that cannot be read, or a line that is not as it was written.
    """
    path = pathlib.Path(path)
    return tuple(
        _as_event(path, line, record)
        for line, record in _records(path, _whole_lines(path))
    )


def _whole_lines(path: pathlib.Path) -> bytes:
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise ValueError(
            f"folder: cannot read {str(path)!r}: {error.strerror}"
        ) from None
    return content[: content.rfind(b"\n") + 1]


def _records(
    path: pathlib.Path, content: bytes
) -> Iterator[tuple[int, dict[str, Any]]]:
    last = ""
    for number, line in enumerate(content.splitlines(), 1):
        try:
            record = dict(json.loads(line))
            good = record["digest"] == digest_of_record(record)
            good = good and record["after"] == last
        except (ValueError, TypeError, KeyError):
            good = False
        if not good:
            raise ValueError(
                f"folder: line {number} of {str(path)!r} is not as it was written; "
                "bring the file back as it was, and change answers by amending them"
            )
        last = record["digest"]
        yield number, record


def _as_record(event: Event) -> dict[str, Any]:
    # Named tuples inside become lists.
    return event._asdict()


def _as_event(path: pathlib.Path, line: int, record: dict[str, Any]) -> Event:
    number, at = record["round_number"], record["at"]
    if record["event"] == "asked":
        return Asked(number, tuple(Question(*q) for q in record["questions"]), at)
    if record["event"] == "submission":
        said = tuple(Answer(*a) for a in record["answers"])
        source, sha256 = record["source"], record["sha256"]
        return Submission(number, source, sha256, said, record["filed"], at)
    raise ValueError(
        f"folder: line {line} of {str(path)!r} tells of {record['event']!r}, which "
        "this version does not know"
    )
