"""What was decided about the examples of a study: which were drawn, and for what."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.studies.features.observation import Measurement
from experiments.studies.features.setup import Data
from experiments.study.journal import Cell
from robustjax.methods.features import OOD, TARGET


def keep_examples(
    cell: Cell,
    study: Data,
    measure: Measurement,
    method: str,
    count: int,
    repeat: int,
    variables: tuple[Any, Any],
) -> None:
    """Keeps the examples that a repeat trained on, for `examples.csv`.

    Their role is "target" or "ood", of MixMatch "unlabeled", too; their label is that
    which was trained on. What a classifier says of its target examples in the end is
    kept beside it.

    Args:
      cell: whose.
      study: data and draws.
      measure: of the task.
      method: its name.
      count: target examples, a key of `study.roles`.
      repeat: its number.
      variables: of the trained network.
    """
    drawn = study.roles[count][repeat]
    outside = np.arange(len(drawn)) >= len(study.target.train)
    roles = np.select([drawn == TARGET, drawn == OOD], ["target", "ood"], "")
    if study.config.training == "mix_match":
        rest = np.where(outside, "ood", "unlabeled")
        roles = np.where(drawn == TARGET, "target", rest)
    rows = np.flatnonzero(roles != "")
    keys = {"num_examples": count, "repeat": repeat}
    columns = {"role": roles[rows]}
    if study.boxes is None:
        given = np.where(drawn == TARGET, study.labels.astype(str), "")
        columns["given"] = given[rows]
    cell.keep("", study.ids[rows], keys, **columns)
    rows = rows[~outside[rows]]
    found = measure.decided(*variables, study.pool[rows], study.labels[rows])
    if found:
        cell.keep(method, study.ids[rows], keys, **found)
