"""What the page says of a run or a sweep, the same parts for both."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

from experiments.reporting import grids
from experiments.reporting.examples import examples_behind
from experiments.reporting.pictures import Album, Example
from experiments.reporting.plots import Plot, plots
from experiments.reporting.runs import Run, read_run
from experiments.reporting.sweeps import (
    Sweep,
    points_of,
    read_sweep,
    results_of,
)
from experiments.sweeping.folder import RECORD


@dataclasses.dataclass(frozen=True)
class Shown:
    """Examples that a method has treated alike.

    Attributes:
      title: how.
      count: how many there are.
      of: among how many.
      examples: the first of them.
    """

    title: str
    count: int
    of: int
    examples: Sequence[Example]


@dataclasses.dataclass(frozen=True)
class Section:
    """One section of the page.

    Attributes:
      name: of the folder.
      title: a sentence.
      unfinished: what there is of how much; empty of what is finished.
      command: what was typed, or None.
      facts: (name, text) of device, time and versions.
      tables: (heading, tables), in order.
      plots: all of them.
      behind: (method, groups of examples).
      no_pictures: why examples have none.
      details: (heading, tables) for those who ask.
    """

    name: str
    title: str
    unfinished: str
    command: str | None
    facts: Sequence[tuple[str, str]]
    tables: Sequence[tuple[str, Sequence[grids.Grid]]]
    plots: Sequence[Plot]
    behind: Sequence[tuple[str, Sequence[Shown]]]
    no_pictures: str
    details: Sequence[tuple[str, Sequence[grids.Grid]]]


def read_folders(folders: Sequence[str]) -> list[Run | Sweep]:
    """Reads run and sweep folders, each once.

    Raises:
      ValueError: see `read_run` and `read_sweep`.
    """
    distinct = {pathlib.Path(text).resolve(): text for text in reversed(folders)}
    paths = [pathlib.Path(text) for text in reversed(distinct.values())]
    return [
        read_sweep(path) if (path / RECORD).is_file() else read_run(path)
        for path in paths
    ]


def sections_of(
    found: Sequence[Run | Sweep], *, baseline: str | None, examples: int, points: int
) -> Iterator[Section]:
    """Sections of runs, and of sweeps with the first so many of their runs.

    Args:
      found: of `read_folders`.
      baseline: see `grids.differences`.
      examples: how many are shown of a group.
      points: how many of a sweep have sections of their own.
    """
    for each in found:
        if isinstance(each, Run):
            yield _of_run(each, baseline, examples)
            continue
        yield _of_sweep(each)
        runs = [point.run for point in each.points[:points] if point.run is not None]
        for run in runs:
            yield _of_run(run, baseline, examples)


def _of_run(run: Run, baseline: str | None, examples: int) -> Section:
    behind = examples_behind(run.table, examples)
    album = Album(run) if behind else None
    shown = [
        (
            each.title,
            [Shown(g.title, g.count, g.of, album.examples(g)) for g in each.groups],
        )
        for each in behind
        if album is not None
    ]
    differences = grids.differences(run.table, baseline)
    speeds = grids.speeds(run.table)
    done = f"{run.finished_parts:,} of {run.parts:,} parts are finished"
    return Section(
        name=run.name,
        title=run.table.title,
        unfinished="" if run.finished else done,
        command=run.command,
        facts=[
            ("Device", run.device),
            ("Time", f"{run.minutes:.1f} minutes of work"),
            ("Versions", ", ".join(f"{n} {text}" for n, text in run.versions.items())),
        ],
        tables=_filled(
            ("Results", [grids.results(run.table)]),
            ("Paired differences", [differences] if differences else []),
        ),
        plots=plots(run.table),
        behind=shown,
        no_pictures=album.reason if album is not None else "",
        details=_filled(("Time", [speeds]), ("All flags", grids.flags(run.flags))),
    )


def _of_sweep(sweep: Sweep) -> Section:
    table = sweep.table()
    runs = [point.run for point in sweep.points if point.run is not None]
    done = f"{sweep.finished:,} of {len(sweep.points):,} points are finished"
    if sweep.outdated:
        done += ", and the tables are of others: give its command again"
    whole = sweep.finished == len(sweep.points) and not sweep.outdated
    devices = dict.fromkeys(run.device for run in runs)
    minutes = sum(run.minutes for run in runs)
    return Section(
        name=sweep.name,
        title=f"A sweep of {sweep.study} over {len(sweep.points):,} points",
        unfinished="" if whole else done,
        command=sweep.record.get("command"),
        facts=[
            *sweep.facts,
            ("Device", ", ".join(devices) or "unknown"),
            ("Time", f"{minutes:.1f} minutes of work"),
        ],
        tables=_filled(("Results", results_of(sweep, table))),
        plots=plots(table) if table is not None else [],
        behind=[],
        no_pictures="",
        details=_filled(("All points", [points_of(sweep)])),
    )


def _filled(
    *tables: tuple[str, Sequence[grids.Grid]],
) -> list[tuple[str, list[grids.Grid]]]:
    """Without those that have no rows."""
    found = [(title, [g for g in some if g.rows]) for title, some in tables]
    return [(title, some) for title, some in found if some]
