"""Active label correction, method against method."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.common import noise, optimizer_flags
from experiments.studies.label_correction import report, setup
from experiments.studies.label_correction.config import CorrectionConfig
from experiments.studies.label_correction.costs import LabelCosts, read_flags
from experiments.studies.label_correction.presets import PRESETS
from experiments.studies.label_correction.runner import (
    Outcome,
    Watcher,
    axis_of,
    make_runs,
    reached,
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
      costs: of labels; None where all cost the same.
    """

    config: CorrectionConfig
    choice: Choice
    costs: LabelCosts | None


def _plan(request: Request) -> Plan[Settings]:
    given = request.given
    dataset = given.get("dataset", CorrectionConfig.dataset)
    preset, base = preset_of(PRESETS, request.preset, dataset)
    config = CorrectionConfig(**{**base, **given})
    noise.check_given(given, config)
    optimizer_flags.check_given_drops(given, config)
    choice = choose(
        config.methods,
        entries("label_correction"),
        base.get("options", ()),
        given.get("options", ()),
    )
    config = dataclasses.replace(config, methods=choice.methods, options=choice.options)
    costs = read_flags(config.label_costs, config.cost_blind, list(choice.chosen))
    return Plan(
        dataclasses.asdict(config),
        setup.default_name(config, preset),
        Settings(config, choice, costs),
    )


def _prepare(plan: Plan[Settings], stop: StopRequest) -> Ready[Parts]:
    config, choice, costs = plan.settings
    of = None if costs is None else costs.each
    data = setup.prepare(config, choice.make().values(), of)
    watcher = Watcher()
    trainer = setup.make_trainer(data, on_epoch=watcher, stop=stop)
    made = choice.make(data.noise_rate)
    runs = make_runs(
        list(made.values()), data, trainer, choice.errors, config.cost_blind
    )
    train = data.train
    known = known_labels(train.ids, data.task.labels, train.labels)
    if isinstance(data.budget, methods.CostBudget):
        known = [
            each._replace(columns={**each.columns, "cost": cost})
            for each, cost in zip(known, data.budget.costs)
        ]
    return Ready(
        data.title,
        [run.method.name for run in runs],
        setup.digested(data),
        (
            f"{train.name}: {len(train):,} examples, {train.num_classes} classes",
            data.task.description,
            *(() if costs is None else (f"label costs: {costs.text}",)),
            f"epochs as a {trainer.execution.loop}: {trainer.execution.reason}",
            *(f"  {label}: {e.description}" for label, e in choice.chosen.items()),
        ),
        Parts(data, runs, watcher),
        known,
        {"noise_rate": data.noise_rate},
    )


def _run(ready: Ready[Parts], journal: Journal, stop: StopRequest) -> None:
    data, runs, watcher = ready.parts
    for run in runs:
        name, budget = run.method.name, run.budget

        def rows(
            outcome: Outcome,
            name: str = name,
            budget: methods.Budget | methods.CostBudget = budget,
        ) -> Sequence[tuple[Mapping[str, object], Mapping[str, np.ndarray]]]:
            found = []
            for number in range(budget.rounds + 1):
                values = {"accuracy": outcome.accuracy[:, number]}
                if number > 0:
                    values["selection_accuracy"] = outcome.selection[:, number - 1]
                if outcome.spent is not None:
                    picks = outcome.picks[:, : budget.asked(number)]
                    values["asked"] = np.sum(picks >= 0, axis=1).astype(np.float64)
                    values["spent"] = outcome.spent[:, number]
                place = {"method": name, axis_of(budget): reached(budget, number)}
                found.append((place, values))
            return found

        run_method(run, data, journal.cell(name), rows, watcher, stop)
        say(f"{name} is finished")


STUDY = Study("label_correction", report.MEASURES, _plan, _prepare, _run, report.report)
