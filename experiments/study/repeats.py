"""Trains the repeats of a method, group by group: progress, exact resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.study.journal import Cell, Journal
from experiments.study.records import EPOCH
from robustjax.training import (
    Evaluation,
    Execution,
    RecipeProgram,
    StopRequest,
    TrainData,
    TrainState,
    advance,
    fit,
    progress_bar,
)


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


class Watched(NamedTuple):
    """What was measured of some repeats, epoch by epoch.

    Attributes:
      repeats: (R,) their numbers.
      epochs: (E,) counted from 1, after which something was measured.
      values: measure -> (R, E); NaN where it was not among what was measured.
    """

    repeats: range
    epochs: np.ndarray
    values: dict[str, np.ndarray]

    def last(self) -> dict[str, np.ndarray]:
        """Every measure (R,) after the last epoch."""
        return {name: values[:, -1] for name, values in self.values.items()}


StandIn = Callable[[RecipeProgram], RecipeProgram]
"""What trains in a program's place; it is asked once per group, in order, whether or
not the group is finished already."""


def alone(program: RecipeProgram) -> RecipeProgram:
    """The stand-in of a study that has its process for itself: none."""
    return program


Conclude = Callable[[Cell, TrainState, Watched], None]
"""Writes a group's results, and what was decided about examples, into its cell."""


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


def groups_of(repeats: int, at_once: int) -> list[range]:
    """The repeats in groups that train as one program."""
    return [
        range(first, min(first + at_once, repeats))
        for first in range(0, repeats, at_once)
    ]


def cell_name(method: str, group: range) -> str:
    """Of a group of a method."""
    return f"{method}/repeats_{group.start}-{group.stop - 1}"


def run_repeats(
    name: str,
    fields: Mapping[str, Any],
    program: RecipeProgram,
    prepare: Callable[[range], Prepared],
    conclude: Conclude,
    journal: Journal,
    stop: StopRequest,
    *,
    groups: Sequence[range],
    checkpoint_every_epochs: int,
    shown: Sequence[str],
    watch_every_epochs: int = 1,
    stand_in: StandIn = alone,
) -> None:
    """Trains (or continues) all repeats of one method, group after group.

    Args:
      name: of the method (and its setting); see `cell_name`.
      fields: of every record, such as {"method": "ce"}.
      program: of the method.
      prepare: from the numbers of some repeats.
      conclude: see `Conclude`.
      journal: gets a record per epoch and group: the means of all metrics and, under
        "of_repeats", the values of those that are watched.
      stop: checked after every epoch.
      groups: of `groups_of`.
      checkpoint_every_epochs: 0 for the end alone.
      shown: metrics beside the progress bar.
      watch_every_epochs: how often it is measured; after the last epoch in any case.
      stand_in: see `StandIn`.
    """
    epochs = program.recipe.epochs
    with progress_bar(len(groups) * epochs, f"{name:>14}", unit="epoch") as bar:
        for group in groups:
            cell = journal.cell(cell_name(name, group))
            trained = stand_in(program)
            if cell.finished:
                bar.update(epochs)
                continue
            bar.update(max(cell.checkpoints.steps(), default=0))
            prepared = prepare(group)
            watch = _every(watch_every_epochs, epochs, prepared.watch)
            epochs_of = EpochRecords(cell, {**fields, "group": group.start}, bar, shown)
            state = fit(
                trained,
                prepared.state,
                prepared.data,
                epochs=epochs,
                report=epochs_of.report,
                evaluate=epochs_of.watched_by(watch),
                stop=stop,
                checkpoints=cell.checkpoints,
                checkpoint_every_epochs=checkpoint_every_epochs or epochs,
            )
            conclude(cell, state, _watched(cell, group))
            cell.finish()


def _every(interval: int, epochs: int, watch: Evaluation) -> Evaluation:
    """Measures after every so many epochs and after the last one, else nothing."""

    def due(epoch: int, state: TrainState) -> dict[str, np.ndarray]:
        done = epoch + 1
        return watch(epoch, state) if done % interval == 0 or done == epochs else {}

    return due


class EpochRecords:
    """Writes down one group's epochs, and how long they took."""

    def __init__(
        self, cell: Cell, fields: Mapping[str, Any], bar: Any, shown: Sequence[str]
    ):
        """Starts the clock.

        Args:
          cell: gets the records.
          fields: of every record.
          bar: of progress, a step per epoch.
          shown: metrics beside it.
        """
        self._cell, self._fields, self._bar, self._shown = cell, fields, bar, shown
        self._watched: list[str] = []
        self._started = time.monotonic()
        self._trained: float | None = None

    def watched_by(self, watch: Evaluation) -> Evaluation:
        """Measures what is watched, off the clock."""

        def evaluate(epoch: int, state: TrainState) -> dict[str, np.ndarray]:
            self._trained = time.monotonic() - self._started
            found = watch(epoch, state)
            self._watched = list(found)
            return found

        return evaluate

    def report(self, epoch: int, metrics: dict[str, np.ndarray]) -> None:
        """Logs an epoch and moves the progress bar."""
        seconds = self._trained
        if seconds is None:
            seconds = time.monotonic() - self._started
        means: dict[str, Any] = {
            key: float(values.mean()) for key, values in metrics.items()
        }
        self._cell.write(
            EPOCH,
            step=epoch,
            **self._fields,
            repeats=len(metrics["loss"]),
            epoch=epoch,
            **means,
            of_repeats={key: [float(v) for v in metrics[key]] for key in self._watched},
            seconds=round(seconds, 3),
        )
        postfix = {key: f"{means[key]:.3f}" for key in self._shown if key in means}
        self._bar.set_postfix(postfix, refresh=False)
        advance(self._bar)
        self._started = time.monotonic()


def _watched(cell: Cell, group: range) -> Watched:
    records = [r for r in cell.records if r["event"] == EPOCH and r["of_repeats"]]
    # What is measured after the last epoch alone comes last.
    keys = dict.fromkeys(key for record in records for key in record["of_repeats"])
    unknown = [np.nan] * len(group)
    values = {
        key: np.array([r["of_repeats"].get(key, unknown) for r in records], float).T
        for key in keys
    }
    return Watched(group, np.array([r["epoch"] + 1 for r in records]), values)
