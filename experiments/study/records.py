"""Reading a run's records: only what still is as it was written is believed.

Every record carries a sum over itself and the records of its cell before it. A line
that was altered, deleted or moved breaks the sums of its cell from there on.
"""

from __future__ import annotations

import hashlib
import io
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from robustjax.training import Record

FILE = "metrics.jsonl"
FINISHED = "finished"
RESULT = "result"
EPOCH = "epoch"
KEPT = "kept"


def sum_after(before: str, record: Mapping[str, Any]) -> str:
    """The sum over a record without its own, and over those before it."""
    text = before + json.dumps(record, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def read_cells(
    folder: pathlib.Path, *, report: Callable[[str], None] | None = None
) -> dict[str, list[Record]]:
    """The records of a run folder that can be believed, by cell.

    A last line that was torn by a kill is as good as none.

    Args:
      folder: of the run.
      report: called with a sentence about every line that is not as it was written,
        of each cell the first.

    Returns:
      Cell -> its records from the first on, as far as their sums hold.
    """
    path = folder / FILE
    raw = path.read_bytes() if path.is_file() else b""
    cells: dict[str, list[Record]] = {}
    broken: dict[str, str] = {}
    *lines, torn = raw.split(b"\n")
    damage = []
    for number, line in enumerate((*lines, torn), 1):
        try:
            record = json.loads(line.decode("utf-8"))
            cell, given = record["cell"], record["sum"]
            known = cells.setdefault(cell, [])
        except (ValueError, KeyError, TypeError):
            # Of whichever cell it was, the records that follow will not match.
            if number <= len(lines):
                damage.append(f"line {number} of {str(path)!r} cannot be read")
            continue
        if cell in broken:
            continue
        before = known[-1]["sum"] if known else ""
        rest = {key: value for key, value in record.items() if key != "sum"}
        if record.get("n") != len(known) or given != sum_after(before, rest):
            broken[cell] = (
                f"line {number} of {str(path)!r} is not as it was written: of {cell} "
                "only what stands before it counts"
            )
            continue
        known.append(record)
    for what in (*damage, *broken.values()):
        if report is not None:
            report(what)
    return cells


def is_finished(folder: pathlib.Path, records: Sequence[Record]) -> bool:
    """Whether a cell has all its records, and its files are as they were written."""
    return (
        bool(records)
        and records[-1]["event"] == FINISHED
        and first_damaged(folder, records) is None
    )


def first_damaged(folder: pathlib.Path, records: Sequence[Record]) -> int | None:
    """The first record of a cell whose file is missing or was altered; None if none.

    Args:
      folder: of the run.
      records: of the cell.
    """
    for number, record in enumerate(records):
        if "sha256" in record and content_of(folder, record) is None:
            return number
    return None


def content_of(folder: pathlib.Path, record: Record) -> bytes | None:
    """What the file of a record holds; None if it is not as it was written."""
    path = folder / record["cell"] / record["file"]
    raw = path.read_bytes() if path.is_file() else b""
    return raw if hashlib.sha256(raw).hexdigest() == record["sha256"] else None


def read_arrays(folder: pathlib.Path, record: Record) -> dict[str, np.ndarray]:
    """The arrays in the file of a record.

    Raises:
      ValueError: a file that is missing or was altered.
    """
    raw = content_of(folder, record)
    if raw is None:
        path = folder / record["cell"] / record["file"]
        raise ValueError(f"run_dir: {str(path)!r} is missing or was altered")
    with np.load(io.BytesIO(raw)) as arrays:
        return dict(arrays)
