"""A folder through which a person answers questions, over days if need be.

Shared by label correction (`curation`) and open-set active learning
(`open_set_exchange`): the names of the files, whose folder it is, and whose answers.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from robustjax.files import write_atomically
from robustjax.output_paths import check_output_file, check_output_folder

ASKED = "to_label.csv"
ANSWERED = "labeled.csv"
LABELS = "labels.csv"
DISAGREEMENTS = "disagreements.csv"
LOG = "answers.jsonl"
_RECORD = "exchange.json"
_ANSWERS = "answers"
# Characters of a value in an error.
_LONGEST = 60


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


def file_away(folder: pathlib.Path, filed: str, source: pathlib.Path) -> None:
    """Moves the answers that were taken in to where they are kept for good."""
    place = folder / filed
    if source == place:
        return
    # A link of the person's would point elsewhere from there.
    write_atomically(place, source.read_bytes())
    if source.name != ASKED:
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
        for name in (_RECORD, ASKED, LABELS, DISAGREEMENTS, LOG):
            check_output_file("folder", folder / name)
        check_output_folder("folder", folder / _ANSWERS)
    if found is None:
        return False
    mine = json.loads(json.dumps(purpose))
    # As they were written: tuples are lists there.
    differ = [key for key in mine if found.get(key) != mine[key]]
    if differ:
        change = _change(differ[0], found.get(differ[0]), mine[differ[0]])
        raise ValueError(
            f"folder: {str(folder)!r} was begun with other {change}; use "
            "the same, or choose another folder"
        )
    return True


def _change(name: str, before: Any, now: Any) -> str:
    """What differs, with the one value that does where it can be read."""
    if isinstance(before, dict) and isinstance(now, dict):
        inside = next((k for k in now if before.get(k) != now[k]), None)
        if inside is not None:
            was, new = (_written(values.get(inside)) for values in (before, now))
            return f"{name}: {inside} was {was}, is {new}"
    # Digests say nothing to anybody.
    if name == "data" or before is None:
        return name
    return f"{name}: it was {_written(before)}, is {_written(now)}"


def _written(value: Any) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 2]} …"


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
