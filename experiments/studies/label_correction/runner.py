"""Runs one method of a label-correction study: log, progress, exact resume."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.studies.label_correction.report import MethodResult
from experiments.studies.label_correction.setup import Study
from robustjax import methods
from robustjax.methods.label_correction import CorrectionMethod
from robustjax.training import (
    CheckpointFolder,
    MetricLog,
    StopRequest,
    advance,
    progress_bar,
)


class Watcher:
    """Turns epochs into metrics and a progress bar.

    Attributes:
      log: gets a record per epoch; to be set before anything trains.
      bar: is moved by every epoch.
      method: the method at work.
      round_number: its round.
      epochs: that the method has trained in all its rounds.
    """

    def __init__(self) -> None:
        """Watches nothing yet."""
        self.log: MetricLog | None = None
        self.bar: Any = None
        self.method = ""
        self.round_number = 0
        self.epochs = 0

    def __call__(self, kind: str, epoch: int, metrics: dict[str, np.ndarray]) -> None:
        """Notes an epoch's metrics, means over repeats."""
        assert self.log is not None
        self.epochs += 1
        means = {name: float(values.mean()) for name, values in metrics.items()}
        record = {
            "event": "epoch",
            "method": self.method,
            "round": self.round_number,
            "training": kind,
            "epoch": epoch,
            **means,
        }
        self.log.write(record, step=self.epochs, group=f"{self.method}/epochs")
        if self.bar is not None:
            self.bar.set_postfix(
                round=self.round_number, loss=f"{means['loss']:.3f}", refresh=False
            )
            advance(self.bar)


def make_runs(
    chosen: Sequence[CorrectionMethod], study: Study, trainer: methods.RoundTrainer
) -> list[methods.CorrectionRun]:
    """The runs of all methods, none of them begun.

    Raises:
      ValueError: a method whose settings do not fit the data.
    """
    runs = [
        methods.CorrectionRun(
            method,
            trainer,
            study.budget,
            study.run_keys,
            test_inputs=study.test.inputs,
            test_labels=study.test.labels,
        )
        for method in chosen
    ]
    for run in runs:
        # The last method must not fail after hours of the first one's training.
        run.start(study.task.labels)
    return runs


def run_method(
    run: methods.CorrectionRun,
    study: Study,
    folder: pathlib.Path,
    log: MetricLog,
    watcher: Watcher,
    stop: StopRequest,
) -> MethodResult:
    """Runs (or continues) one method to its end.

    Args:
      run: of `make_runs`.
      study: data, labels and budget.
      folder: of the study; checkpoints and picks of the method are in one of its own.
      log: gets a record per epoch and round.
      watcher: of the trainer.
      stop: checked after every round.
    """
    name, budget = run.method.name, run.budget
    (folder / name).mkdir(exist_ok=True)
    task, oracle = study.task, methods.simulated_oracle(study.train.labels)
    checkpoints = CheckpointFolder(folder / name / "checkpoints")
    state, done = run.start(task.labels), 0
    found = checkpoints.restore_latest(state, report=print)
    if found is not None:
        done, state, _ = found
    # The last checkpoint, of the final training, counts as a round of its own.
    total = budget.rounds + 1
    log.rewind(lambda record: record["method"] != name or record["round"] < done)
    epochs = run.trainer.settings.epochs
    watcher.log, watcher.method = log, name
    watcher.epochs = sum(
        record["event"] == "epoch" and record["method"] == name
        for record in log.records
    )
    with progress_bar(
        total * epochs, f"{name:>12}", unit="epoch", done=done * epochs
    ) as bar:
        watcher.bar = bar
        for number in range(done, total):
            watcher.round_number = number
            started = time.monotonic()
            record = {"event": "round", "method": name, "round": number}
            if number < budget.rounds:
                state, picks, _ = run.propose(state, number)
                state = run.receive(state, number, oracle(picks))
                noisy = np.take_along_axis(task.is_noisy, picks, axis=1)
                record["selection_accuracy"] = float(noisy.mean())
            else:
                _, state = run.finish(state)
            each = np.asarray(state.accuracy[:, number])
            record |= {
                "labels": budget.asked(number),
                "accuracy": float(each.mean()),
                "accuracy_of_repeats": [round(float(a), 6) for a in each],
                "seconds": round(time.monotonic() - started, 3),
            }
            log.write(record, step=budget.asked(number), group=f"{name}/labels")
            checkpoints.save(number + 1, state)
            stop.check()
    picks = np.asarray(state.picks)
    np.save(folder / name / "indices.npy", picks)
    return MethodResult(
        accuracy=np.asarray(state.accuracy),
        selection=methods.selection_accuracy(picks, task.is_noisy, budget),
        picks=picks,
    )
