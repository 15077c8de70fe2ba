"""One pruning study from its flags to its report."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from experiments.common import run_folder
from experiments.studies.pruning import programs as program_lib
from experiments.studies.pruning import report, setup
from experiments.studies.pruning.config import DataPruningConfig
from experiments.studies.pruning.retrain import Trainer
from experiments.studies.pruning.subsets import SubsetStore, choose_subsets
from experiments.studies.pruning.warmup import warm_up
from experiments.study.options import as_texts
from robustjax.methods import entry
from robustjax.training import MetricLog, StopRequest


def _default_name(config: DataPruningConfig, preset: str | None) -> str:
    scope = preset or pathlib.Path(config.dataset).stem
    if config.noise == "key":
        kind = "" if config.label_set in scope.split("_") else f"-{config.label_set}"
    elif config.noise in ("none", "file"):
        kind = f"-{config.noise}"
    else:
        kind = f"-{config.noise}-{round(100 * config.noise_rate)}"
    return f"{scope}{kind}-{config.relabeler}"


def run_study(
    preset: str | None,
    given: Mapping[str, Any],
    *,
    run_dir: str,
    name: str | None,
    stop: StopRequest,
) -> pathlib.Path:
    """Warms up, chooses all subsets, trains on each, and reports.

    Args:
      preset: as given, or None for that of the data set's name.
      given: the fields of `DataPruningConfig` that were given.
      run_dir: where run folders go.
      name: of the run; None makes one up.
      stop: checked after every epoch.

    Returns:
      The run folder.

    Raises:
      ValueError: a bad flag, before anything is trained.
    """
    preset, config = setup.resolve(preset, given)
    setup.check(config)
    where = (
        os.path.join(run_dir, "pruning"),
        name or _default_name(config, preset),
        config,
    )
    run_folder.check_run_folder(*where)
    task = setup.prepare(config)
    # Everything is built before anything trains.
    programs = program_lib.build(task)

    folder = run_folder.open_run_folder(*where)
    shown = " ".join(as_texts(setup.relabeler_options(config))) or "defaults"
    train = task.train
    print(f"preset: {preset or 'none'}\n{train.name}: {len(train):,} examples")
    print(f"{task.description}\nrun folder {folder}")
    print(f"re-labelling by {config.relabeler} ({shown})")
    print(f"epochs as a {task.execution.loop}: {task.execution.reason}")
    for method in config.methods:
        print(f"  {method}: {entry(method, 'pruning').description}")

    log = MetricLog(folder, tensorboard=False)
    store = SubsetStore(folder)
    for repeat in range(config.repeats):
        if not all(store.has(repeat, *subset) for subset in task.subsets()):
            evaluation = warm_up(task, programs, repeat, folder, log, stop)
            choose_subsets(task, repeat, evaluation, store, stop)
    results = Trainer(task, programs, store, folder, log, stop).run()
    log.close()

    cells = report.collect(results)
    report.write_summary(folder, cells)
    report.plot_accuracy(folder, cells, task.title)
    report.plot_bins(folder, cells, task.title)
    print(f"\n{report.tables(cells)}\n\n{report.meaning(cells)}\n")
    minutes = sum(float(cell["seconds"].sum()) for cell in cells.values()) / 60
    print(f"{len(results)} trainings in {minutes:.1f} minutes")
    print(f"written to {folder}: accuracy.png, bins.png, summary.csv, bins.csv")
    return folder
