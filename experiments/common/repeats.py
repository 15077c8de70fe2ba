"""Trains the repeats of a method: metrics, progress, exact resume."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from robustjax.training import (
    CheckpointFolder,
    Evaluation,
    Execution,
    MetricLog,
    RecipeProgram,
    StopRequest,
    TrainData,
    TrainState,
    advance,
    fit,
    progress_bar,
)


class Curves(NamedTuple):
    """What one method achieved.

    Attributes:
      epochs: (E,) the epochs, counted from 1, after which it was measured.
      values: metric name -> (R, E); NaN where it was not among what was measured.
      minutes: of training, over all repeats, compilation included and the watching
        of accuracies left out.
      examples_per_second: the data set's size over the time of a late epoch.
    """

    epochs: np.ndarray
    values: dict[str, np.ndarray]
    minutes: float
    examples_per_second: float


class Prepared(NamedTuple):
    """Some repeats that are ready to train.

    Attributes:
      data: of these repeats.
      state: their initial states.
      watch: what is measured after an epoch; (R,) each.
    """

    data: TrainData
    state: TrainState
    watch: Evaluation


def group_size(parallel_repeats: int, repeats: int, execution: Execution) -> int:
    """How many repeats train as one program.

    Args:
      parallel_repeats: as asked for; 0 leaves it to the machine.
      repeats: in all.
      execution: how the network is run.
    """
    if parallel_repeats:
        return min(parallel_repeats, repeats)
    # On CPU a batch of convolutional networks gains nothing over one after another.
    return 1 if execution.convolution == "patches" else repeats


def run_repeats(
    name: str,
    program: RecipeProgram,
    prepare: Callable[[slice], Prepared],
    *,
    repeats: int,
    at_once: int,
    folder: pathlib.Path,
    log: MetricLog,
    stop: StopRequest,
    checkpoint_every_epochs: int,
    shown: Sequence[str],
    watch_every_epochs: int = 1,
) -> None:
    """Trains (or continues) all repeats of one method, group after group.

    Args:
      name: of the method; its checkpoints get a folder of this name.
      program: of the method.
      prepare: from a slice of the repeats.
      repeats: R.
      at_once: repeats per group.
      folder: of the study.
      log: gets a record per epoch and group: the means of all metrics and, under
        "of_repeats", the values of those that are watched.
      stop: checked after every epoch.
      checkpoint_every_epochs: 0 for the end alone.
      shown: metrics beside the progress bar.
      watch_every_epochs: how often it is measured; after the last epoch in any case.
    """
    epochs = program.recipe.epochs
    groups = [
        slice(first, min(first + at_once, repeats))
        for first in range(0, repeats, at_once)
    ]
    with progress_bar(len(groups) * epochs, f"{name:>14}", unit="epoch") as bar:
        for number, group in enumerate(groups):
            checkpoints = CheckpointFolder(folder / name / f"repeats_{number}")
            bar.update(max(checkpoints.steps(), default=0))
            prepared = prepare(group)
            watch = _every(watch_every_epochs, epochs, prepared.watch)
            journal = _Journal(name, number, log, bar, watch, shown)
            fit(
                program,
                prepared.state,
                prepared.data,
                epochs=epochs,
                report=journal.report,
                evaluate=journal.evaluate,
                stop=stop,
                checkpoints=checkpoints,
                checkpoint_every_epochs=checkpoint_every_epochs or epochs,
            )


def _every(interval: int, epochs: int, watch: Evaluation) -> Evaluation:
    """Measures after every so many epochs and after the last one, else nothing."""

    def due(epoch: int, state: TrainState) -> dict[str, np.ndarray]:
        done = epoch + 1
        return watch(epoch, state) if done % interval == 0 or done == epochs else {}

    return due


class _Journal:
    """Writes down one group's epochs, and how long they took."""

    def __init__(
        self,
        name: str,
        number: int,
        log: MetricLog,
        bar: Any,
        watch: Evaluation,
        shown: Sequence[str],
    ):
        self._name, self._number = name, number
        self._log, self._bar, self._watch, self._shown = log, bar, watch, shown
        self._watched: list[str] = []
        self._started, self._trained = time.monotonic(), 0.0
        self._rewound = False

    def evaluate(self, epoch: int, state: TrainState) -> dict[str, np.ndarray]:
        """Measures what is watched, off the clock."""
        self._trained = time.monotonic() - self._started
        found = self._watch(epoch, state)
        self._watched = list(found)
        return found

    def report(self, epoch: int, metrics: dict[str, np.ndarray]) -> None:
        """Logs an epoch and moves the progress bar."""
        self._rewind(epoch)
        means = {key: float(values.mean()) for key, values in metrics.items()}
        record = {
            "event": "epoch",
            "method": self._name,
            "group": self._number,
            "repeats": len(metrics["loss"]),
            "epoch": epoch,
            **means,
            "of_repeats": {
                key: [round(float(v), 6) for v in metrics[key]] for key in self._watched
            },
            "seconds": round(self._trained, 3),
        }
        self._log.write(record, step=epoch, group=f"{self._name}/{self._number}")
        postfix = {key: f"{means[key]:.3f}" for key in self._shown if key in means}
        self._bar.set_postfix(postfix, refresh=False)
        advance(self._bar)
        self._started = time.monotonic()

    def _rewind(self, epoch: int) -> None:
        # A run that was killed may have logged epochs after its last checkpoint.
        mine = (self._name, self._number)
        if not self._rewound:
            self._log.rewind(
                lambda record: (
                    (record["method"], record["group"]) != mine
                    or record["epoch"] < epoch
                )
            )
        self._rewound = True


def read_curves(name: str, log: MetricLog, examples: int, epochs: int) -> Curves:
    """The curves of a finished method from the log.

    Args:
      name: of the method.
      log: which `run_repeats` has filled.
      examples: that an epoch trains on, for the speed.
      epochs: of the method.
    """
    records = [r for r in log.records if r["method"] == name]
    by_group: dict[int, list[dict[str, Any]]] = {}
    for record in records:
        if record["of_repeats"]:
            by_group.setdefault(record["group"], []).append(record)
    watched = by_group[0]

    def curve(key: str, group: int) -> np.ndarray:
        unknown = [np.nan] * by_group[group][0]["repeats"]
        found = [r["of_repeats"].get(key, unknown) for r in by_group[group]]
        return np.array(found).T

    # What is measured after the last epoch alone comes last.
    keys = dict.fromkeys(key for record in watched for key in record["of_repeats"])
    values = {
        key: np.concatenate([curve(key, group) for group in sorted(by_group)])
        for key in keys
    }
    late = [r for r in records if r["epoch"] >= epochs // 2]
    second = float(np.median([r["seconds"] / r["repeats"] for r in late]))
    return Curves(
        np.array([r["epoch"] + 1 for r in watched]),
        values,
        minutes=sum(record["seconds"] for record in records) / 60,
        examples_per_second=examples / max(second, 1e-9),
    )
