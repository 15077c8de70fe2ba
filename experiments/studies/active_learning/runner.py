"""Runs one strategy on one pool: log, progress, exact resume."""

from __future__ import annotations

import io
import pathlib
import time
from typing import Any

import numpy as np

from experiments.studies.active_learning.setup import Study, Task, task_name
from experiments.studies.active_learning.surfaces import write_surface
from robustjax import scores
from robustjax.files import write_atomically
from robustjax.methods.active_learning import (
    OpenSetRun,
    OpenSetState,
    Proposal,
    query_precision,
)
from robustjax.training import CheckpointFolder, MetricLog, Record, StopRequest, advance


def run_folder_of(
    folder: pathlib.Path, strategy: str, noise_ratio: float, repeat: int
) -> pathlib.Path:
    """Where a run keeps its checkpoints, queries and surfaces."""
    return folder / strategy / task_name(noise_ratio, repeat)


def trainings(study: Study) -> int:
    """Of one run."""
    return study.config.rounds + study.config.last_training


def trainings_done(
    study: Study, folder: pathlib.Path, strategy: str, noise_ratio: float, repeat: int
) -> int:
    """Those that have a checkpoint."""
    mine = run_folder_of(folder, strategy, noise_ratio, repeat) / "checkpoints"
    return max(CheckpointFolder(mine).steps(), default=0)


def run_strategy(
    label: str,
    run: OpenSetRun,
    study: Study,
    task: Task,
    folder: pathlib.Path,
    log: MetricLog,
    bar: Any,
    stop: StopRequest,
) -> None:
    """Runs (or continues) one strategy on one task to its end.

    Args:
      label: of the strategy.
      run: of the task.
      study: of the task.
      task: the pool and its initial set.
      folder: of the study.
      log: gets a record per round.
      bar: is moved by every training.
      stop: checked after every round.
    """
    mine = run_folder_of(folder, label, task.noise_ratio, task.repeat)
    mine.mkdir(parents=True, exist_ok=True)
    checkpoints = CheckpointFolder(mine / "checkpoints")
    state, done = run.start(task.initial, task.labels[task.initial]), 0
    found = checkpoints.restore_latest(state, report=print)
    if found is not None:
        done, state, _ = found
    # A round is logged before it is saved: what was not saved is taken back.
    log.rewind(
        lambda record: (
            (record["strategy"], record["noise_ratio"], record["repeat"])
            != (label, task.noise_ratio, task.repeat)
            or record["round"] <= done
        )
    )
    for number in range(done, trainings(study)):
        started = time.monotonic()
        before = _known(state, study.num_classes)
        measures: Record = {}
        if number < study.config.rounds:
            state, proposal = run.propose(state)
            measures["auroc"] = _purity_auroc(proposal, task, study.num_classes)
            memory = state.memory
            state = run.receive(state, proposal, task.labels[proposal.rows])
            if task.repeat == 0:
                answered = state.rows_of_round(number)
                write_surface(mine, number, run.strategy, proposal, memory, answered)
            measures["purity"] = float(query_precision(state)[number])
        else:
            state, _ = run.finish(state)
        record = {
            "event": "round",
            "strategy": label,
            "noise_ratio": task.noise_ratio,
            "repeat": task.repeat,
            "round": number + 1,
            **before,
            "accuracy": float(state.accuracy[number]),
            "strict_accuracy": float(state.strict_accuracy[number]),
            **measures,
            "seconds": round(time.monotonic() - started, 3),
        }
        group = f"{label}/{task.name}"
        log.write(record, step=number + 1, group=group)
        checkpoints.save(number + 1, state)
        bar.set_postfix(
            strategy=label, task=task.name, accuracy=f"{record['accuracy']:.3f}",
            refresh=False,
        )  # fmt: skip
        advance(bar)
        stop.check()
    _write_queries(mine, state, task)


def _known(state: OpenSetState, num_classes: int) -> Record:
    """What a training has to learn from, and what it has cost."""
    labels = np.asarray(state.labels)
    return {
        "labels": int(np.sum(labels >= 0)),
        "labeled_in": int(np.sum((labels >= 0) & (labels < num_classes))),
        "spent": float(np.sum(np.asarray(state.spent, np.float64))),
    }


def _purity_auroc(proposal: Proposal, task: Task, num_classes: int) -> float:
    """How well the strategy's purity tells IN from OOD among the unlabelled."""
    rows = getattr(proposal.query.notes, "rows", None)
    purity = getattr(proposal.query.notes, "purity", None)
    if rows is None or purity is None:
        return float("nan")
    is_ood = task.labels[np.asarray(rows)] == num_classes
    outlying = -np.asarray(purity, np.float64)
    if is_ood.all() or not is_ood.any():
        return float("nan")
    if outlying.min() == outlying.max():
        # Nothing was measured: purity was not defined in this round.
        return float("nan")
    return scores.ood_detection_metrics(outlying[~is_ood], outlying[is_ood]).auroc


def _write_queries(mine: pathlib.Path, state: OpenSetState, task: Task) -> None:
    """Ids in the order they were asked, the initial set first."""
    asked = int(np.sum(np.asarray(state.asked)))
    content = io.BytesIO()
    np.save(content, task.ids[np.asarray(state.picks)[:asked]])
    write_atomically(mine / "queried_ids.npy", content.getvalue())
