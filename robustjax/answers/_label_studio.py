"""Answers that were given in Label Studio: its JSON export, task by task.

Of that format, what is read is `data` (what the task was made of, the id of the example
among it), and of `annotations` the choices, who made them, and whether they were
cancelled. https://labelstud.io/guide/export describes it.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from robustjax import data
from robustjax.files import check_readable

LABEL_STUDIO_SUFFIX = ".json"
"""What the name of an export ends with."""


def read_label_studio(
    path: pathlib.Path, dataset: data.Dataset, *, column: str, name: str
) -> list[tuple[int, dict[str, str]]]:
    """Reads an export as rows of a table of answers, with the numbers of their tasks.

    The id is `data.id`; without one, the field of `data` that holds ids of the data set
    in every task. A task without an annotation is a blank; one with several is a row
    for each. Cancelled annotations are left out.

    Args:
      path: of the file.
      dataset: whose ids are meant.
      column: that the choice is put into.
      name: what to call the file in an error.

    Raises:
      ValueError: a file that cannot be read or is no such export, ids that cannot be
        told, or an annotation with several choices or with what is no choice.
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
    field = _id_field(tasks, dataset, name)
    rows = []
    for number, task in enumerate(tasks, start=1):
        identity = str(task["data"][field])
        said = [a for a in task["annotations"] if not a.get("was_cancelled")]
        for each in said:
            cells = {column: _choice(each, number, name), "annotator": _who(each)}
            rows.append((number, {"id": identity, **cells}))
        if not said:
            rows.append((number, {"id": identity, column: "", "annotator": ""}))
    return rows


def _is_task(task: Any) -> bool:
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        return False
    found = task.get("annotations")
    return isinstance(found, list) and all(isinstance(each, dict) for each in found)


def _id_field(tasks: Sequence[Any], dataset: data.Dataset, name: str) -> str:
    known = {str(value) for value in dataset.ids.tolist()}
    shared = [f for f in tasks[0]["data"] if all(f in t["data"] for t in tasks)]
    if "id" in shared:
        return "id"
    fits = [f for f in shared if all(str(t["data"][f]) in known for t in tasks)]
    if len(fits) != 1:
        raise ValueError(
            f"{name}: {len(fits)} fields of the tasks' data hold ids of "
            f"{dataset.name}, expected one, or a field 'id'; they have "
            f"{', '.join(shared) or 'none in common'}"
        )
    return str(fits[0])


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
    by = annotation.get("completed_by", "")
    if isinstance(by, dict):
        by = by.get("email") or by.get("id", "")
    return str(by)
