"""Runs one arm of a label-correction study: log, progress, exact resume."""

from __future__ import annotations

import pathlib
import time

import numpy as np

from experiments.label_correction.report import ArmResult
from experiments.label_correction.setup import Study
from robustjax import methods
from robustjax.methods.correction_loop import Arm
from robustjax.training import CheckpointFolder, MetricLog, StopRequest
from robustjax.training.progress import progress_bar


class Watcher:
    """Turns epochs into metrics and a progress bar."""

    def __init__(self, log: MetricLog):
        self._log = log
        self.bar = None
        self.method = ""
        self.round_number = 0
        self._epochs = 0

    def __call__(self, kind: str, epoch: int, metrics: dict[str, np.ndarray]) -> None:
        """Notes an epoch's metrics, means over repeats."""
        self._epochs += 1
        record = {
            "event": "epoch",
            "method": self.method,
            "round": self.round_number,
            "training": kind,
            "epoch": epoch,
            **{name: float(values.mean()) for name, values in metrics.items()},
        }
        self._log.write(record, step=self._epochs, group=self.method)
        if self.bar is not None:
            # Some arms train twice in a round; the bar learns it as they do.
            if self.bar.n >= self.bar.total:
                self.bar.total += 1
            self.bar.set_postfix(
                round=self.round_number, loss=f"{record['loss']:.3f}", refresh=False
            )
            self.bar.update(1)


def run_arm(
    arm: Arm,
    study: Study,
    trainer: methods.RoundTrainer,
    folder: pathlib.Path,
    log: MetricLog,
    watcher: Watcher,
    stop: StopRequest,
) -> ArmResult:
    """Runs (or continues) one arm to its end.

    Args:
      arm: the method.
      study: data, labels and budget.
      trainer: shared by the arms, reporting epochs to `watcher`.
      folder: of the run; the arm keeps its checkpoints and picks in one of its own.
      log: gets a record per epoch and round.
      watcher: of the trainer.
      stop: checked after every round.
    """
    (folder / arm.name).mkdir(exist_ok=True)
    run = methods.CorrectionRun(
        arm,
        trainer,
        study.budget,
        study.run_keys,
        test_inputs=study.test.inputs,
        test_labels=study.test.labels,
    )
    task, oracle = study.task, methods.simulated_oracle(study.train.labels)
    name, budget = run.arm.name, run.budget
    checkpoints = CheckpointFolder(folder / name / "checkpoints")
    state, done = run.start(task.labels), 0
    found = checkpoints.restore_latest(state, report=print)
    if found is not None:
        done, state, _ = found
    # The last checkpoint, of the final training, counts as a round of its own.
    total = budget.rounds + 1
    log.rewind(lambda record: record["method"] != name or record["round"] < done)
    epochs = run.trainer.settings.epochs
    watcher.method = name
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
            log.write(record, step=budget.asked(number), group=name)
            checkpoints.save(number + 1, state)
            stop.check()
    picks = np.asarray(state.picks)
    np.save(folder / name / "indices.npy", picks)
    return ArmResult(
        accuracy=np.asarray(state.accuracy),
        selection=methods.selection_accuracy(picks, task.is_noisy, budget),
        picks=picks,
    )
