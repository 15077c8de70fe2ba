"""Multiple-choice questions, and folders of them in MMLU's layout."""

from __future__ import annotations

import csv
import os
import pathlib
from typing import NamedTuple

from robustjax.methods.instructions._ranking_prompt import LETTERS

_CHOICES = 4


class ChoiceQuestion(NamedTuple):
    """A question of which one answer is right.

    Attributes:
      question: its text.
      choices: the answers, 2 to 26 of them.
      answer: which of them is right, from 0.
      subject: what it is about; "" for nothing in particular.
    """

    question: str
    choices: tuple[str, ...]
    answer: int
    subject: str = ""


class ChoiceQuestions(NamedTuple):
    """A folder of questions.

    Attributes:
      examples: subject -> the questions of `dev`, which are shown solved.
      questions: of `test`, subject by subject.
    """

    examples: dict[str, tuple[ChoiceQuestion, ...]]
    questions: tuple[ChoiceQuestion, ...]


def load_choice_questions(folder: str | os.PathLike[str]) -> ChoiceQuestions:
    """Reads questions in MMLU's layout.

    Args:
      folder: with `test/SUBJECT_test.csv` and, where there are examples,
        `dev/SUBJECT_dev.csv`. A line is a question, four choices and the letter of
        the right one, without a header.

    Raises:
      ValueError: a folder without tests, or a line that is none of these.
    """
    path = pathlib.Path(folder)
    tests = _read(path, "test")
    if not tests:
        raise ValueError(
            f"folder: {os.fspath(folder)!r} has no test/*_test.csv, expected MMLU's "
            "layout"
        )
    return ChoiceQuestions(
        _read(path, "dev"),
        tuple(question for subject in tests.values() for question in subject),
    )


def _read(folder: pathlib.Path, part: str) -> dict[str, tuple[ChoiceQuestion, ...]]:
    return {
        file.stem.removesuffix(f"_{part}"): _read_file(file, part)
        for file in sorted((folder / part).glob(f"*_{part}.csv"))
    }


def _read_file(file: pathlib.Path, part: str) -> tuple[ChoiceQuestion, ...]:
    found = []
    try:
        with open(file, encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, strict=True)
            for row in reader:
                found.append(_question(row, file, part, reader.line_num))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"folder: cannot read {str(file)!r} ({error})") from None
    if not found:
        raise ValueError(f"folder: {str(file)!r} is empty, expected questions")
    return tuple(found)


def _question(
    row: list[str], file: pathlib.Path, part: str, line: int
) -> ChoiceQuestion:
    letters = LETTERS[:_CHOICES]
    if len(row) != _CHOICES + 2 or row[-1].strip() not in tuple(letters):
        raise ValueError(
            f"folder: {str(file)!r}, line {line}: got {len(row)} cells that end with "
            f"{row[-1] if row else ''!r}, expected a question, {_CHOICES} choices and "
            f"a letter, {letters[0]} … {letters[-1]}"
        )
    question, *choices, answer = row
    return ChoiceQuestion(
        question,
        tuple(choices),
        letters.index(answer.strip()),
        file.stem.removesuffix(f"_{part}"),
    )
