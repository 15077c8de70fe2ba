"""Runs one method of a label-correction study: records, progress, exact resume."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.studies.label_correction.setup import Data
from experiments.study.journal import Cell
from experiments.study.records import EPOCH
from robustjax import methods
from robustjax.methods.label_correction import CorrectionMethod
from robustjax.training import StopRequest, advance, on_host, progress_bar

ROUND = "round"


class Outcome(NamedTuple):
    """What a method achieved in all repeats.

    Attributes:
      accuracy: (R, rounds + 1) test accuracy in [0, 1].
      selection: (R, rounds) share of wrong labels among the queried.
      picks: (R, G) queried examples, in order; with costs, -1 for none.
      spent: (R, rounds + 1) what was spent before a round; None without costs.
    """

    accuracy: np.ndarray
    selection: np.ndarray
    picks: np.ndarray
    spent: np.ndarray | None = None


Rows = Callable[[Outcome], Sequence[tuple[Mapping[str, Any], Mapping[str, np.ndarray]]]]
"""From an outcome to the rows of the summary: columns, and measures (R,) each."""


class Watcher:
    """Turns epochs into records and a progress bar.

    Attributes:
      cell: gets a record per epoch; to be set before anything trains.
      bar: is moved by every epoch.
      round_number: that is trained for.
      epochs: that the method has trained in all its rounds.
    """

    def __init__(self) -> None:
        """Watches nothing yet."""
        self.cell: Cell | None = None
        self.bar: Any = None
        self.round_number = 0
        self.epochs = 0

    def __call__(self, kind: str, epoch: int, metrics: dict[str, np.ndarray]) -> None:
        """Notes an epoch's metrics, means over repeats."""
        assert self.cell is not None
        self.epochs += 1
        means: dict[str, Any] = {n: float(v.mean()) for n, v in metrics.items()}
        self.cell.write(
            EPOCH,
            step=self.epochs,
            group="epochs",
            method=self.cell.name,
            round=self.round_number,
            training=kind,
            epoch=epoch,
            **means,
        )
        if self.bar is not None:
            self.bar.set_postfix(
                round=self.round_number, loss=f"{means['loss']:.3f}", refresh=False
            )
            advance(self.bar)


def make_runs(
    made: Sequence[CorrectionMethod],
    study: Data,
    trainer: methods.RoundTrainer,
    errors: Callable[[str], contextlib.AbstractContextManager[None]],
    cost_blind: Sequence[str] = (),
) -> list[methods.CorrectionRun]:
    """The runs of all methods, none of them begun.

    Args:
      made: the methods.
      study: data, labels and budget.
      trainer: of all of them.
      errors: of the name of a method: errors about its arguments name its options.
      cost_blind: names of methods that ask by score alone where labels have costs.

    Raises:
      ValueError: a method whose settings do not fit the data.
    """
    runs = [
        methods.CorrectionRun(
            method,
            trainer,
            _without_regard(study.budget)
            if method.name in cost_blind
            else study.budget,
            study.run_keys,
            test_inputs=study.test.inputs,
            test_labels=study.test.labels,
        )
        for method in made
    ]
    for run in runs:
        # The last method must not fail after hours of the first one's training.
        with errors(run.method.name):
            run.start(study.task.labels)
    return runs


def _without_regard(
    budget: methods.Budget | methods.CostBudget,
) -> methods.Budget | methods.CostBudget:
    if isinstance(budget, methods.CostBudget):
        return dataclasses.replace(budget, per_cost=False)
    return budget


def run_method(
    run: methods.CorrectionRun,
    study: Data,
    cell: Cell,
    rows: Rows,
    watcher: Watcher,
    stop: StopRequest,
) -> None:
    """Runs (or continues) one method to its end.

    Args:
      run: of `make_runs`.
      study: data, labels and budget.
      cell: of the method.
      rows: what the summary says of the outcome.
      watcher: of the trainer.
      stop: checked after every round.
    """
    if cell.finished:
        return
    budget, task = run.budget, study.task
    oracle = methods.simulated_oracle(study.train.labels)
    state, done = run.start(task.labels), 0
    found = cell.checkpoints.restore_latest(state)
    if found is not None:
        done, state, _ = found
    weights: np.ndarray | None = None
    # The training after the last answers counts as a round of its own.
    total = budget.rounds + 1
    epochs = run.trainer.settings.epochs
    watcher.cell = cell
    watcher.epochs = sum(record["event"] == EPOCH for record in cell.records)
    with progress_bar(
        total * epochs, f"{cell.name:>12}", unit="epoch", done=done * epochs
    ) as bar:
        watcher.bar = bar
        for number in range(done, total):
            watcher.round_number = number
            started = time.monotonic()
            record: dict[str, Any] = {"method": cell.name, "round": number}
            if number < budget.rounds:
                state, picks, _ = run.propose(state, number)
                state = run.receive(state, number, oracle(picks))
                wrong = np.take_along_axis(task.is_noisy, np.maximum(picks, 0), axis=1)
                there = picks >= 0
                if there.any():
                    record["selection_accuracy"] = float(wrong[there].mean())
            else:
                model, state = run.finish(state)
                weights = on_host(model.weights)
            each = np.asarray(state.accuracy)[:, number]
            cell.write(
                ROUND,
                step=round(reached(budget, number)),
                group=axis_of(budget),
                **record,
                **{axis_of(budget): reached(budget, number)},
                accuracy=float(each.mean()),
                accuracy_of_repeats=[float(a) for a in each],
                seconds=round(time.monotonic() - started, 3),
            )
            if number < budget.rounds:
                cell.checkpoints.save(number + 1, state)
                stop.check()
    picks = np.asarray(state.picks)
    outcome = Outcome(
        np.asarray(state.accuracy),
        methods.selection_accuracy(picks, task.is_noisy, budget),
        picks,
        _spent(budget, picks),
    )
    repeats = range(len(picks))
    for columns, values in rows(outcome):
        cell.result(columns, values, repeats=repeats)
    _keep_examples(cell, study, np.asarray(state.labels), picks, weights)
    cell.finish()


def axis_of(budget: methods.Budget | methods.CostBudget) -> str:
    """What accuracies are measured against: labels, or what they may have cost."""
    return "budget" if isinstance(budget, methods.CostBudget) else "labels"


def reached(budget: methods.Budget | methods.CostBudget, number: int) -> float:
    """How many labels were asked for before a round, or what they may have cost."""
    if isinstance(budget, methods.CostBudget):
        return min(number * budget.batch, budget.total)
    return budget.asked(number)


def _spent(
    budget: methods.Budget | methods.CostBudget, picks: np.ndarray
) -> np.ndarray | None:
    if not isinstance(budget, methods.CostBudget):
        return None
    edges = [budget.asked(number) for number in range(budget.rounds + 1)]
    return np.stack([budget.spent(picks[:, :edge]) for edge in edges], axis=1)


def _keep_examples(
    cell: Cell,
    study: Data,
    labels: np.ndarray,
    picks: np.ndarray,
    weights: np.ndarray | None,
) -> None:
    """What became of every label, whose was asked when, and what it weighs."""
    ids, count = study.train.ids, len(study.train)
    for repeat, places in enumerate(picks):
        asked = places[places >= 0]
        keys = {"repeat": repeat}
        order = np.full(count, np.nan)
        order[asked] = np.arange(len(asked))
        more = {} if weights is None else {"weight": weights[repeat, :count]}
        cell.keep(cell.name, ids, keys, current=labels[repeat], asked=order, **more)
