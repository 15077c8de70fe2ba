"""Trains the re-labelling model on every subset, each from a fresh initialisation."""

from __future__ import annotations

import pathlib
import shutil
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.pruning.measures import (
    binned_accuracy,
    relabeling_measures,
    subset_measures,
)
from experiments.studies.pruning.programs import Programs
from experiments.studies.pruning.setup import Task
from experiments.studies.pruning.subsets import SubsetStore
from robustjax.training import (
    CheckpointFolder,
    MetricLog,
    Record,
    StopRequest,
    TrainState,
    fit,
    progress_bar,
)

RESULT = "result"
EPOCH = "epoch"


class Training(NamedTuple):
    """One training of a study.

    Attributes:
      method: how its subset was chosen.
      fraction: of the examples in it.
      repeat: its number.
    """

    method: str
    fraction: float
    repeat: int

    @property
    def name(self) -> str:
        """For folders and people."""
        return f"{self.method}_{self.fraction:g}_{self.repeat}"

    def owns(self, record: Record) -> bool:
        """Whether a record of the log is of this training."""
        mine = self._asdict()
        return all(record.get(key) == value for key, value in mine.items())


def all_trainings(task: Task) -> list[Training]:
    """In the order in which they are run: repeat by repeat."""
    return [
        Training(method, fraction, repeat)
        for repeat in range(task.config.repeats)
        for method, fraction in task.subsets()
    ]


def results_of(log: MetricLog) -> dict[Training, Record]:
    """The results that are in the log."""
    return {
        Training(r["method"], r["fraction"], r["repeat"]): r
        for r in log.records
        if r["event"] == RESULT
    }


class Trainer:
    """Runs the trainings of a study, all through the same programs."""

    def __init__(
        self,
        task: Task,
        programs: Programs,
        store: SubsetStore,
        folder: pathlib.Path,
        log: MetricLog,
        stop: StopRequest,
    ):
        """Puts the inputs on the device.

        Args:
          task: data and labels.
          programs: of the study.
          store: with all subsets.
          folder: of the study.
          log: gets a record per epoch, and one per finished training.
          stop: checked after every epoch.
        """
        self._task, self._programs, self._store = task, programs, store
        self._folder, self._log, self._stop = folder / "checkpoints", log, stop
        self._train = jnp.asarray(task.train.inputs)
        self._test = jnp.asarray(task.test.inputs)
        self._bar: Any = None

    def run(self) -> dict[Training, Record]:
        """Runs what the log has no result of; the progress bar counts steps."""
        trainings = all_trainings(self._task)
        done = results_of(self._log)
        total = sum(self._steps(training) for training in trainings)
        finished = sum(self._steps(training) for training in done)
        name = self._task.config.relabeler
        with progress_bar(total, name, unit="step", done=finished) as self._bar:
            for training in trainings:
                if training not in done:
                    self._run_one(training)
        return results_of(self._log)

    def _steps(self, training: Training) -> int:
        program = self._programs.subsets[training.fraction]
        return program.recipe.epochs * program.programs[-1].steps_per_epoch

    def _run_one(self, training: Training) -> None:
        method, fraction, repeat = training
        task, config = self._task, self._task.config
        subset = self._store.read(repeat, method, fraction)
        program = self._programs.subsets[fraction]
        # Rows of a subset are numbered anew; those of examples start alike. The order
        # of selection must not tell them apart, so examples keep their own.
        indices = np.sort(subset.indices)
        inputs = self._train[indices]
        checkpoints, every = None, config.checkpoint_every_epochs
        if every:
            checkpoints = CheckpointFolder(self._folder / training.name)
        journal = _Journal(
            training, self._log, self._bar, self._steps(training), config.epochs
        )
        # The same for all subsets of a repeat.
        key = jax.random.fold_in(task.repeat_keys[repeat], 3)
        state = fit(
            program,
            program.init(key[None], inputs),
            program.make_data(inputs, task.given[repeat][None, indices]),
            epochs=config.epochs,
            report=journal.report,
            evaluate=self._watch,
            stop=self._stop,
            checkpoints=checkpoints,
            checkpoint_every_epochs=every or config.epochs,
        )
        record = self._measure(training, state, indices, subset.neighborhood)
        self._log.write(record, step=config.epochs)
        shutil.rmtree(self._folder / training.name, ignore_errors=True)

    def _watch(self, epoch: int, state: TrainState) -> dict[str, np.ndarray]:
        """Test accuracy (1,), now and then and after the last epoch."""
        config, done = self._task.config, epoch + 1
        if done % config.watch_every_epochs and done != config.epochs:
            return {}
        predicted = self._programs.predict(state, self._test)
        return {"test_accuracy": (predicted == self._task.test.labels).mean()[None]}

    def _measure(
        self,
        training: Training,
        state: TrainState,
        indices: np.ndarray,
        neighborhood: np.ndarray,
    ) -> Record:
        """The result of a training."""
        task, config = self._task, self._task.config
        true = task.train.labels
        is_noisy = task.given[training.repeat] != true
        predicted = self._programs.predict(state, self._train)
        epochs = [
            r for r in self._log.records if r["event"] == EPOCH and training.owns(r)
        ]
        watched = [r["test_accuracy"] for r in epochs if "test_accuracy" in r]
        levels, accuracies = binned_accuracy(
            neighborhood, predicted == true, config.seed
        )
        measures = subset_measures(indices, neighborhood, is_noisy, config.temperature)
        if config.noise == "none":
            # Nothing tells which of the data set's own labels are wrong.
            measures["noisy_share"] = float("nan")
        return {
            "event": RESULT,
            **training._asdict(),
            "examples": len(indices),
            "last": watched[-1],
            "best": max(watched),
            **measures,
            **relabeling_measures(predicted, true, is_noisy, indices),
            "bin_neighborhood": levels,
            "bin_accuracy": accuracies,
            "seconds": sum(r["seconds"] for r in epochs),
        }


class _Journal:
    """Writes down the epochs of one training."""

    def __init__(
        self, training: Training, log: MetricLog, bar: Any, steps: int, epochs: int
    ):
        self._training, self._log, self._bar = training, log, bar
        self._before, self._per_epoch = bar.n, steps // epochs
        self._started = time.monotonic()
        self._rewound = False
        bar.set_postfix_str(training.name, refresh=False)

    def report(self, epoch: int, metrics: dict[str, np.ndarray]) -> None:
        """Logs an epoch and moves the progress bar."""
        if not self._rewound:
            # A run that was killed may have logged epochs after its last checkpoint.
            self._log.rewind(
                lambda r: (
                    not self._training.owns(r)
                    or r["event"] != EPOCH
                    or r["epoch"] < epoch
                )
            )
            self._rewound = True
        now = time.monotonic()
        record = {
            "event": EPOCH,
            **self._training._asdict(),
            "epoch": epoch,
            **{key: float(values.mean()) for key, values in metrics.items()},
            "seconds": round(now - self._started, 3),
        }
        self._started = now
        self._log.write(record, step=epoch)
        done = self._before + (epoch + 1) * self._per_epoch
        self._bar.update(done - self._bar.n)
