"""One feature-debiasing study from its flags to its report."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from experiments.common import run_folder
from experiments.studies.features import combinations, report, setup
from experiments.studies.features.adversarial import build_adversarial
from experiments.studies.features.config import FeatureDebiasingConfig
from experiments.studies.features.pictures import plot_activations
from experiments.studies.features.presets import TASK_PRESETS, resolve
from experiments.studies.features.pretraining import Pretraining, build_fine_tuning
from experiments.studies.features.programs import (
    Training,
    build_network,
    build_training,
    taufe_setting,
)
from experiments.studies.features.runner import make_measure, run_method
from experiments.studies.features.semi_supervised import build_mix_match
from robustjax.training import MetricLog, StopRequest


@dataclasses.dataclass(frozen=True)
class Record:
    """What `config.json` holds: the methods and every flag."""

    methods: tuple[str, ...]
    config: FeatureDebiasingConfig


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
        return f"{both}, cross-entropy with the uniform times {config.oat_weight:g}"
    setting = taufe_setting(config)
    return (
        f"{both}, {setting.reduction} of the squared {setting.tensor} times "
        f"{setting.weight:g}"
    )


def run_study(
    method_names: Sequence[str] | None,
    preset: str | None,
    given: Mapping[str, Any],
    *,
    run_dir: str,
    name: str | None,
    stop: StopRequest,
) -> pathlib.Path:
    """Loads, draws, trains every method on every number of examples, and reports.

    Args:
      method_names: of the methods, or None for all that the task allows.
      preset: as given, or None.
      given: the fields of `FeatureDebiasingConfig` that were given.
      run_dir: where run folders go.
      name: of the run; None makes one up.
      stop: checked after every epoch.

    Returns:
      The run folder.

    Raises:
      ValueError: a bad flag, before anything is trained.
    """
    preset, config = resolve(preset, given)
    names = None if method_names is None else tuple(method_names)
    methods = setup.check_methods(names, config)
    setup.check(config)
    where = (
        os.path.join(run_dir, "features"),
        name or _default_name(config, preset),
        Record(methods, config),
    )
    run_folder.check_run_folder(*where)
    study = setup.prepare(config)
    # Everything is built before anything trains.
    network = build_network(study)
    build = _BUILDERS[config.training]
    trainings = {
        (method, count): build(study, network, method, count)
        for count in study.roles
        for method in methods
    }
    measure = make_measure(study, network)
    pretrained = config.training == "pretrained"
    pretraining = Pretraining(study, network) if pretrained else None

    folder = run_folder.open_run_folder(*where)
    num_targets = len(study.target.train)
    print(f"preset: {preset or 'none'}\n{study.title}")
    print(
        f"draws from {num_targets:,} target and {len(study.ood.train):,} OOD images; "
        f"measured on {len(study.target.test):,} and {len(study.ood.test):,}"
    )
    print(f"epochs as a {network.execution.loop}: {network.execution.reason}")
    print(f"run folder {folder}")
    for method in methods:
        print(f"{method}: {_describe(method, config)}")
    log = MetricLog(folder)
    pool = jnp.asarray(study.pool)
    results = {}
    for (method, count), training in trainings.items():
        if pretraining is not None:
            training = pretraining.before(training, method, folder, log, stop)
        results[method, count] = run_method(
            method, count, training, study, network, measure, pool, folder, log, stop
        )
    log.close()

    main = measure.headline[0]
    report.write_summary(folder, results)
    detects = report.write_detection(folder, results)
    report.plot_curves(folder, results, main, study.title)
    print(f"\n{report.tables(results, measure.headline)}\n")
    if detects:
        print(f"{report.detection_table(results)}\n")
    for name in (main, "adversarial_accuracy"):
        text = report.meaning(results, name) if name in measure.headline else ""
        if text:
            print(text)
    files = ["curves.png", "summary.csv"] + ["detection.csv"] * detects
    names_of_classes = study.target.train.class_names
    largest = max(study.roles)
    if plot_activations(folder, methods, largest, names_of_classes, study.title):
        files.append("activations.png")
    print(f"written to {folder}: {', '.join(files)}")
    return folder
