"""Runs one strategy on one pool: log, progress, exact resume."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from experiments.studies.active_learning.report import MEASURES
from experiments.studies.active_learning.screen import PREFIX, screen_round
from experiments.studies.active_learning.setup import Data, Pool, pool_name
from experiments.studies.active_learning.surfaces import SURFACE, surface_of
from experiments.study.journal import Cell
from robustjax import scores
from robustjax.methods.active_learning import (
    OpenSetRun,
    OpenSetState,
    Proposal,
    query_precision,
)
from robustjax.training import Record, StopRequest, advance

ROUND = "round"
# In place of a strategy: what is known of a pool.
POOL = "data/pools"


def cell_of(label: str, noise_ratio: float, repeat: int) -> str:
    """The name of a strategy's cell on one pool."""
    return f"{label}/{pool_name(noise_ratio, repeat)}"


def keys_of(pool: Pool) -> dict[str, Any]:
    """What tells a pool's rows of `examples.csv` from those of others."""
    return {"noise_ratio": pool.noise_ratio, "repeat": pool.repeat}


def trainings(study: Data) -> int:
    """Of one run."""
    return study.config.rounds + study.config.last_training


def run_strategy(
    label: str,
    run: OpenSetRun,
    study: Data,
    pool: Pool,
    cell: Cell,
    bar: Any,
    stop: StopRequest,
) -> None:
    """Runs (or continues) one strategy on one pool to its end.

    Args:
      label: of the strategy.
      run: of the pool.
      study: of the pool.
      pool: the pool and its initial set.
      cell: gets a record per round.
      bar: is moved by every training.
      stop: checked after every round.
    """
    if cell.finished:
        return
    state, done = run.start(pool.initial, pool.labels[pool.initial]), 0
    found = cell.checkpoints.restore_latest(state)
    if found is not None:
        done, state, _ = found
    fields: Record = {
        "method": label,
        "noise_ratio": pool.noise_ratio,
        "repeat": pool.repeat,
    }
    for number in range(done, trainings(study)):
        started = time.monotonic()
        before = _known(state, study.num_classes)
        measures: Record = {}
        if number < study.config.rounds:
            state, proposal = run.propose(state)
            measures["auroc"] = _purity_auroc(proposal, pool, study.num_classes)
            if study.config.screen:
                measures |= screen_round(
                    proposal, pool.labels, study.num_classes, seed=pool.repeat
                )
            memory = state.memory
            state = run.receive(state, proposal, pool.labels[proposal.rows])
            if pool.repeat == 0:
                answered = state.rows_of_round(number)
                surface = surface_of(run.strategy, proposal, memory, answered)
                if surface is not None:
                    name = f"surface_{number + 1:02d}.npz"
                    cell.attach(SURFACE, name, surface, **fields, round=number + 1)
            measures["query_precision"] = float(query_precision(state)[number])
        else:
            state, _ = run.finish(state)
        measures = {
            **before,
            "accuracy": float(state.accuracy[number]),
            "strict_accuracy": float(state.strict_accuracy[number]),
            **measures,
        }
        cell.write(
            ROUND,
            step=number + 1,
            **fields,
            round=number + 1,
            **measures,
            seconds=round(time.monotonic() - started, 3),
        )
        cell.checkpoints.save(number + 1, state)
        bar.set_postfix(
            method=label, pool=pool.name, accuracy=f"{measures['accuracy']:.3f}",
            refresh=False,
        )  # fmt: skip
        advance(bar)
        stop.check()
    _conclude(label, cell, state, pool)


def _conclude(label: str, cell: Cell, state: OpenSetState, pool: Pool) -> None:
    """Writes the rows of the summary, and who was asked when."""
    for record in [r for r in cell.records if r["event"] == ROUND]:
        cell.result(
            {
                "noise_ratio": pool.noise_ratio,
                "method": label,
                "round": record["round"],
            },
            # NaN is null in a record, and the last training has no queries.
            {
                key: [_number(record.get(key))]
                for key in (
                    *(m.key for m in MEASURES if not m.key.endswith("*")),
                    *(key for key in record if key.startswith(PREFIX)),
                )
            },
            repeats=[pool.repeat],
        )
    asked = np.full(len(pool.ids), np.nan)
    rounds = asked.copy()
    total = int(np.sum(np.asarray(state.asked)))
    picks = np.asarray(state.picks)[:total]
    asked[picks] = np.arange(total)
    rounds[picks] = np.repeat(
        np.arange(len(np.asarray(state.asked))), np.asarray(state.asked)
    )
    # Round 0 is what was known before the first one.
    cell.keep(label, pool.ids, keys_of(pool), asked=asked, round=rounds)
    cell.finish()


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _known(state: OpenSetState, num_classes: int) -> Record:
    """What a training has to learn from, and what it has cost."""
    labels = np.asarray(state.labels)
    return {
        "labels": int(np.sum(labels >= 0)),
        "labeled_in": int(np.sum((labels >= 0) & (labels < num_classes))),
        "spent": float(np.sum(np.asarray(state.spent, np.float64))),
    }


def _purity_auroc(proposal: Proposal, pool: Pool, num_classes: int) -> float:
    """How well the strategy's purity tells IN from OOD among the unlabelled."""
    rows = getattr(proposal.query.notes, "rows", None)
    purity = getattr(proposal.query.notes, "purity", None)
    if rows is None or purity is None:
        return float("nan")
    is_ood = pool.labels[np.asarray(rows)] == num_classes
    outlying = -np.asarray(purity, np.float64)
    if is_ood.all() or not is_ood.any():
        return float("nan")
    if outlying.min() == outlying.max():
        # Nothing was measured: purity was not defined in this round.
        return float("nan")
    return scores.ood_detection_metrics(outlying[~is_ood], outlying[is_ood]).auroc
