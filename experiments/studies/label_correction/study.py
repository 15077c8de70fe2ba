"""Active label correction, method against method."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.studies.label_correction import report, setup
from experiments.studies.label_correction.config import CorrectionConfig
from experiments.studies.label_correction.presets import PRESETS
from experiments.studies.label_correction.runner import (
    Outcome,
    Watcher,
    make_runs,
    run_method,
)
from experiments.study.flags import resolve
from experiments.study.journal import Journal
from experiments.study.output import say
from experiments.study.run import Plan, Ready, Request, Study
from robustjax import checks, methods
from robustjax.methods.label_correction import describe_arm
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


def _spell_out(config: CorrectionConfig) -> CorrectionConfig:
    """Replaces "all" by the names of all methods, and checks the names."""
    names = methods.ARM_NAMES if config.methods == ("all",) else config.methods
    if not names:
        raise ValueError("methods: got none, expected at least one")
    for name in names:
        checks.one_of("methods", name, methods.ARM_NAMES)
    if len(set(names)) < len(names):
        raise ValueError(f"methods: got {','.join(names)}, expected each name once")
    return dataclasses.replace(config, methods=tuple(names))


def _plan(request: Request) -> Plan[CorrectionConfig]:
    preset, config = resolve(CorrectionConfig, PRESETS, request.preset, request.given)
    config = _spell_out(config)
    return Plan(dataclasses.asdict(config), setup.default_name(config, preset), config)


def _prepare(plan: Plan[CorrectionConfig], stop: StopRequest) -> Ready[Parts]:
    data = setup.prepare(plan.settings)
    watcher = Watcher()
    trainer = setup.make_trainer(data, on_epoch=watcher, stop=stop)
    arms = [methods.make_arm(name, data.options) for name in plan.settings.methods]
    runs = make_runs(arms, data, trainer)
    train = data.train
    return Ready(
        data.title,
        [run.arm.name for run in runs],
        setup.digested(data),
        (
            f"{train.name}: {len(train):,} examples, {train.num_classes} classes",
            data.task.description,
            f"epochs as a {trainer.execution.loop}: {trainer.execution.reason}",
            *(f"  {run.arm.name}: {describe_arm(run.arm.name)}" for run in runs),
        ),
        Parts(data, runs, watcher),
        {"noise_rate": float(data.task.is_noisy.mean())},
    )


def _run(ready: Ready[Parts], journal: Journal, stop: StopRequest) -> None:
    data, runs, watcher = ready.parts
    for run in runs:
        name, budget = run.arm.name, run.budget

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
