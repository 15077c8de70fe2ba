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

from experiments.common import run_folder
from experiments.studies.label_correction import report, setup
from experiments.studies.label_correction.config import CorrectionConfig
from experiments.studies.label_correction.presets import PRESETS
from experiments.studies.label_correction.runner import Watcher, make_runs, run_arm
from experiments.study.flags import define_flags, define_run_flags, read_given, resolve
from experiments.study.launch import launch
from experiments.study.output import say
from robustjax import checks, methods
from robustjax.methods.label_correction import describe_arm
from robustjax.training import MetricLog, StopRequest

define_run_flags(PRESETS)
define_flags(CorrectionConfig)


def _spell_out(config: CorrectionConfig) -> CorrectionConfig:
    """Replaces "all" by the names of all arms, and checks the names."""
    names = methods.ARM_NAMES if config.methods == ("all",) else config.methods
    if not names:
        raise ValueError("methods: got none, expected at least one")
    for name in names:
        checks.one_of("methods", name, methods.ARM_NAMES)
    if len(set(names)) < len(names):
        raise ValueError(f"methods: got {','.join(names)}, expected each name once")
    return dataclasses.replace(config, methods=tuple(names))


def main(stop: StopRequest) -> None:
    """Loads, corrupts, runs every arm, and reports."""
    given = read_given(CorrectionConfig)
    preset, config = resolve(CorrectionConfig, PRESETS, given.preset, given.fields)
    config = _spell_out(config)
    where = (
        os.path.join(given.run_dir, "label_correction"),
        given.name or setup.default_name(config, preset),
        config,
    )
    run_folder.check_run_folder(*where)
    study = setup.prepare(config)
    train, task = study.train, study.task
    watcher = Watcher()
    trainer = setup.make_trainer(study, on_epoch=watcher, stop=stop)
    arms = [methods.make_arm(name, study.options) for name in config.methods]
    runs = make_runs(arms, study, trainer)

    folder = run_folder.open_run_folder(*where)
    say(f"preset: {preset or 'none'}")
    say(f"{train.name}: {len(train):,} examples, {train.num_classes} classes")
    say(f"{task.description}\nrun folder {folder}")
    say(f"epochs as a {trainer.execution.loop}: {trainer.execution.reason}")
    np.save(folder / "ids.npy", train.ids)
    log = MetricLog(folder)
    results = {
        run.arm.name: run_arm(run, study, folder, log, watcher, stop) for run in runs
    }
    log.close()

    budget = study.budget
    report.write_summary(folder, results, budget)
    report.plot(folder, results, budget, study.title)
    say(f"\n{report.accuracy_table(results, budget)}")
    say(f"\n{report.selection_table(results, budget)}\n")
    for name in results:
        say(f"  {name}: {describe_arm(name)}")
    text = report.meaning(results, budget, float(task.is_noisy.mean()))
    if text:
        say(f"\n{text}")
    say(f"\nplot: {folder / 'accuracy.png'}   table: {folder / 'summary.csv'}")


if __name__ == "__main__":
    launch(main, CorrectionConfig, PRESETS)
