"""Active label correction, method against method."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.common import noise
from experiments.studies.label_correction import report, setup
from experiments.studies.label_correction.config import CorrectionConfig
from experiments.studies.label_correction.presets import PRESETS
from experiments.studies.label_correction.runner import (
    Outcome,
    Watcher,
    make_runs,
    run_method,
)
from experiments.study.examples import known_labels
from experiments.study.journal import Journal
from experiments.study.presets import preset_of
from experiments.study.run import Plan, Ready, Request, Study
from robustjax import methods
from robustjax.methods import entries
from robustjax.tools.command.output import say
from robustjax.tools.method_choice import Choice, choose
from robustjax.training import StopRequest


class Parts(NamedTuple):
    """What is trained.

    Attributes:
      data: that all methods share.
      runs: of all methods, none of them begun.
      watcher: of the trainer that they share.
    """

    data: setup.Data
    runs: list[methods.CorrectionRun]
    watcher: Watcher


class Settings(NamedTuple):
    """What was asked for.

    Attributes:
      config: every flag.
      choice: of the methods.
    """

    config: CorrectionConfig
    choice: Choice


def _plan(request: Request) -> Plan[Settings]:
    given = request.given
    dataset = given.get("dataset", CorrectionConfig.dataset)
    preset, base = preset_of(PRESETS, request.preset, dataset)
    config = CorrectionConfig(**{**base, **given})
    noise.check_given(given, config)
    choice = choose(
        config.methods,
        entries("label_correction"),
        base.get("options", ()),
        given.get("options", ()),
    )
    config = dataclasses.replace(config, methods=choice.methods, options=choice.options)
    return Plan(
        dataclasses.asdict(config),
        setup.default_name(config, preset),
        Settings(config, choice),
    )


def _prepare(plan: Plan[Settings], stop: StopRequest) -> Ready[Parts]:
    config, choice = plan.settings
    data = setup.prepare(config, choice.make().values())
    watcher = Watcher()
    trainer = setup.make_trainer(data, on_epoch=watcher, stop=stop)
    made = choice.make(data.noise_rate)
    runs = make_runs(list(made.values()), data, trainer, choice.errors)
    train = data.train
    return Ready(
        data.title,
        [run.method.name for run in runs],
        setup.digested(data),
        (
            f"{train.name}: {len(train):,} examples, {train.num_classes} classes",
            data.task.description,
            f"epochs as a {trainer.execution.loop}: {trainer.execution.reason}",
            *(f"  {label}: {e.description}" for label, e in choice.chosen.items()),
        ),
        Parts(data, runs, watcher),
        known_labels(data.train.ids, data.task.labels, data.train.labels),
        {"noise_rate": data.noise_rate},
    )


def _run(ready: Ready[Parts], journal: Journal, stop: StopRequest) -> None:
    data, runs, watcher = ready.parts
    for run in runs:
        name, budget = run.method.name, run.budget

        def rows(
            outcome: Outcome, name: str = name, budget: methods.Budget = budget
        ) -> Sequence[tuple[Mapping[str, object], Mapping[str, np.ndarray]]]:
            found = []
            for number in range(budget.rounds + 1):
                values = {"accuracy": outcome.accuracy[:, number]}
                if number > 0:
                    values["selection_accuracy"] = outcome.selection[:, number - 1]
                found.append(({"method": name, "labels": budget.asked(number)}, values))
            return found

        run_method(run, data, journal.cell(name), rows, watcher, stop)
        say(f"{name} is finished")


STUDY = Study("label_correction", report.MEASURES, _plan, _prepare, _run, report.report)
