"""Data pruning under label noise, subset against subset."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import NamedTuple

import numpy as np

from experiments.studies.pruning import programs as program_lib
from experiments.studies.pruning import report, setup
from experiments.studies.pruning.config import DataPruningConfig
from experiments.studies.pruning.retrain import Trainer, Training
from experiments.studies.pruning.subset_methods import methods_of
from experiments.studies.pruning.subsets import SubsetStore, choose_subsets
from experiments.studies.pruning.warmup import warm_up
from experiments.study.examples import Known, known_labels
from experiments.study.journal import Journal
from experiments.study.run import Plan, Ready, Request, Study
from robustjax.tools.method_options import as_texts
from robustjax.training import StopRequest


class Settings(NamedTuple):
    """What was asked for.

    Attributes:
      config: every flag.
      preset: its name, or None.
    """

    config: DataPruningConfig
    preset: str | None


class Parts(NamedTuple):
    """What is trained.

    Attributes:
      data: that all subsets share.
      programs: that they are trained by.
    """

    data: setup.Data
    programs: program_lib.Programs


def _default_name(config: DataPruningConfig, preset: str | None) -> str:
    scope = preset or pathlib.Path(config.dataset).stem
    if config.noise == "key":
        kind = "" if config.label_set in scope.split("_") else f"-{config.label_set}"
    elif config.noise in ("none", "file"):
        kind = f"-{config.noise}"
    else:
        kind = f"-{config.noise}-{round(100 * config.noise_rate)}"
    if config.foreign:
        source = pathlib.Path(config.foreign).stem
        kind += f"-{source}-{round(100 * config.foreign_share)}"
    return f"{scope}{kind}-{config.relabeler}"


def _plan(request: Request) -> Plan[Settings]:
    preset, config = setup.resolve(request.preset, request.given)
    setup.check(config)
    return Plan(
        dataclasses.asdict(config),
        _default_name(config, preset),
        Settings(config, preset),
    )


def _known(data: setup.Data) -> list[Known]:
    """Given and true labels, and which images are foreign, if any."""
    known = known_labels(data.train.ids, data.given, data.train.labels)
    if not data.is_foreign.any():
        return known
    is_foreign = data.is_foreign
    # Foreign images have no class.
    true = np.where(is_foreign, -1, data.train.labels)
    return [
        each._replace(columns={**each.columns, "true": true, "foreign": is_foreign})
        for each in known
    ]


def _prepare(plan: Plan[Settings], stop: StopRequest) -> Ready[Parts]:
    del stop
    config, preset = plan.settings
    data = setup.prepare(config)
    # Everything is built before anything trains.
    programs = program_lib.build(data)
    shown = " ".join(as_texts(setup.relabeler_options(config))) or "defaults"
    repeats = range(config.repeats)
    return Ready(
        data.title,
        [
            *(f"subsets/repeat_{repeat}" for repeat in repeats),
            *(Training(*s, repeat).cell for s in data.subsets() for repeat in repeats),
        ],
        data.digested(),
        (
            f"preset: {preset or 'none'}",
            f"{data.train.name}: {len(data.train):,} examples",
            data.description,
            f"re-labelling by {config.relabeler} ({shown})",
            f"epochs as a {data.execution.loop}: {data.execution.reason}",
            *(
                f"  {label}: {each.description}"
                for label, each in methods_of(config).items()
            ),
        ),
        Parts(data, programs),
        _known(data),
    )


def _run(ready: Ready[Parts], journal: Journal, stop: StopRequest) -> None:
    data, programs = ready.parts
    stores = {}
    for repeat in range(data.config.repeats):
        store = SubsetStore(journal.cell(f"subsets/repeat_{repeat}"))
        if not store.finished:
            cell = journal.cell(f"warmup/repeat_{repeat}")
            evaluation = warm_up(data, programs, repeat, cell, stop)
            choose_subsets(data, repeat, evaluation, store, stop)
            store.keep_examples(data, repeat, evaluation)
        stores[repeat] = store
    Trainer(data, programs, stores, journal, stop).run()


STUDY = Study("pruning", report.MEASURES, _plan, _prepare, _run, report.report)
