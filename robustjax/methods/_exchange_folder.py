"""A folder through which a person answers questions, over days if need be.

Shared by label correction (`curation`) and open-set active learning
(`open_set_exchange`): the names of the files, whose folder it is, and whose answers.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from robustjax import data
from robustjax.files import write_atomically
from robustjax.output_paths import check_output_file, check_output_folder

ASKED = "to_label.csv"
ANSWERED = "labeled.csv"
LABELS = "labels.csv"
_RECORD = "exchange.json"
_ANSWERS = "answers"


class Pending(NamedTuple):
    """What an exchange waits for.

    Attributes:
      round_number: from 0.
      asked: the file with the questions.
      answers: the file in which it expects the answers.
      questions: how many.
    """

    round_number: int
    asked: pathlib.Path
    answers: pathlib.Path
    questions: int


def pending(folder: pathlib.Path, round_number: int, questions: int) -> Pending:
    """What the exchange of this folder waits for."""
    return Pending(round_number, folder / ASKED, folder / ANSWERED, questions)


def filed_answers(folder: pathlib.Path, round_number: int) -> pathlib.Path:
    """Where the answers of a round are kept for good."""
    return folder / _ANSWERS / f"round_{round_number:04d}.csv"


def answers_of(folder: pathlib.Path, round_number: int) -> pathlib.Path | None:
    """The file with the answers of the round that is waited for; None without one.

    Answers are filed away before they are noted: where a process died in between, they
    are found there and taken in again.
    """
    for path in (filed_answers(folder, round_number), folder / ANSWERED):
        if path.exists():
            return path
    return None


def file_away(folder: pathlib.Path, round_number: int, source: pathlib.Path) -> None:
    """Moves the answers that were taken in to where they are kept for good."""
    place = filed_answers(folder, round_number)
    if source == place:
        return
    # A link of the person's would point elsewhere from there.
    write_atomically(place, source.read_bytes())
    source.unlink()


def check_repr(name: str, value: Any) -> str:
    """The `repr` of a part, by which another process knows that it is the same.

    Raises:
      ValueError: a `repr` that differs between processes.
    """
    text = repr(value)
    if " at 0x" in text:
        raise ValueError(
            f"{name}: got {text}, expected a repr without addresses (a dataclass has "
            "one), so that another process can continue"
        )
    return text


def check_folder(folder: pathlib.Path, purpose: Mapping[str, Any]) -> bool:
    """Checks, before any training, that `claim_folder` will not fail.

    Files of other people and programs in the folder do no harm.

    Args:
      folder: need not be there yet.
      purpose: JSON-serialisable.

    Returns:
      Whether the folder is claimed already.

    Raises:
      ValueError: a folder that cannot be written or read, that was begun with other
        values, or in which another folder stands where a file will be.
    """
    check_output_folder("folder", folder)
    record = folder / _RECORD
    try:
        found = None
        if record.exists():
            found = dict(json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"folder: {str(record)!r} cannot be read ({error}); choose another "
            "folder or remove this one"
        ) from None
    if folder.exists():
        for name in (_RECORD, ASKED, LABELS):
            check_output_file("folder", folder / name)
        check_output_folder("folder", folder / _ANSWERS)
    if found is None:
        return False
    mine = json.loads(json.dumps(purpose))
    differ = [key for key in mine if found.get(key) != mine[key]]
    if differ:
        raise ValueError(
            f"folder: {str(folder)!r} was begun with other {differ[0]}; use "
            "the same, or choose another folder"
        )
    return True


def claim_folder(folder: pathlib.Path, purpose: Mapping[str, Any]) -> None:
    """Notes what a folder is for, or checks that it is still the same.

    Args:
      folder: is created if needed, with a place for answers.
      purpose: JSON-serialisable; kept in `exchange.json`.

    Raises:
      ValueError: see `check_folder`.
    """
    claimed = check_folder(folder, purpose)
    try:
        (folder / _ANSWERS).mkdir(parents=True, exist_ok=True)
        if not claimed:
            text = json.dumps(purpose, indent=2) + "\n"
            write_atomically(folder / _RECORD, text)
    except OSError as error:
        raise ValueError(
            f"folder: cannot write {str(folder)!r}: {error.strerror}"
        ) from None


def read_answers(
    path: pathlib.Path, dataset: data.Dataset, asked: np.ndarray, round_number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Reads the answers to a round's questions.

    Args:
      path: a CSV file with the columns `id` and `new_label`; blank ones, and rows that
        are not there, are no answers.
      dataset: whose ids and class names are meant.
      asked: (Q,) rows that were asked about.
      round_number: for errors.

    Returns:
      (Q,) int32 answers in the order of `asked`, and (Q,) bool whether there is one.

    Raises:
      ValueError: a file that cannot be read or lacks a column; ids that are unknown,
        repeated or were not asked about; values that are no class.
    """
    rows, labels = data.read_labels(path, dataset, "new_label", name=path.name)
    strange = ~np.isin(rows, asked)
    if strange.any():
        stranger = dataset.ids[rows[strange][0]].item()
        raise ValueError(
            f"{path.name}: {int(strange.sum())} id(s) were not asked about (first: "
            f"{stranger!r}); answer the questions of round {round_number} in {ASKED}"
        )
    place = {row: position for position, row in enumerate(asked.tolist())}
    answers = np.zeros(len(asked), np.int32)
    answered = np.zeros(len(asked), bool)
    for row, label in zip(rows.tolist(), labels):
        answers[place[row]] = label
        answered[place[row]] = True
    return answers, answered
