"""Answers that were given in Label Studio: its JSON export, task by task."""

from __future__ import annotations

import pathlib

from robustjax import data
from robustjax.data._label_studio_export import (
    Task,
    label_studio_tasks,
    shared_fields,
)


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
      ValueError: see `label_studio_tasks`; ids that cannot be told.
    """
    tasks = label_studio_tasks(path, name=name)
    field = _id_field(tasks, dataset, name)
    return [
        (
            task.number,
            {"id": str(task.fields[field]), column: choice, "annotator": who},
        )
        for task in tasks
        for choice, who in task.said or [("", "")]
    ]


def _id_field(tasks: list[Task], dataset: data.Dataset, name: str) -> str:
    known = {str(value) for value in dataset.ids.tolist()}
    shared = shared_fields(tasks)
    if "id" in shared:
        return "id"
    fits = [f for f in shared if all(str(t.fields[f]) in known for t in tasks)]
    if len(fits) != 1:
        raise ValueError(
            f"{name}: {len(fits)} fields of the tasks' data hold ids of "
            f"{dataset.name}, expected one, or a field 'id'; they have "
            f"{', '.join(shared) or 'none in common'}"
        )
    return fits[0]
