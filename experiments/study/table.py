"""The results of a run as tables, read from its folder and from nothing else."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.study.example_table import ExampleTable
from experiments.study.numbers import (
    Measure,
    deviation,
    in_cell,
    mean,
    shown,
)
from experiments.study.records import EPOCH, KEPT, read_arrays, read_cells
from experiments.study.run_folder import (
    RECORD,
    SUMMARY,
    of_another_version,
    read_record,
)
from experiments.study.settings import Curve, Setting, join_results
from robustjax.tools.tables import in_file, text_table
from robustjax.training import Record, write_csv


class Table:
    """What a run's folder says, whether or not the run is finished.

    Attributes:
      folder: of the run.
      record: what `config.json` holds.
      title: of the run, for plots.
      facts: what the report must know besides.
      measures: key -> measure, in the order of the study.
      settings: the rows of the summary, cell by cell in the study's order.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        record: Mapping[str, Any],
        cells: Mapping[str, Sequence[Record]],
    ):
        """See `read`."""
        self.folder, self.record = folder, record
        self.title, self.facts = str(record["title"]), dict(record.get("facts", {}))
        self.measures = {m["key"]: Measure(**m) for m in record["measures"]}
        ordered = [name for name in record["cells"] if name in cells]
        self._cells = {name: cells[name] for name in ordered}
        self.settings = list(join_results(self._cells))
        for key in {key for setting in self.settings for key in setting.values}:
            self.measure(key)

    @classmethod
    def read(cls, folder: str | pathlib.Path) -> Table:
        """Reads a run folder, whether its run is finished, at work or was killed.

        Raises:
          ValueError: a folder that holds no run of a study, or one of another
            version; a `config.json` or `metrics.jsonl` that was altered or cannot be
            read.
        """
        folder = pathlib.Path(folder)
        record = read_record(folder)
        if record is None:
            raise ValueError(f"folder: {str(folder)!r} holds no {RECORD}")
        damage: list[str] = []
        try:
            cells = read_cells(folder, report=damage.append)
        except OSError as error:
            raise ValueError(
                f"folder: cannot read {error.filename!r}: {error.strerror}"
            ) from None
        if damage:
            raise ValueError(
                f"folder: {damage[0]}; the run's command, given again, mends it"
            )
        try:
            return cls(folder, record, cells)
        except (KeyError, TypeError, AttributeError):
            # All was read as it was written, but not by this version.
            raise of_another_version(folder, record) from None
        except ValueError as error:
            raise ValueError(f"folder: {str(folder)!r}: {error}") from None

    def records(self, event: str) -> list[Record]:
        """The records of a kind, cell by cell."""
        return [r for cell in self._cells.values() for r in cell if r["event"] == event]

    def column(self, name: str) -> list[Any]:
        """The different values of a column, in order of appearance."""
        found = (s.columns[name] for s in self.settings if name in s.columns)
        return list(dict.fromkeys(found))

    def where(self, **columns: Any) -> list[Setting]:
        """The settings with these values in their columns."""
        return [
            s
            for s in self.settings
            if all(s.columns.get(name) == value for name, value in columns.items())
        ]

    def one(self, **columns: Any) -> Setting | None:
        """The setting with these values, or None.

        Raises:
          ValueError: several.
        """
        found = self.where(**columns)
        if len(found) > 1:
            raise ValueError(f"columns: {columns} are of {len(found)} settings")
        return found[0] if found else None

    def line(
        self, measure: str, axis: str, **columns: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """A measure along a column: (X,) its values, and (R, X); NaN where missing."""
        found = [s for s in self.where(**columns) if measure in s.values]
        repeats = sorted({r for s in found for r in s.repeats})
        values = np.full((len(repeats), len(found)), np.nan)
        for number, setting in enumerate(found):
            rows = [repeats.index(r) for r in setting.repeats]
            values[rows, number] = setting.values[measure]
        return np.array([s.columns[axis] for s in found]), values

    def curve(self, key: str, **fields: Any) -> Curve | None:
        """What was watched, epoch by epoch; None if nothing was.

        Args:
          key: of the measure.
          **fields: of the epochs' records, such as method="ce".
        """
        parts: list[tuple[int, dict[int, list[float]]]] = []
        for records in self._cells.values():
            mine = [
                r
                for r in records
                if r["event"] == EPOCH
                and key in r.get("of_repeats", {})
                and all(r.get(name) == value for name, value in fields.items())
            ]
            if mine:
                there = {r["epoch"] + 1: r["of_repeats"][key] for r in mine}
                parts.append((mine[0]["repeats"], there))
        if not parts:
            return None
        epochs = sorted({epoch for _, there in parts for epoch in there})
        values = [
            np.array([there.get(e, [np.nan] * size) for e in epochs], np.float64).T
            for size, there in parts
        ]
        return Curve(np.array(epochs), np.concatenate(values))

    def speeds(self) -> list[dict[str, Any]]:
        """Minutes of work per method and setting; seconds of a late epoch or round.

        The latter of one repeat, where several train together.
        """
        settings = dict.fromkeys(n for s in self.settings for n in s.columns)
        names = [n for n in ("method", *settings) if n != "round"]
        seconds: dict[tuple[Any, ...], list[tuple[float, int]]] = {}
        for cell in self._cells.values():
            for record in (r for r in cell if "seconds" in r):
                key = tuple((n, record[n]) for n in dict.fromkeys(names) if n in record)
                mine = seconds.setdefault(key, [])
                mine.append((record["seconds"], record.get("repeats", 1)))
        rows = []
        for key, mine in seconds.items():
            late = np.median([s / count for s, count in mine[len(mine) // 2 :]])
            minutes = sum(s for s, _ in mine) / 60
            rows.append(
                {
                    **dict(key),
                    "minutes": f"{minutes:.2f}",
                    "seconds_late": f"{late:.4g}",
                }
            )
        return rows

    def against(
        self, base: Mapping[str, Any], measure: str
    ) -> Iterator[tuple[Setting, np.ndarray]]:
        """Differences (R,) to a base, of the repeats that both have.

        Args:
          base: columns that make any setting its base, such as {"method": "ce"}.
          measure: what is compared.

        Yields:
          Every other setting that has a base, if both have the measure, and the
          differences.
        """
        for setting in self.settings:
            wanted = {**setting.columns, **base}
            other = self.one(**wanted)
            if other is None or other is setting:
                continue
            if measure not in setting.values or measure not in other.values:
                continue
            both = [r for r in setting.repeats if r in other.repeats]
            mine, its = (
                s.values[measure][[s.repeats.index(r) for r in both]]
                for s in (setting, other)
            )
            yield setting, mine - its

    def text(
        self,
        measure: str,
        rows: str,
        columns: str | None = None,
        *,
        title: str | None = None,
        most: int = 9,
        **where: Any,
    ) -> str:
        """A measure as text: mean and deviation, a column's values against another's.

        Args:
          measure: its key.
          rows: the column whose values are rows.
          columns: the column whose values are columns; None for a single one.
          title: of the table; by default that of the measure.
          most: columns at most, the first and the last included.
          **where: only settings with these values.
        """
        of = self.measures[measure]
        found = [s for s in self.where(**where) if measure in s.values]
        across = (
            list(dict.fromkeys(s.columns[columns] for s in found)) if columns else []
        )
        if across and all(isinstance(x, (int, float)) for x in across):
            across.sort()
        chosen = shown(across, most)
        by_row: dict[Any, dict[Any, str]] = {}
        for setting in found:
            place = setting.columns[columns] if columns else None
            mine = by_row.setdefault(setting.columns[rows], {})
            mine[place] = in_cell(setting.values[measure], of)
        header = (
            [title or of.title, *(_head(x) for x in chosen)]
            if columns
            else [
                rows,
                title or of.title,
            ]
        )
        lines = [
            [str(row), *(cells.get(x, "") for x in (chosen if columns else [None]))]
            for row, cells in by_row.items()
        ]
        return text_table(header, lines)

    def overview(self, rows: str) -> str:
        """All measures of the summary as text, a row per value of a column."""
        keys = [
            key
            for key in dict.fromkeys(k for s in self.settings for k in s.values)
            if self.measure(key).in_summary
        ]
        header = [rows, *(self.measure(key).title for key in keys)]
        lines = [
            [
                str(setting.columns[rows]),
                *(
                    in_cell(setting.values[key], self.measure(key))
                    if key in setting.values
                    else ""
                    for key in keys
                ),
            ]
            for setting in self.settings
        ]
        return text_table(header, lines)

    def each_repeat(self) -> Iterator[dict[str, Any]]:
        """The rows of `repeats.csv`: what one repeat gave in one setting."""
        for setting in self.settings:
            columns = {name: _plain(x) for name, x in setting.columns.items()}
            for key, values in setting.values.items():
                scaled = self.measure(key).scale * values
                for repeat, value in zip(setting.repeats, scaled.tolist()):
                    if math.isfinite(value):
                        yield {
                            **columns,
                            "repeat": repeat,
                            "measure": key,
                            "value": f"{value:.8g}",
                        }

    def write_files(self) -> None:
        """Writes `summary.csv`, `repeats.csv`, and `examples.csv` if any were kept.

        Means and sample deviations over repeats, shares in percent. A measure that some
        repeats of a row lack has a column `<measure>_repeats` with how many have it.
        Only `speed.csv` holds times, so that a run that was killed and resumed gives
        the same bytes.
        """
        rows, partly = [], self._partly_measured()
        for setting in self.settings:
            columns = {name: _plain(x) for name, x in setting.columns.items()}
            row: dict[str, Any] = {**columns, **setting.constants}
            for key, values in setting.values.items():
                measure = self.measure(key)
                if measure.in_summary:
                    row[f"{key}_mean"] = in_file(measure.scale * mean(values))
                    row[f"{key}_std"] = in_file(measure.scale * deviation(values))
                if measure.in_summary and key in partly:
                    row[f"{key}_repeats"] = int(np.isfinite(values).sum())
            row["repeats"] = len(setting.repeats)
            rows.append(row)
        write_csv(self.folder / "repeats.csv", self.each_repeat())
        kept = self.records(KEPT)
        if kept:
            examples = ExampleTable(self.folder, kept, self._read)
            write_csv(self.folder / "examples.csv", examples.rows(), examples.columns)
        speeds = self.speeds()
        if speeds:
            write_csv(self.folder / "speed.csv", speeds)
        # The last, for it tells `status` that all are there. Before the first result
        # there is nothing to say; an old file would lie.
        write_csv(self.folder / SUMMARY, rows)

    def _partly_measured(self) -> set[str]:
        """The measures that in some row some of the repeats have, and some lack."""
        return {
            key
            for setting in self.settings
            for key, values in setting.values.items()
            if 0 < np.isfinite(values).sum() < len(values)
        }

    def measure(self, key: str) -> Measure:
        """A measure; those that the study does not list are told by their prefix."""
        if key in self.measures:
            return self.measures[key]
        for prefix, measure in self.measures.items():
            if prefix.endswith("*") and key.startswith(prefix[:-1]):
                return dataclasses.replace(measure, key=key)
        raise ValueError(f"measures: {key!r} is none of the study's")

    def examples(
        self, **keys: Any
    ) -> Iterator[tuple[str, dict[str, Any], dict[str, np.ndarray]]]:
        """What was kept of examples: (label, keys, arrays with "ids").

        Args:
          **keys: what is read, such as repeat=0; all by default.
        """
        for record in self.records(KEPT):
            if keys.items() <= record["keys"].items():
                yield record["label"], record["keys"], self._read(record)

    def attached(self, event: str) -> Iterator[tuple[Record, dict[str, np.ndarray]]]:
        """The records of a kind with the arrays of their files.

        Raises:
          ValueError: a file that is missing or was altered.
        """
        for record in self.records(event):
            yield record, self._read(record)

    def _read(self, record: Record) -> dict[str, np.ndarray]:
        return read_arrays(self.folder, record)


def _head(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _plain(value: Any) -> Any:
    """0.2 for 0.2, and 1 for 1.0."""
    return f"{value:g}" if isinstance(value, float) else value
