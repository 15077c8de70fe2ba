"""What was decided about the examples of a study: which were drawn, and for what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments.studies.features.observation import Measurement
from experiments.studies.features.setup import Data
from experiments.study.examples import Known
from experiments.study.journal import Cell
from robustjax.methods.features import OOD, TARGET


def known_examples(study: Data) -> Iterator[Known]:
    """The examples that every repeat trains on, whatever the method.

    Their role is "target" or "ood", of MixMatch "unlabeled", too; their label is that
    which is trained on.
    """
    outside = np.arange(len(study.pool)) >= len(study.target.train)
    ids = study.ids
    for count, roles in study.roles.items():
        for repeat, drawn in enumerate(roles):
            names = np.select([drawn == TARGET, drawn == OOD], ["target", "ood"], "")
            if study.config.training == "mix_match":
                rest = np.where(outside, "ood", "unlabeled")
                names = np.where(drawn == TARGET, "target", rest)
            rows = np.flatnonzero(names != "")
            columns = {"role": names[rows]}
            if study.boxes is None:
                given = np.where(drawn == TARGET, study.labels.astype(str), "")
                columns["given"] = given[rows]
            yield Known(_keys(count, repeat), ids[rows], columns)


def keep_decided(
    cell: Cell,
    study: Data,
    measure: Measurement,
    method: str,
    count: int,
    repeat: int,
    variables: tuple[Any, Any],
) -> None:
    """Keeps what a classifier says in the end of the target examples of a repeat.

    Args:
      cell: whose.
      study: data and draws.
      measure: of the task.
      method: its name.
      count: target examples, a key of `study.roles`.
      repeat: its number.
      variables: of the trained network.
    """
    drawn = study.roles[count][repeat][: len(study.target.train)]
    # MixMatch sees all of them.
    seen = (drawn == TARGET) | (study.config.training == "mix_match")
    rows = np.flatnonzero(seen)
    found = measure.decided(*variables, study.pool[rows], study.labels[rows])
    if found:
        cell.keep(method, study.ids[rows], _keys(count, repeat), **found)


def _keys(count: int, repeat: int) -> dict[str, int]:
    return {"num_examples": count, "repeat": repeat}
