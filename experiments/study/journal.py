"""The only writer of a run's results: what is not in it whole is not believed.

Every record belongs to a cell (one thing to train, such as a method) and carries a
sum over itself and the records of the cell before it. A line that was altered,
deleted or moved breaks the sums of its cell from there on: these records are dropped
and trained anew. A checkpoint knows how far its cell's records reached when it was
saved, and counts only while they are still there. `records` reads all this.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.study.records import (
    FILE,
    FINISHED,
    KEPT,
    RESULT,
    first_damaged,
    read_cells,
    sum_after,
)
from experiments.study.tensorboard import Events
from robustjax.files import write_atomically
from robustjax.tools.command.output import say
from robustjax.training import CheckpointFolder, Record, from_first_process


def _clean(value: Any) -> Any:
    """As JSON holds it: no tuples, no NumPy; floats that are not finite are null."""
    if isinstance(value, Mapping):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class Journal:
    """Records, checkpoints and what was decided about examples, of a whole run."""

    def __init__(self, folder: pathlib.Path, *, tensorboard: bool = True):
        """Opens the journal of a run folder, which is locked.

        Args:
          folder: the run folder; `metrics.jsonl` and `tensorboard/` live in it.
          tensorboard: also write TensorBoard events, if tensorboardX is installed.
        """
        self.folder = folder
        self._events = Events(folder / "tensorboard", wanted=tensorboard)
        self._records = from_first_process(lambda: read_cells(folder, report=say))
        self._cells: dict[str, Cell] = {}
        self._said: set[str] = set()
        self._rewrite()

    def __enter__(self) -> Journal:
        """Is closed at the end of the block."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Closes the TensorBoard writers."""
        self._events.close()

    def cell(self, name: str) -> Cell:
        """The part of the journal that is one cell's.

        Args:
          name: of the cell; its files live in a folder of this name.
        """
        # Once: a new one reads all files of the cell to see whether they are whole.
        if name not in self._cells:
            self._cells[name] = Cell(self, name, self._records.setdefault(name, []))
        return self._cells[name]

    def finished(self, name: str) -> bool:
        """Whether a cell has all its results, and its files are whole."""
        return self.cell(name).finished

    def _rewrite(self) -> None:
        if jax.process_index():
            return
        records = [record for cell in self._records.values() for record in cell]
        text = "".join(json.dumps(record) + "\n" for record in records)
        path = self.folder / FILE
        # A finished run stays as it is.
        if not path.is_file() or path.read_bytes() != text.encode():
            write_atomically(path, text)

    def _append(self, record: Record) -> None:
        if jax.process_index():
            return
        with open(self.folder / FILE, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


class Cell:
    """One cell's records, checkpoints and files."""

    def __init__(self, journal: Journal, name: str, records: list[Record]):
        """See `Journal.cell`."""
        self._journal, self.name, self._records = journal, name, records
        self.folder = journal.folder / name
        self.checkpoints = CellCheckpoints(self, self.folder / "checkpoints")
        self._drop_from_damaged_files()

    @property
    def records(self) -> Sequence[Record]:
        """In the order in which they were written."""
        return tuple(self._records)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return bool(self._records) and self._records[-1]["event"] == FINISHED

    @property
    def head(self) -> tuple[int, str]:
        """How many records there are, and the sum over them."""
        return len(self._records), self._records[-1]["sum"] if self._records else ""

    def holds(self, count: int, head: str) -> bool:
        """Whether the first so many records are those of that sum."""
        if count == 0:
            return head == ""
        return count <= len(self._records) and self._records[count - 1]["sum"] == head

    def write(
        self, event: str, *, step: int | None = None, group: str = "", **values: Any
    ) -> Record:
        """Appends a record.

        Args:
          event: its kind.
          step: TensorBoard's x-axis; None leaves it out there.
          group: TensorBoard's run within the cell.
          **values: JSON-serialisable; floats that are not finite become null.
        """
        record: Record = {"cell": self.name, "n": len(self._records), "event": event}
        record |= _clean(values)
        record["sum"] = sum_after(self.head[1], record)
        self._journal._append(record)
        self._records.append(record)
        if step is not None:
            self._journal._events.show(record, step, f"{self.name}/{group}".rstrip("/"))
        return record

    def result(
        self,
        columns: Mapping[str, Any],
        values: Mapping[str, Any],
        *,
        repeats: Sequence[int],
        **constants: Any,
    ) -> None:
        """Writes what some repeats gave in one setting: rows of the summary.

        Args:
          columns: what tells the row from others, such as {"method": "ce"}.
          values: measure -> (R,); NaN where it is undefined.
          repeats: (R,) their numbers, which mean the same draws in every method.
          **constants: further columns of the row, such as the number of epochs.
        """
        repeats = list(repeats)
        for name, each in values.items():
            if np.shape(each) != (len(repeats),):
                raise ValueError(
                    f"values: {name!r} has shape {np.shape(each)}, expected "
                    f"({len(repeats)},), one value per repeat"
                )
        self.write(
            RESULT,
            columns=columns,
            repeats=repeats,
            values={name: np.asarray(each, float) for name, each in values.items()},
            constants=constants,
        )

    def keep(
        self,
        label: str,
        ids: np.ndarray,
        keys: Mapping[str, Any],
        /,
        **columns: np.ndarray,
    ) -> None:
        """Keeps what was decided about examples, for `examples.csv`.

        Args:
          label: what its columns are prefixed with; "" for what all cells share.
          ids: (N,) of the examples.
          keys: what tells a row of the same id from others, such as {"repeat": 0}.
          **columns: (N,) each.
        """
        number = sum(record["event"] == KEPT for record in self._records)
        arrays = {"ids": np.asarray(ids), **columns}
        for name, array in arrays.items():
            if len(array) != len(ids) or np.ndim(array) != 1:
                raise ValueError(
                    f"columns: {name!r} has shape {np.shape(array)}, expected "
                    f"({len(ids)},)"
                )
        name = f"examples_{number}.npz"
        self.attach_arrays(KEPT, name, arrays, label=label, keys=keys)

    def attach_arrays(
        self, event: str, name: str, arrays: Mapping[str, Any], **values: Any
    ) -> None:
        """Attaches arrays by name as an `.npz` file, see `attach`."""
        content = io.BytesIO()
        kept: dict[str, Any] = {k: np.asarray(v) for k, v in arrays.items()}
        np.savez_compressed(content, **kept)
        self.attach(event, name, content.getvalue(), **values)

    def attach(self, event: str, name: str, content: bytes, **values: Any) -> None:
        """Writes a file of the cell, whole or not at all, and a record of it.

        Args:
          event: the record's kind.
          name: of the file, in the cell's folder.
          content: of the file. Where it is missing or altered when the run goes on,
            the record and those after it do not count.
          **values: of the record.
        """
        if jax.process_index() == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / name, content)
        self.write(
            event, **values, file=name, sha256=hashlib.sha256(content).hexdigest()
        )

    def attached(self, event: str) -> Iterator[tuple[Record, bytes]]:
        """The records of a kind with the contents of their files."""
        mine = [record for record in self._records if record["event"] == event]
        for record in mine:
            path = self.folder / record["file"]
            yield record, from_first_process(path.read_bytes)

    def finish(self) -> None:
        """Says that nothing is left to do."""
        self.write(FINISHED)

    def rewind(self, count: int) -> None:
        """Takes back all records but the first so many."""
        if count < len(self._records):
            del self._records[count:]
            self._journal._rewrite()

    def say_once(self, sentence: str) -> None:
        """Prints what holds for all cells, and is found out in each."""
        if sentence not in self._journal._said:
            self._journal._said.add(sentence)
            say(sentence)

    def _drop_from_damaged_files(self) -> None:
        folder = self._journal.folder
        number = from_first_process(lambda: first_damaged(folder, self._records))
        if number is not None:
            path = self.folder / self._records[number]["file"]
            say(f"{str(path)!r} is missing or was altered, and is made anew")
            self.rewind(number)


class CellCheckpoints(CheckpointFolder):
    """Checkpoints of a cell, which count only with the records before them."""

    def __init__(self, cell: Cell, path: pathlib.Path):
        """Opens (or will create) a folder; see `CheckpointFolder`."""
        super().__init__(path)
        self._cell = cell

    def save(self, step: int, tree: Any, meta: dict[str, Any] | None = None) -> None:
        """Writes a checkpoint that knows the records so far."""
        count, head = self._cell.head
        super().save(step, tree, {**(meta or {}), "records": count, "head": head})

    def restore_latest(
        self, like: Any, *, report: Callable[[str], None] | None = None
    ) -> tuple[int, Any, dict[str, Any]] | None:
        """Reads the newest one that counts; takes back the records after it."""
        found = super().restore_latest(like, report=report or say)
        self._cell.rewind(0 if found is None else found[2]["records"])
        return found

    def _tell(self, sentence: str, level: int = 0) -> None:
        del level
        self._cell.say_once(sentence)

    def _counts(self, meta: Mapping[str, Any]) -> bool:
        """Whether the records that were there when it was saved still are."""
        count, head = meta.get("records"), meta.get("head")
        if not isinstance(count, int) or not isinstance(head, str):
            return False
        return self._cell.holds(count, head)
