"""One noisy-label study from its flags to its report."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.common import run_folder
from experiments.studies.label_noise import report, setup
from experiments.studies.label_noise.config import NoisyLabelsConfig
from experiments.studies.label_noise.configs import resolve
from experiments.studies.label_noise.runner import run_method
from experiments.study.options import choose_methods
from robustjax.methods import entries
from robustjax.training import MetricLog, StopRequest


@dataclasses.dataclass(frozen=True)
class Record:
    """What `config.json` holds: every flag of every method."""

    methods: dict[str, dict[str, Any]]


def _default_name(config: NoisyLabelsConfig, preset: str | None) -> str:
    scope = preset or os.path.basename(config.dataset)
    if config.noise == "key":
        return f"{scope}-{config.label_set}"
    if config.noise in ("none", "file"):
        return f"{scope}-{config.noise}"
    return f"{scope}-{config.noise}-{round(100 * config.noise_rate)}"


def run_study(
    method_names: Sequence[str],
    preset: str | None,
    given: Mapping[str, Any],
    *,
    run_dir: str,
    name: str | None,
    stop: StopRequest,
) -> pathlib.Path:
    """Loads, corrupts, trains every method, and reports.

    Args:
      method_names: see `choose_methods`.
      preset: as given, or None for that of the data set's name.
      given: the fields of `NoisyLabelsConfig` that were given.
      run_dir: where run folders go.
      name: of the run; None makes one up.
      stop: checked after every epoch.

    Returns:
      The run folder.

    Raises:
      ValueError: a bad flag, before anything is trained.
    """
    chosen = choose_methods(method_names, entries("label_noise"))
    configs = resolve(chosen, preset, given)
    shared = next(iter(configs.values()))
    setup.check(shared.config)
    where = (
        os.path.join(run_dir, "label_noise"),
        name or _default_name(shared.config, shared.preset),
        Record(
            {
                label: {"method": c.entry.name, **dataclasses.asdict(c.config)}
                for label, c in configs.items()
            }
        ),
    )
    run_folder.check_run_folder(*where)
    study = setup.prepare(shared.config)
    # Everything is built before anything trains.
    built = {method: config.build(study) for method, config in configs.items()}

    folder = run_folder.open_run_folder(*where)
    train = study.train
    print(f"{train.name}: {len(train):,} examples, {train.num_classes} classes")
    print(f"{study.description}\nrun folder {folder}")
    log = MetricLog(folder)
    results = {}
    for method, ready in built.items():
        config = configs[method]
        print(f"\n{method}: {config.entry.description}\n  {config.describe()}")
        print(f"  epochs as a {ready.execution.loop}: {ready.execution.reason}")
        results[method] = run_method(
            method,
            ready.program,
            study,
            ready.execution,
            folder,
            log,
            stop,
        )
    log.close()

    report.write_summary(folder, results)
    report.plot_accuracy(folder, results, study.title)
    report.plot_memorisation(folder, results, study.title)
    print(f"\n{report.accuracy_table(results)}\n")
    text = report.meaning(results)
    if text:
        print(text)
    print(f"plot: {folder / 'accuracy.png'}   table: {folder / 'summary.csv'}")
    return folder
