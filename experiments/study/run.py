"""One study from what was asked for to what is left in its folder."""

from __future__ import annotations

import dataclasses
import pathlib
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import jax
import numpy as np

from experiments.study.agreement import check_same_data, check_same_run
from experiments.study.examples import Known, keep_known
from experiments.study.flags import Given, as_flag
from experiments.study.journal import Journal
from experiments.study.numbers import Measure
from experiments.study.repeats import StandIn
from experiments.study.run_folder import (
    SUMMARY,
    changed_versions,
    check_run_folder,
    data_digests,
    open_run_folder,
    read_record,
    run_folder_path,
)
from experiments.study.table import Table
from robustjax.tools.command.output import say
from robustjax.training import InterruptedRunError, StopRequest

Settings = TypeVar("Settings")
Parts = TypeVar("Parts")
# No method can be called so.
_KNOWN = "data/examples"


@dataclasses.dataclass(frozen=True)
class Request:
    """What was asked for on the command line.

    Attributes:
      methods: entries of `--methods`; empty for the preset's or the study's own.
      preset: its name, or None.
      given: the fields of the study's configuration that were given.
      run_dir: where run folders go.
      name: of the run; None makes one up.
    """

    methods: Sequence[str] = ()
    preset: str | None = None
    given: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    run_dir: str = "runs"
    name: str | None = None

    @classmethod
    def of(cls, given: Given, methods: Sequence[str] = ()) -> Request:
        """From what was given as flags."""
        return cls(methods, given.preset, given.fields, given.run_dir, given.name)

    def command(self, study: str) -> str:
        """What to type for the same run."""
        names = {"preset": self.preset, "methods": self.methods or None}
        places = {"run_dir": None if self.run_dir == "runs" else self.run_dir}
        given = {**names, **self.given, **places, "name": self.name}
        parts = [as_flag(name, x) for name, x in given.items() if x is not None]
        return shlex.join(["python", "-m", f"experiments.{study}", *parts])


@dataclasses.dataclass(frozen=True)
class Plan(Generic[Settings]):
    """A request that was understood; no data have been looked at.

    Attributes:
      config: every flag, JSON-serialisable: what makes the run this run.
      default_name: of the run, where none is given.
      settings: what the study goes on with.
    """

    config: Mapping[str, Any]
    default_name: str
    settings: Settings


@dataclasses.dataclass(frozen=True)
class Ready(Generic[Parts]):
    """A study of which everything is built and nothing trained.

    Attributes:
      title: for plots.
      cells: the names of all cells, in the order of the tables.
      data: arrays that the results depend on; their digests are the run's, too.
      lines: what to tell people before it begins.
      parts: what the study goes on with.
      known: of examples before anything trains, for `examples.csv`; read once.
      facts: what the report must know besides, JSON-serialisable.
    """

    title: str
    cells: Sequence[str]
    data: Mapping[str, np.ndarray | None]
    lines: Sequence[str]
    parts: Parts
    known: Iterable[Known] = ()
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Study(Generic[Settings, Parts]):
    """What is particular about a study.

    Attributes:
      name: of the study, its launcher and the folder of its runs.
      measures: what it measures, in the order of the tables; a key that ends in "*"
        stands for all that begin like it.
      plan: from a request; raises `ValueError` for bad flags, before any work.
      prepare: loads the data and builds everything that will train; raises
        `ValueError`, with nothing written yet.
      run: trains, and writes to the journal alone.
      report: draws plots into the table's folder and returns what to tell people; it
        knows nothing but the table.
      run_beside: as `run`, of a study whose trainings can be done together with those
        of others, by what stands in for their programs; None where they cannot.
      agreed: flags that methods have values of their own for, and of which one is
        needed where methods are compared, for they say what all are trained on. A plan
        of the study has its config by label, under "methods".
    """

    name: str
    measures: Sequence[Measure]
    plan: Callable[[Request], Plan[Settings]]
    prepare: Callable[[Plan[Settings], StopRequest], Ready[Parts]]
    run: Callable[[Ready[Parts], Journal, StopRequest], None]
    report: Callable[[Table], str]
    run_beside: Callable[[Ready[Parts], Journal, StopRequest, StandIn], None] | None = (
        None
    )
    agreed: Sequence[str] = ()


def run_study(
    study: Study[Any, Any],
    request: Request,
    stop: StopRequest,
    stand_in: StandIn | None = None,
) -> pathlib.Path:
    """Prepares, trains (or continues) and reports.

    Args:
      study: which.
      request: what was asked for.
      stop: checked after every epoch or round.
      stand_in: what trains in the place of the study's programs, of a study with
        `run_beside`; None for themselves.

    Returns:
      The run folder.

    Raises:
      ValueError: a bad flag, before anything is trained.
      InterruptedRunError: `stop` was requested; what is finished is in the tables.
    """
    plan = study.plan(request)
    folder = run_folder_path(
        request.run_dir, study.name, request.name or plan.default_name
    )
    check_run_folder(folder, plan.config)
    check_same_run(study.name, plan.config)
    ready = study.prepare(plan, stop)
    digests = data_digests(ready.data)
    check_same_data(digests)
    record = {
        "study": study.name,
        "title": ready.title,
        "command": request.command(study.name),
        "config": plan.config,
        "data": digests,
        "cells": [_KNOWN, *ready.cells],
        "facts": dict(ready.facts),
        "measures": [dataclasses.asdict(measure) for measure in study.measures],
    }
    with open_run_folder(folder, record):
        for line in (*ready.lines, f"run folder {folder}"):
            say(line)
        try:
            with Journal(folder) as journal:
                whole = all(map(journal.finished, ready.cells))
                if not whole:
                    # The record is that of the beginning.
                    for line in changed_versions(read_record(folder) or {}):
                        say(f"warning: {line}", error=True)
                if jax.process_index() == 0 and not whole:
                    # Until it is written again, it would say too little.
                    (folder / SUMMARY).unlink(missing_ok=True)
                keep_known(journal.cell(_KNOWN), ready.known)
                if stand_in is None:
                    study.run(ready, journal, stop)
                else:
                    assert study.run_beside is not None, study.name
                    study.run_beside(ready, journal, stop, stand_in)
        except InterruptedRunError:
            if jax.process_index() == 0:
                Table.read(folder).write_files()
            raise
        if jax.process_index() == 0:
            table = Table.read(folder)
            table.write_files()
            say(f"\n{study.report(table)}")
            files = sorted(p.name for p in folder.iterdir() if p.is_file())
            say(f"written to {folder}: {', '.join(files)}")
    return folder
