"""Files of what a language model alone says of records: a row per record."""

from __future__ import annotations

from collections.abc import Sequence
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


def read_scores(
    path: str, ids: Sequence[str], *, name: str = "scores"
) -> tuple[np.ndarray, RecordScores]:
    """Scores of records by id, from a file of `robustjax score-instructions`.

    Args:
      path: a CSV file with the columns of `COLUMNS`; it may hold further records.
      ids: of the records.
      name: what to call the file in an error.

    Returns:
      (N,) bool, which records the file has, and the scores of all; of the others, NaN.

    Raises:
      ValueError: a file that cannot be read, a cell that is no number, or none of the
        records.
    """
    rows = data.read_csv(path, name=name)
    missing = [column for column in COLUMNS if rows and column not in rows[0]]
    if missing:
        raise ValueError(f"{name}: {path!r} has no column {missing[0]}")
    known = {row["id"]: row for row in rows}
    there = np.array([each in known for each in ids])
    if not there.any():
        raise ValueError(f"{name}: {path!r} has none of the {len(ids)} records")
    empty = {"length": "0", "answer_loss": "", "alone_loss": "", "cut": "False"}
    found = [known.get(each, empty) for each in ids]
    try:
        return there, RecordScores(
            np.array([int(row["length"]) for row in found]),
            np.array([float(row["answer_loss"] or "nan") for row in found]),
            np.array([float(row["alone_loss"] or "nan") for row in found]),
            np.array([row["cut"] == "True" for row in found]),
        )
    except ValueError:
        raise ValueError(f"{name}: {path!r} holds what is no number") from None
