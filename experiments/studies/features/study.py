"""Training that unlearns the features of out-of-distribution images."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable

import jax.numpy as jnp

from experiments.studies.features import combinations, report, setup
from experiments.studies.features.adversarial import build_adversarial
from experiments.studies.features.config import FeatureDebiasingConfig
from experiments.studies.features.examples import known_examples
from experiments.studies.features.options import options_of
from experiments.studies.features.presets import TASK_PRESETS, Settings, resolve
from experiments.studies.features.pretraining import Pretraining, build_fine_tuning
from experiments.studies.features.programs import (
    Training,
    build_network,
    build_training,
)
from experiments.studies.features.runner import Parts, make_measure, run_method
from experiments.studies.features.semi_supervised import build_mix_match
from experiments.study.journal import Journal
from experiments.study.repeats import group_size, groups_of
from experiments.study.run import Plan, Ready, Request, Study
from robustjax.training import StopRequest


def _default_name(config: FeatureDebiasingConfig, preset: str | None) -> str:
    name = preset or pathlib.Path(config.dataset).stem
    if config.task not in name and (preset is None or preset in TASK_PRESETS):
        name = f"{name}-{config.task}"
    if config.training != "plain" and config.training not in name:
        name = f"{name}-{config.training}"
    return f"{name}-{config.box_loss}" if config.task == "boxes" else name


_BUILDERS: dict[str, Callable[..., Training]] = {
    "plain": build_training,
    "adversarial": build_adversarial,
    "mix_match": build_mix_match,
    "pretrained": build_fine_tuning,
}


def _describe(method: str, config: FeatureDebiasingConfig) -> str:
    """One line on what a method does in a step."""
    half = config.batch_size // 2
    if config.training == "mix_match":
        mine = f"{half} labelled, {half} unlabelled"
    elif method in combinations.WITH_OOD or config.standard_batch == "half":
        mine = f"{half} target"
    else:
        mine = f"{config.batch_size} target"
    start = ""
    if config.training == "pretrained":
        images = "target" if method == "standard" else "target and OOD"
        start = f"SimCLR on {images} images, then "
    if method not in combinations.WITH_OOD:
        return f"{start}batches of {' and'.join(mine.rsplit(',', 1))} examples"
    both = f"{start}batches of {mine} and {half} OOD examples"
    if method == "oat":
        weight = options_of(config, "oat")["weight"]
        return f"{both}, cross-entropy with the uniform times {weight:g}"
    own = options_of(config, "taufe")
    return (
        f"{both}, {own['reduction']} of the squared {own['tensor']} times "
        f"{own['weight']:g}"
    )


def _plan(request: Request) -> Plan[Settings]:
    settings = resolve(request.preset, request.given, request.methods)
    config = settings.config
    setup.check(config)
    return Plan(
        {"methods": settings.methods, **dataclasses.asdict(config)},
        _default_name(config, settings.preset),
        settings,
    )


def _prepare(plan: Plan[Settings], stop: StopRequest) -> Ready[Parts]:
    del stop
    preset, config, methods = plan.settings
    study = setup.prepare(config)
    # Everything is built before anything trains.
    network = build_network(study)
    build = _BUILDERS[config.training]
    execution = network.execution
    size = group_size(config.parallel_repeats, config.repeats, execution)
    pretrained = config.training == "pretrained"
    parts = Parts(
        study,
        network,
        make_measure(study, network),
        {
            (method, count): build(study, network, method, count)
            for count in study.roles
            for method in methods
        },
        Pretraining(study, network) if pretrained else None,
        groups_of(config.repeats, size),
    )
    target, ood = study.target, study.ood
    return Ready(
        study.title,
        list(
            dict.fromkeys(
                name for each in parts.trainings for name in parts.cells(*each)
            )
        ),
        study.data,
        (
            f"preset: {preset or 'none'}",
            study.title,
            f"draws from {len(target.train):,} target and {len(ood.train):,} OOD "
            f"images; measured on {len(target.test):,} and {len(ood.test):,}",
            f"epochs as a {execution.loop}: {execution.reason}",
            *(f"{method}: {_describe(method, config)}" for method in methods),
        ),
        parts,
        known_examples(study),
    )


def _run(ready: Ready[Parts], journal: Journal, stop: StopRequest) -> None:
    pool = jnp.asarray(ready.parts.study.pool)
    for method, count in ready.parts.trainings:
        run_method(method, count, ready.parts, pool, journal, stop)


STUDY = Study("features", report.MEASURES, _plan, _prepare, _run, report.report)
