"""One open-set active-learning study from its flags to its report."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.common import run_folder
from experiments.studies.active_learning import report, setup
from experiments.studies.active_learning.config import PRESETS, OpenSetConfig
from experiments.studies.active_learning.networks import (
    Classifiers,
    kind_of,
    load_embeddings,
)
from experiments.studies.active_learning.runner import (
    run_folder_of,
    run_method,
    trainings,
    trainings_done,
)
from experiments.studies.active_learning.strategies import make_strategies
from experiments.studies.active_learning.surfaces import plot_surfaces
from experiments.study.options import choose_methods, preset_options
from robustjax import checks
from robustjax.methods import entries
from robustjax.methods.active_learning import OpenSetRun, QueryStrategy
from robustjax.training import MetricLog, StopRequest, progress_bar


@dataclasses.dataclass(frozen=True)
class Record:
    """What `config.json` holds: the methods and every flag."""

    methods: Mapping[str, str]
    config: OpenSetConfig


def run_study(
    method_names: Sequence[str],
    preset: str | None,
    given: Mapping[str, Any],
    *,
    run_dir: str,
    name: str | None,
    stop: StopRequest,
) -> pathlib.Path:
    """Draws pools, runs every strategy on each of them, and reports.

    Args:
      method_names: see `choose_methods`.
      preset: its name, or None for the defaults.
      given: the fields of `OpenSetConfig` that were given.
      run_dir: where run folders go.
      name: of the run; None makes one up.
      stop: checked after every round.

    Returns:
      The run folder.

    Raises:
      ValueError: a bad flag, before anything is trained.
    """
    if preset is not None:
        checks.one_of("preset", preset, PRESETS)
    chosen = choose_methods(method_names, entries("active_learning"))
    labels = {label: entry.name for label, entry in chosen.items()}
    fields = {**PRESETS.get(preset or "", {}), **given}
    options = preset_options(chosen, PRESETS.get(preset or "", {}).get("options", ()))
    fields["options"] = (*options, *given.get("options", ()))
    config = OpenSetConfig(**fields)
    strategies = make_strategies(chosen, config.options)
    setup.check(config)
    where = (
        os.path.join(run_dir, "active_learning"),
        name or preset or pathlib.Path(config.dataset).stem,
        Record(labels, config),
    )
    run_folder.check_run_folder(*where)
    study = setup.prepare(config)
    classifiers = Classifiers(config, study.num_classes, study.train.inputs, stop)
    # The last pool must not fail after hours of the first one's trainings.
    for ratio in config.noise_ratio:
        task = setup.make_task(study, ratio, config.repeats - 1)
        inputs = jnp.asarray(task.inputs)
        for strategy in strategies.values():
            classifiers.of(inputs, kind_of(strategy.wants))
    del inputs

    folder = run_folder.open_run_folder(*where)
    print(f"preset: {preset or 'none'}\n{study.title}\nrun folder {folder}")
    log = MetricLog(folder)
    done = sum(
        trainings_done(study, folder, label, ratio, repeat)
        for label in labels
        for ratio in config.noise_ratio
        for repeat in range(config.repeats)
    )
    total = len(labels) * len(config.noise_ratio) * config.repeats * trainings(study)
    with progress_bar(total, "all methods", unit="training", done=done) as bar:
        for ratio, repeat in itertools.product(
            config.noise_ratio, range(config.repeats)
        ):
            task = setup.make_task(study, ratio, repeat)
            _run_task(study, task, strategies, classifiers, folder, log, bar, stop)
    log.close()
    _report(study, labels, folder, log)
    return folder


def _run_task(
    study: setup.Study,
    task: setup.Task,
    strategies: Mapping[str, QueryStrategy],
    classifiers: Classifiers,
    folder: pathlib.Path,
    log: MetricLog,
    bar: Any,
    stop: StopRequest,
) -> None:
    """Runs all strategies on one pool."""
    wants = frozenset[str]().union(*(s.wants for s in strategies.values()))
    embeddings = load_embeddings(
        study.config,
        task.embedding_key,
        task.inputs,
        wants,
        folder / "embeddings",
        task.name,
        stop,
    )
    kinds = {kind_of(strategy.wants) for strategy in strategies.values()}
    inputs = jnp.asarray(task.inputs)
    of_task = {kind: classifiers.of(inputs, kind, task.initial) for kind in kinds}
    for label, strategy in strategies.items():
        run = OpenSetRun(
            strategy,
            of_task[kind_of(strategy.wants)],
            study.budget,
            task.key,
            num_examples=len(task.inputs),
            num_classes=study.num_classes,
            embeddings=embeddings,
            test_inputs=task.test_inputs,
            test_labels=task.test_labels,
        )
        run_method(label, run, study, task, folder, log, bar, stop)
    if study.budget.cost_in != study.budget.cost_ood:
        # Rounds then answer for different numbers of examples, and what is compiled
        # for one number, such as the fit of MQNet, hardly ever serves again: kept, it
        # would fill the host's memory. The classifiers are compiled once more per task.
        jax.clear_caches()


def _report(
    study: setup.Study,
    labels: Mapping[str, str],
    folder: pathlib.Path,
    log: MetricLog,
) -> None:
    config = study.config
    results = report.read_results(
        log.records, config.noise_ratio, tuple(labels), config.repeats, trainings(study)
    )
    report.write_summary(folder, results)
    report.plot(folder, results, "accuracy", "IN test accuracy (%)", study.title)
    report.plot(folder, results, "purity", "IN examples in the query (%)", study.title)
    files = ["summary.csv", "accuracy.png", "purity.png"]
    meta = [label for label, name in labels.items() if name == "mqnet"]
    if meta:
        runs = {
            ratio: run_folder_of(folder, meta[0], ratio, 0)
            for ratio in config.noise_ratio
        }
        title = f"{meta[0]}, {study.title}, first repeat"
        if plot_surfaces(folder, runs, config.rounds, title):
            files.append("surface.png")
    print(f"\n{report.tables(results)}\n")
    text = report.meaning(results)
    if text:
        print(text)
    seconds = [record["seconds"] for record in log.records]
    print(
        f"{len(seconds)} trainings with their queries took {sum(seconds) / 60:.1f} "
        f"minutes\nwritten to {folder}: {', '.join(files)}"
    )
