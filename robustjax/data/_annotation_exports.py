"""What people have labelled in CVAT or Label Studio, as tables."""

from __future__ import annotations

import json
import pathlib
import urllib.parse
from typing import Any

from robustjax.data._cvat_export import CVAT_SUFFIX, cvat_images
from robustjax.data._label_studio_export import (
    LABEL_STUDIO_SUFFIX,
    Task,
    label_studio_tasks,
    shared_fields,
)

EXPORT_SUFFIXES = (CVAT_SUFFIX, LABEL_STUDIO_SUFFIX)
"""Of files that annotation tools write."""

IMAGE = "image"
"""The column of an export of CVAT that has the paths of its images."""

_LABEL, _ID = "label", "id"
# Where CVAT puts images, and how Label Studio names a file of its machine.
_IMAGES = "images"
_LOCAL = "/data/local-files/?d="


def export_columns(path: pathlib.Path, *, name: str) -> dict[str, list[Any]]:
    """Columns of a table: "id", "label" (None where nobody has said), what is labelled.

    Of CVAT, "image": the path below the folder of the file, or below its sub-folder
    "images", where CVAT saves them. Of Label Studio, the fields of `data` that all
    tasks have; files of its machine by their paths below its root.

    Args:
      path: of the file.
      name: what to call it in an error.

    Raises:
      ValueError: see `cvat_images` and `label_studio_tasks`; annotators that
        contradict each other about a task.
    """
    if path.suffix.lower() == CVAT_SUFFIX:
        found = cvat_images(path, name=name)
        names = [each for _, each, _ in found]
        inside = [f"{_IMAGES}/{each}" for each in names]
        there = [(path.parent / each).is_file() for each in inside]
        return {
            _ID: names,
            IMAGE: [b if is_in else a for a, b, is_in in zip(names, inside, there)],
            _LABEL: [tag or None for _, _, tag in found],
        }
    tasks = label_studio_tasks(path, name=name)
    columns: dict[str, list[Any]] = {}
    if all(task.identity is not None for task in tasks):
        columns[_ID] = [task.identity for task in tasks]
    for field in shared_fields(tasks):
        columns[field] = [_cell(task.fields[field]) for task in tasks]
        if len({type(cell) for cell in columns[field]} - {type(None)}) > 1:
            columns[field] = [
                None if cell is None else str(cell) for cell in columns[field]
            ]
    return {**columns, _LABEL: [_agreed(task, name) for task in tasks]}


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_LOCAL):
        return urllib.parse.unquote(value.removeprefix(_LOCAL))
    return json.dumps(value) if isinstance(value, dict) else value


def _agreed(task: Task, name: str) -> str | None:
    choices = sorted({choice for choice, _ in task.said if choice})
    if len(choices) > 1:
        raise ValueError(
            f"{name}: annotators chose {', '.join(map(repr, choices))} for task "
            f"{task.number}, expected one choice; settle it first, or leave it open"
        )
    return choices[0] if choices else None
