"""Files of what a language model alone says of records: a row per record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robustjax import data
from robustjax.methods.instructions import RecordScores

COLUMNS = ("id", "length", "answer_loss", "alone_loss", "cut")


def score_rows(ids: Sequence[str], scores: RecordScores) -> list[dict[str, Any]]:
    """Rows for `write_csv`; losses that are NaN are empty."""
    return [
        {
            "id": name,
            "length": int(length),
            "answer_loss": "" if np.isnan(loss) else f"{loss:.6g}",
            "alone_loss": "" if np.isnan(alone) else f"{alone:.6g}",
            "cut": bool(cut),
        }
        for name, length, loss, alone, cut in zip(ids, *scores)
    ]


def read_scores(path: str, ids: Sequence[str], *, name: str = "scores") -> RecordScores:
    """Scores of records by id, from a file of `experiments.score_instructions`.

    Args:
      path: a CSV file with the columns of `COLUMNS`; it may hold further records.
      ids: of the records.
      name: what to call the file in an error.

    Raises:
      ValueError: a file that cannot be read, a cell that is no number, or a record
        that is missing.
    """
    known: dict[str, Mapping[str, str]] = {}
    for row in data.read_csv(path, name=name):
        missing = [column for column in COLUMNS if column not in row]
        if missing:
            raise ValueError(f"{name}: {path!r} has no column {missing[0]}")
        known[row["id"]] = row
    absent = [each for each in ids if each not in known]
    if absent:
        raise ValueError(
            f"{name}: {path!r} lacks {len(absent)} of {len(ids)} records (first: "
            f"{absent[0]!r})"
        )
    rows = [known[each] for each in ids]
    try:
        return RecordScores(
            np.array([int(row["length"]) for row in rows]),
            np.array([float(row["answer_loss"] or "nan") for row in rows]),
            np.array([float(row["alone_loss"] or "nan") for row in rows]),
            np.array([row["cut"] == "True" for row in rows]),
        )
    except ValueError:
        raise ValueError(f"{name}: {path!r} holds what is no number") from None
