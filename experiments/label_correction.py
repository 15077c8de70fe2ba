"""Active label correction: which labels to fix next, and how to train meanwhile.

Compares methods of active label correction on a data set whose labels are corrupted
on purpose and corrected by an oracle that knows the truth (Kim, ECCV 2022). Try

    python -m experiments.label_correction --preset=digits

A run that was killed continues where it was when the same command is given again.
"""

from __future__ import annotations

import dataclasses
import os

import numpy as np
from absl import flags

from experiments.common import config_flags, run_folder
from experiments.common.launch import launch
from experiments.studies.label_correction import report, setup
from experiments.studies.label_correction.config import PRESETS, CorrectionConfig
from experiments.studies.label_correction.runner import Watcher, make_runs, run_method
from experiments.study.options import choose_methods
from robustjax.methods import entries
from robustjax.training import MetricLog, StopRequest

_PRESET = flags.DEFINE_string("preset", None, f"One of {', '.join(PRESETS)}.")
_RUNS = flags.DEFINE_string("run_dir", "runs", "Where run folders go.")
_NAME = flags.DEFINE_string("name", None, "Name of the run; made up by default.")
config_flags.define_flags(CorrectionConfig)


def main(stop: StopRequest) -> None:
    """Loads, corrupts, runs every method, and reports."""
    config = config_flags.read_config(
        CorrectionConfig, PRESETS, _PRESET.value, flags.FLAGS
    )
    known = entries("label_correction")
    chosen = choose_methods(config.methods, known, relabel=False)
    config = dataclasses.replace(config, methods=tuple(chosen))
    if _PRESET.value:
        print(f"preset {_PRESET.value}: {PRESETS[_PRESET.value]}")
    where = (
        os.path.join(_RUNS.value, "label_correction"),
        _NAME.value or setup.default_name(config, _PRESET.value),
        config,
    )
    run_folder.check_run_folder(*where)
    study = setup.prepare(config)
    train, task = study.train, study.task
    watcher = Watcher()
    trainer = setup.make_trainer(study, on_epoch=watcher, stop=stop)
    made = [entry.make(study.options) for entry in chosen.values()]
    runs = make_runs(made, study, trainer)

    folder = run_folder.open_run_folder(*where)
    print(f"{train.name}: {len(train):,} examples, {train.num_classes} classes")
    print(f"{task.description}\nrun folder {folder}")
    print(f"epochs as a {trainer.execution.loop}: {trainer.execution.reason}")
    np.save(folder / "ids.npy", train.ids)
    log = MetricLog(folder)
    results = {
        run.method.name: run_method(run, study, folder, log, watcher, stop)
        for run in runs
    }
    log.close()

    budget = study.budget
    report.write_summary(folder, results, budget)
    report.plot(folder, results, budget, study.title)
    print(f"\n{report.accuracy_table(results, budget)}")
    print(f"\n{report.selection_table(results, budget)}\n")
    for name in results:
        print(f"  {name}: {chosen[name].description}")
    text = report.meaning(results, budget, float(task.is_noisy.mean()))
    if text:
        print(f"\n{text}")
    print(f"\nplot: {folder / 'accuracy.png'}   table: {folder / 'summary.csv'}")


if __name__ == "__main__":
    launch(main)
