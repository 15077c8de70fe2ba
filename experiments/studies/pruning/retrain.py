"""Trains the re-labelling model on every subset, each from a fresh initialisation."""

from __future__ import annotations

import time
from collections.abc import Mapping
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
from experiments.studies.pruning.setup import Data
from experiments.studies.pruning.subsets import SubsetStore
from experiments.study.journal import Cell, Journal
from experiments.study.records import EPOCH
from robustjax import data
from robustjax.training import StopRequest, Stream, TrainState, fit, progress_bar

BINS = "bins"


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
    def cell(self) -> str:
        """The name of its cell."""
        return f"{self.method}_{self.fraction:g}/repeat_{self.repeat}"


class Trainer:
    """Runs the trainings of a study, all through the same programs."""

    def __init__(
        self,
        task: Data,
        programs: Programs,
        stores: Mapping[int, SubsetStore],
        journal: Journal,
        stop: StopRequest,
    ):
        """Puts the inputs on the device, but for those that are streamed.

        Args:
          task: data and labels.
          programs: of the study.
          stores: repeat -> all its subsets.
          journal: gets a record per epoch, and what comes of a training.
          stop: checked after every epoch.
        """
        self._task, self._programs, self._stores = task, programs, stores
        self._journal, self._stop = journal, stop
        self._train = task.on_device(task.train.inputs)
        self._test = jnp.asarray(task.test.inputs)

    def run(self) -> None:
        """Runs what is not finished, repeat by repeat; the bar counts steps."""
        config = self._task.config
        trainings = [
            Training(method, fraction, repeat)
            for repeat in range(config.repeats)
            for method, fraction in self._task.subsets()
        ]
        left = [t for t in trainings if not self._journal.finished(t.cell)]
        total = sum(self._steps(training) for training in trainings)
        done = total - sum(self._steps(training) for training in left)
        with progress_bar(total, config.relabeler, unit="step", done=done) as bar:
            for training in left:
                self._run_one(training, bar)

    def _steps(self, training: Training) -> int:
        program = self._programs.subsets[training.fraction]
        return program.recipe.epochs * program.programs[-1].steps_per_epoch

    def _run_one(self, training: Training, bar: Any) -> None:
        method, fraction, repeat = training
        task, config = self._task, self._task.config
        cell = self._journal.cell(training.cell)
        subset = self._stores[repeat].read(method, fraction)
        program = self._programs.subsets[fraction]
        # Rows of a subset are numbered anew; those of examples start alike. The order
        # of selection must not tell them apart, so examples keep their own.
        indices = np.sort(subset.indices)
        inputs = data.take(task.train, indices).inputs
        every = config.checkpoint_every_epochs
        if not every:
            cell.rewind(0)
        before, started = bar.n, time.monotonic()
        bar.set_postfix_str(training.cell, refresh=False)

        def report(epoch: int, metrics: dict[str, np.ndarray]) -> None:
            nonlocal started
            now = time.monotonic()
            means: dict[str, Any] = {k: float(v.mean()) for k, v in metrics.items()}
            seconds = round(now - started, 3)
            fields = {**training._asdict(), "epoch": epoch}
            cell.write(EPOCH, **fields, **means, seconds=seconds)
            started = now
            done = before + (epoch + 1) * (self._steps(training) // config.epochs)
            bar.update(done - bar.n)

        # The same for all subsets of a repeat.
        key = jax.random.fold_in(task.repeat_keys[repeat], 3)
        state = fit(
            program,
            program.init(key[None], jnp.asarray(inputs[:1])),
            program.make_data(
                Stream(inputs) if config.stream else inputs,
                task.given[repeat][None, indices],
            ),
            epochs=config.epochs,
            report=report,
            evaluate=self._watch,
            stop=self._stop,
            checkpoints=cell.checkpoints if every else None,
            checkpoint_every_epochs=every or config.epochs,
        )
        self._conclude(cell, training, state, indices, subset.neighborhood)

    def _watch(self, epoch: int, state: TrainState) -> dict[str, np.ndarray]:
        """Test accuracy (1,), now and then and after the last epoch."""
        config, done = self._task.config, epoch + 1
        if done % config.watch_every_epochs and done != config.epochs:
            return {}
        predicted = self._programs.predict(state, self._test)
        return {"test_accuracy": (predicted == self._task.test.labels).mean()[None]}

    def _conclude(
        self,
        cell: Cell,
        training: Training,
        state: TrainState,
        indices: np.ndarray,
        neighborhood: np.ndarray,
    ) -> None:
        """Writes the result of a training."""
        task, config = self._task, self._task.config
        true, foreign = task.train.labels, task.is_foreign
        is_noisy = task.is_noisy(training.repeat)
        predicted = self._programs.predict(state, self._train)
        watched = [
            record["test_accuracy"]
            for record in cell.records
            if record["event"] == EPOCH and "test_accuracy" in record
        ]
        measures = subset_measures(
            indices, neighborhood, is_noisy, foreign, config.temperature
        )
        if config.noise == "none":
            # Nothing tells which of the data set's own labels are wrong.
            measures["noisy_share"] = float("nan")
        values = {
            "last": watched[-1],
            "best": max(watched),
            **measures,
            **relabeling_measures(predicted, true, is_noisy, foreign, indices),
        }
        levels, accuracies = binned_accuracy(
            neighborhood[~foreign], (predicted == true)[~foreign], config.seed
        )
        cell.write(BINS, **training._asdict(), levels=levels, accuracies=accuracies)
        cell.result(
            {"method": training.method, "fraction": training.fraction},
            {name: [value] for name, value in values.items()},
            repeats=[training.repeat],
            examples=len(indices),
        )
        cell.finish()
