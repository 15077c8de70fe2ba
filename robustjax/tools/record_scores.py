"""Files of what a language model alone says of records: a row per record."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from robustjax import data
from robustjax.methods.instructions import RecordScores

_SCORES = ("id", "length", "answer_loss", "alone_loss", "cut")
COLUMNS = (*_SCORES, "made_by")
# Spreadsheets write capitals.
_TRUTHS = {"true": True, "false": False}


def folder_digest(folder: str | os.PathLike[str]) -> str:
    """A digest of all files of a folder with a model, by name and content."""
    hasher = hashlib.sha256()
    for path in sorted(pathlib.Path(folder).iterdir()):
        if path.is_file():
            hasher.update(f"{path.name}\0{path.stat().st_size}\0".encode())
            with open(path, "rb") as file:
                hasher.update(hashlib.file_digest(file, "sha256").digest())
    return hasher.hexdigest()


def made_by(record: data.Record, model: str, max_tokens: int) -> str:
    """What the scores of a record depend on, in a few characters.

    Args:
      record: that is scored.
      model: see `folder_digest`.
      max_tokens: see `record_scores`.
    """
    parts = [record.instruction, record.input, record.output, model, max_tokens]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def score_rows(
    ids: Sequence[str], scores: RecordScores, made: Sequence[str]
) -> list[dict[str, Any]]:
    """Rows for `write_csv`; losses that are NaN are empty.

    Args:
      ids: of the records.
      scores: theirs.
      made: of each, `made_by`.
    """
    return [
        {
            "id": name,
            "length": int(length),
            "answer_loss": "" if np.isnan(loss) else f"{loss:.6g}",
            "alone_loss": "" if np.isnan(alone) else f"{alone:.6g}",
            "cut": bool(cut),
            "made_by": by,
        }
        for name, length, loss, alone, cut, by in zip(ids, *scores, made)
    ]


def read_scores(
    path: str, ids: Sequence[str], *, name: str = "scores"
) -> tuple[np.ndarray, RecordScores]:
    """Scores of records by id, from a file of `robustjax score-instructions`.

    Args:
      path: a CSV file with the columns of `COLUMNS`, `made_by` aside; it may hold
        further records.
      ids: of the records.
      name: what to call the file in an error.

    Returns:
      (N,) bool, which records the file has, and the scores of all; of the others, NaN.

    Raises:
      ValueError: a file that cannot be read, a cell that is no number, an id that is
        there twice, or none of the records.
    """
    rows = data.read_csv(path, name=name)
    missing = [column for column in _SCORES if rows and column not in rows[0]]
    if missing:
        raise ValueError(f"{name}: {path!r} has no column {missing[0]}")
    known = {row["id"]: row for row in rows}
    if len(known) < len(rows):
        twice = Counter(row["id"] for row in rows).most_common(1)[0][0]
        raise ValueError(f"{name}: {path!r} has the id {twice!r} twice")
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
            np.array([_TRUTHS[row["cut"].strip().casefold()] for row in found]),
        )
    except (KeyError, ValueError):
        raise ValueError(
            f"{name}: {path!r} holds what is no number, or no truth as cut"
        ) from None
