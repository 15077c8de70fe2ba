"""Training under dataset bias, method against method."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import NamedTuple

from experiments.studies.dataset_bias import report, setup
from experiments.studies.dataset_bias.config import DatasetBiasConfig
from experiments.studies.dataset_bias.presets import PRESETS
from experiments.studies.dataset_bias.programs import Built, build
from experiments.studies.dataset_bias.runner import defined_accuracies, run_method
from experiments.study.journal import Journal
from experiments.study.presets import preset_of
from experiments.study.repeats import (
    StandIn,
    alone,
    cell_name,
    group_size,
    groups_of,
)
from experiments.study.run import Plan, Ready, Request, Study
from robustjax.methods import entries
from robustjax.tools.command.output import say
from robustjax.tools.method_choice import Choice
from robustjax.tools.method_options import (
    choose_methods,
    preset_options,
    read_options,
)
from robustjax.training import StopRequest


class Settings(NamedTuple):
    """What was asked for.

    Attributes:
      config: every flag.
      choice: of the methods.
      preset: its name, or None.
    """

    config: DatasetBiasConfig
    choice: Choice
    preset: str | None


class Parts(NamedTuple):
    """What is trained.

    Attributes:
      data: that all methods share.
      choice: of the methods.
      built: of every method.
      groups: of every method, the repeats that train as one program.
    """

    data: setup.Data
    choice: Choice
    built: dict[str, Built]
    groups: dict[str, list[range]]


def _default_name(config: DatasetBiasConfig, preset: str | None) -> str:
    name = preset or f"{pathlib.Path(config.dataset).stem}-{config.bias}"
    if config.noise_rate and (
        preset is None or not PRESETS[preset].fields.get("noise_rate")
    ):
        name = f"{name}-{config.noise}-{round(100 * config.noise_rate)}"
    return name


def _plan(request: Request) -> Plan[Settings]:
    preset, base = preset_of(PRESETS, request.preset, request.given.get("dataset"))
    config = DatasetBiasConfig(**{**base, **request.given})
    chosen = choose_methods(config.methods, entries("bias"))
    own = preset_options(chosen, base.get("options", ()))
    options = (*own, *request.given.get("options", ()))
    choice = Choice(chosen, read_options(options, chosen))
    config = dataclasses.replace(config, methods=choice.methods, options=choice.options)
    setup.check_given(request.given, config)
    setup.check(config)
    return Plan(
        dataclasses.asdict(config),
        _default_name(config, preset),
        Settings(config, choice, preset),
    )


def _prepare(plan: Plan[Settings], stop: StopRequest) -> Ready[Parts]:
    del stop
    config, choice, preset = plan.settings
    data = setup.prepare(config)
    defined_accuracies(data.test)
    # Everything is built before anything trains.
    built = {label: build(label, choice, data) for label in choice.chosen}
    groups = {}
    for label, each in built.items():
        size = group_size(config.parallel_repeats, config.repeats, each.execution)
        groups[label] = groups_of(config.repeats, size)
    train = data.train.dataset
    return Ready(
        data.title,
        [cell_name(label, g) for label, own in groups.items() for g in own],
        data.digested(),
        (
            f"preset: {preset or 'none'}",
            f"{train.name}: {len(train):,} examples, {train.num_classes} classes",
            data.description,
        ),
        Parts(data, choice, built, groups),
        data.known(),
    )


def _run(
    ready: Ready[Parts],
    journal: Journal,
    stop: StopRequest,
    stand_in: StandIn = alone,
) -> None:
    data, choice, built, groups = ready.parts
    for label, each in built.items():
        say(f"\n{label}: {choice.chosen[label].description}")
        say(f"  epochs as a {each.execution.loop}: {each.execution.reason}")
        run_method(label, each, data, groups[label], journal, stop, stand_in)


STUDY = Study(
    "dataset_bias", report.MEASURES, _plan, _prepare, _run, report.report, _run
)
