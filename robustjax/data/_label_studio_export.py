"""Label Studio's JSON export: tasks and the choices that were made.

Of that format, what is read is `data` (what the task was made of), and of `annotations`
the choices, who made them, and whether they were cancelled.
https://labelstud.io/guide/export describes it.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any, NamedTuple

from robustjax.files import check_readable

LABEL_STUDIO_SUFFIX = ".json"
"""What the name of an export ends with."""


class Task(NamedTuple):
    """One task.

    Attributes:
      number: from 1, in the order of the file.
      identity: its own id in Label Studio; None if the export has none.
      fields: what it was made of.
      said: (choice, annotator) of every annotation that was not cancelled; a choice is
        "" where nothing was chosen.
    """

    number: int
    identity: Any
    fields: dict[str, Any]
    said: list[tuple[str, str]]


def label_studio_tasks(path: pathlib.Path, *, name: str) -> list[Task]:
    """Reads an export.

    Args:
      path: of the file.
      name: what to call it in an error.

    Raises:
      ValueError: a file that cannot be read or is no such export, or an annotation
        with several choices or with what is no choice.
    """
    try:
        check_readable(path)
        tasks = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no JSON in UTF-8"
        raise ValueError(f"{name}: cannot read {str(path)!r}: {reason}") from None
    fine = isinstance(tasks, list) and all(_is_task(task) for task in tasks)
    if not fine or not tasks:
        raise ValueError(
            f"{name}: {str(path)!r} is no export of Label Studio with some tasks; "
            "choose its format JSON (not JSON-MIN), or a table"
        )
    return [
        Task(
            number,
            task.get("id"),
            task["data"],
            [
                (_choice(each, number, name), _who(each))
                for each in task["annotations"]
                if not each.get("was_cancelled")
            ],
        )
        for number, task in enumerate(tasks, start=1)
    ]


def shared_fields(tasks: list[Task]) -> list[str]:
    """The fields that all tasks have, in the order of the first."""
    return [f for f in tasks[0].fields if all(f in task.fields for task in tasks)]


def _is_task(task: Any) -> bool:
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        return False
    found = task.get("annotations")
    return isinstance(found, list) and all(isinstance(each, dict) for each in found)


def _choice(annotation: dict[str, Any], number: int, name: str) -> str:
    """The one choice of an annotation, "" where nothing was chosen."""
    results = annotation.get("result", [])
    kinds = [each.get("type") for each in results]
    chosen = [c for each in results for c in each.get("value", {}).get("choices", [])]
    if any(kind != "choices" for kind in kinds) or len(chosen) > 1:
        got = (
            f"{len(chosen)} choices" if len(chosen) > 1 else ", ".join(map(str, kinds))
        )
        raise ValueError(f"{name}: task {number} has {got}, expected one choice")
    return str(chosen[0]) if chosen else ""


def _who(annotation: dict[str, Any]) -> str:
    by = annotation.get("completed_by")
    if isinstance(by, dict):
        by = by.get("email") or by.get("id")
    return "" if by is None else str(by)
