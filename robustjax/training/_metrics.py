"""Metrics as JSON lines, CSV and TensorBoard events; resumable to the line."""

from __future__ import annotations

import csv
import io
import json
import math
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from robustjax.files import safe_cell, write_atomically

Record = dict[str, Any]
"""A line of a file of JSON lines."""


def read_jsonl(path: str | pathlib.Path) -> list[Record]:
    """Reads JSON lines; a last line torn by a kill is left out.

    Raises:
      ValueError: another line that cannot be read.
    """
    lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    records = []
    for number, line in enumerate(lines):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number == len(lines) - 1:
                break
            raise ValueError(
                f"metrics: line {number + 1} of {str(path)!r} is not JSON: {error}"
            ) from None
    return records


def write_csv(path: str | pathlib.Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes rows as CSV; columns are all keys in order of first appearance.

    Text that a spreadsheet would compute is written as `files.safe_cell` says, which
    `data.read_csv` undoes.
    """
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO(newline="")
    # Only what is part of its line end makes a writer quote a cell.
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\r\n")
    lines = []
    for row in ({column: column for column in columns}, *rows):
        writer.writerow({key: safe_cell(value) for key, value in row.items()})
        lines.append(text.getvalue().removesuffix("\r\n"))
        text.seek(0)
        text.truncate()
    write_atomically(path, "".join(f"{line}\n" for line in lines))


class MetricLog:
    """A run's metrics: every record as a JSON line, its numbers to TensorBoard.

    A resumed run first takes back the records that were written after its
    checkpoint (`rewind`), so that the file holds each exactly once.
    """

    def __init__(self, folder: str | pathlib.Path, *, tensorboard: bool = True):
        """Opens the log of a run folder, which must exist.

        Args:
          folder: the run folder; `metrics.jsonl` and `tensorboard/` live in it.
          tensorboard: also write TensorBoard events, if tensorboardX is installed.
        """
        self._folder = pathlib.Path(folder)
        self._path = self._folder / "metrics.jsonl"
        self._writers: dict[str, Any] = {}
        self._tensorboard = tensorboard
        self.records: list[Record] = (
            read_jsonl(self._path) if self._path.exists() else []
        )
        self._rewrite()

    def _rewrite(self) -> None:
        text = "".join(json.dumps(record) + "\n" for record in self.records)
        write_atomically(self._path, text)

    def rewind(self, keep: Callable[[Record], bool]) -> None:
        """Keeps only the records for which `keep` is true."""
        self.records = [record for record in self.records if keep(record)]
        self._rewrite()

    def write(self, record: Record, *, step: int, group: str = "") -> None:
        """Appends a record.

        Args:
          record: JSON-serialisable; floats that are not finite become null.
          step: TensorBoard's x-axis.
          group: TensorBoard's run, such as the name of a method.
        """
        clean = {
            key: None
            if isinstance(value, float) and not math.isfinite(value)
            else value
            for key, value in record.items()
        }
        self.records.append(clean)
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(clean) + "\n")
        writer = self._writer(group)
        if writer is not None:
            for key, value in clean.items():
                if isinstance(value, float):
                    writer.add_scalar(key, value, step)

    def _writer(self, group: str) -> Any:
        if not self._tensorboard:
            return None
        if group not in self._writers:
            try:
                from tensorboardX import SummaryWriter
            except ImportError:
                self._tensorboard = False
                return None
            self._writers[group] = SummaryWriter(
                str(self._folder / "tensorboard" / group)
            )
        return self._writers[group]

    def close(self) -> None:
        """Closes the TensorBoard writers."""
        for writer in self._writers.values():
            writer.close()
