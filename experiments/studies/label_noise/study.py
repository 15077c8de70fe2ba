"""Training under label noise, method against method."""

from __future__ import annotations

import dataclasses
import os
from typing import NamedTuple

import numpy as np

from experiments.common.inputs import arrays_of
from experiments.studies.label_noise import report, setup
from experiments.studies.label_noise.config import NoisyLabelsConfig
from experiments.studies.label_noise.configs import Built, MethodConfig, resolve
from experiments.studies.label_noise.method_presets import NOISE_FIELDS
from experiments.studies.label_noise.runner import run_method
from experiments.study.examples import known_labels
from experiments.study.journal import Journal
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
from robustjax.tools.method_options import choose_methods
from robustjax.training import StopRequest

Configs = dict[str, MethodConfig]


class Parts(NamedTuple):
    """What is trained.

    Attributes:
      data: that all methods share.
      configs: of every method.
      built: of every method.
      groups: of every method, the repeats that train as one program.
    """

    data: setup.Data
    configs: Configs
    built: dict[str, Built]
    groups: dict[str, list[range]]


def _default_name(config: NoisyLabelsConfig, preset: str | None) -> str:
    scope = preset or os.path.basename(config.dataset)
    if config.noise == "key":
        return f"{scope}-{config.label_set}"
    if config.noise in ("none", "file"):
        return f"{scope}-{config.noise}"
    return f"{scope}-{config.noise}-{round(100 * config.noise_rate)}"


def _plan(request: Request) -> Plan[Configs]:
    configs = resolve(
        choose_methods(request.methods, entries("label_noise")),
        request.preset,
        request.given,
    )
    shared = next(iter(configs.values()))
    setup.check(shared.config)
    return Plan(
        {
            "methods": {
                label: {"method": c.entry.name, **dataclasses.asdict(c.config)}
                for label, c in configs.items()
            }
        },
        _default_name(shared.config, shared.preset),
        configs,
    )


def _prepare(plan: Plan[Configs], stop: StopRequest) -> Ready[Parts]:
    del stop
    configs = plan.settings
    config = next(iter(configs.values())).config
    data = setup.prepare(config)
    # Everything is built before anything trains.
    built = {method: each.build(data) for method, each in configs.items()}
    groups = {}
    for method, each in built.items():
        size = group_size(config.parallel_repeats, data.repeats, each.execution)
        groups[method] = groups_of(data.repeats, size)
    train = data.train
    return Ready(
        data.title,
        [cell_name(method, g) for method, own in groups.items() for g in own],
        {
            **arrays_of(train, data.test),
            "given labels": np.concatenate([data.given, data.validation_labels], 1),
        },
        (
            f"{train.name}: {len(train):,} examples, {train.num_classes} classes",
            data.description,
        ),
        Parts(data, configs, built, groups),
        known_labels(train.ids, data.given, train.labels),
    )


def _run(
    ready: Ready[Parts],
    journal: Journal,
    stop: StopRequest,
    stand_in: StandIn = alone,
) -> None:
    data, configs, built, groups = ready.parts
    for method, each in built.items():
        say(f"\n{method}: {configs[method].entry.description}")
        say(f"  {configs[method].describe()}")
        say(f"  epochs as a {each.execution.loop}: {each.execution.reason}")
        run_method(method, each.program, data, groups[method], journal, stop, stand_in)


STUDY = Study(
    "label_noise",
    report.MEASURES,
    _plan,
    _prepare,
    _run,
    report.report,
    _run,
    agreed=NOISE_FIELDS,
)
