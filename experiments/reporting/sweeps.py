"""Sweep folders as a report reads them: points, runs, and the tidy tables over all."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.reporting.grids import Cell, Grid, grid, plain
from experiments.reporting.runs import Run, read_run
from experiments.study.numbers import Measure
from experiments.study.settings import Setting
from experiments.study.table import Table
from experiments.sweeping.folder import read_sweep_record
from robustjax.data import read_csv

_NOT_COLUMNS = ("point", "seed", "repeat", "measure", "value")


@dataclasses.dataclass(frozen=True)
class Point:
    """One point of a sweep.

    Attributes:
      values: what was swept -> text.
      run: what its folder says; None while there is none.
    """

    values: Mapping[str, str]
    run: Run | None

    @property
    def state(self) -> str:
        """In a word."""
        if self.run is None:
            return "missing"
        return "finished" if self.run.finished else "unfinished"


@dataclasses.dataclass(frozen=True)
class Sweep:
    """One sweep folder.

    Attributes:
      name: of the folder.
      record: what `sweep.json` holds.
      points: in the order of the grid.
      summary: the rows of `summary.csv`.
      each: the rows of `results.csv`.
    """

    name: str
    record: Mapping[str, Any]
    points: Sequence[Point]
    summary: Sequence[Mapping[str, str]]
    each: Sequence[Mapping[str, str]]

    @property
    def study(self) -> str:
        """Its name."""
        return str(self.record.get("study", "runs"))

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What was asked for, by name."""
        names = ("preset", "base", "grid", "baseline", "mark")
        there = [(name, self.record[name]) for name in names if self.record.get(name)]
        return [(name.capitalize(), _in_words(value)) for name, value in there]

    @property
    def finished(self) -> int:
        """How many points are."""
        return sum(point.state == "finished" for point in self.points)

    @property
    def outdated(self) -> bool:
        """Whether points have finished that the tables do not know, or are gone."""
        there = {
            point.run.table.folder.name
            for point in self.points
            if point.run is not None and point.run.finished
        }
        return {row["point"] for row in self.each} != there

    def table(self) -> Table | None:
        """All points as if they were one run, for plots; None while there are none."""
        runs = [point.run for point in self.points if point.run is not None]
        if not runs or not self.each:
            return None
        record = {**runs[0].table.record, "title": self.name}
        found = Table(runs[0].table.folder, record, {})
        found.settings = _settings(self.each, found)
        return found


def read_sweep(folder: pathlib.Path) -> Sweep:
    """Reads a sweep folder and all its runs.

    Raises:
      ValueError: a folder whose files were altered, or with a run that `read_run`
        refuses, which is named.
    """
    try:
        record = read_sweep_record(folder)
    except ValueError as error:
        raise ValueError(f"folder: {error}") from None
    if record is None:
        raise ValueError(f"folder: {str(folder)!r} holds no sweep")
    listed = [(folder / p["folder"], dict(p["values"])) for p in record["points"]]
    points = [
        Point(values, read_run(path) if _is_begun(path) else None)
        for path, values in listed
    ]
    name = "/".join(folder.resolve().parts[-2:])
    summary, each = (_rows(folder / f"{n}.csv") for n in ("summary", "results"))
    return Sweep(name, record, points, summary, each)


def points_of(sweep: Sweep) -> Grid:
    """Every point, what was swept there, and how far it is."""
    return grid(
        "Points",
        [
            {
                **point.values,
                "state": point.state,
                "run": point.run.name if point.run is not None else "",
                "minutes of work": f"{point.run.minutes:.2f}" if point.run else "",
            }
            for point in sweep.points
        ],
    )


def results_of(sweep: Sweep, table: Table | None) -> list[Grid]:
    """A table per measure: means, deviations, differences to the sweep's baseline."""
    grids = []
    for key in dict.fromkeys(row["measure"] for row in sweep.summary):
        measure = Measure(key, key, is_share=False)
        if table is not None:
            measure = table.measure(key)
        if not measure.in_summary:
            continue
        rows = []
        for row in (r for r in sweep.summary if r["measure"] == key):
            shown: dict[str, Any] = {}
            for name, text in row.items():
                if name == "mean":
                    shown[measure.title] = _pair(row, "mean", "std", measure)
                elif name == "difference_mean":
                    names = (name, "difference_std")
                    shown["difference"] = _pair(row, *names, measure)
                elif name == "difference_repeats":
                    shown["pairs"] = text
                elif name not in ("measure", "std", "difference_std"):
                    shown[name] = text
            rows.append(shown)
        title = f"{measure.title}: mean ± sample deviation over repeats"
        if sweep.record.get("baseline"):
            base = _in_words(sweep.record["baseline"])
            title += f", and of the paired differences to {base}"
        grids.append(grid(title, rows))
    return grids


def _in_words(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return ", ".join(f"{name}={plain(x).text}" for name, x in value.items())


def _is_begun(path: pathlib.Path) -> bool:
    """A folder that was only just made counts as none."""
    return path.is_dir() and any(path.iterdir())


def _rows(path: pathlib.Path) -> list[dict[str, str]]:
    return read_csv(path, name="folder") if path.is_file() else []


def _pair(row: Mapping[str, str], mean: str, deviation: str, measure: Measure) -> Cell:
    """Mean and deviation, which tables of files have in percent."""
    if not row[mean]:
        return Cell("")
    form = (".1f", ".1f") if measure.is_share else (".3g", ".2g")
    center, spread = float(row[mean]), row[deviation]
    sign = "+" if mean.startswith("difference") and center > 0 else ""
    text = f"{sign}{center:{form[0]}}"
    return Cell(text + (f" ±{float(spread):{form[1]}}" if spread else ""), center)


def _settings(rows: Sequence[Mapping[str, str]], table: Table) -> list[Setting]:
    """The settings of all points; seeds and repeats together are what is repeated."""
    places: dict[tuple[str, str], int] = {}
    found: dict[str, tuple[dict[str, Any], dict[str, dict[int, float]]]] = {}
    for row in rows:
        columns = {
            name: plain(text).number if plain(text).number is not None else text
            for name, text in row.items()
            if name not in _NOT_COLUMNS and text != ""
        }
        place = places.setdefault((row.get("seed", ""), row["repeat"]), len(places))
        values = found.setdefault(repr(columns), (columns, {}))[1]
        key = row["measure"]
        value = float(row["value"]) / table.measure(key).scale
        values.setdefault(key, {})[place] = value
    everywhere = tuple(sorted(places.values()))
    return [
        Setting(
            columns,
            {
                key: np.array([of.get(place, np.nan) for place in everywhere])
                for key, of in values.items()
            },
            everywhere,
            {},
        )
        for columns, values in found.values()
    ]
