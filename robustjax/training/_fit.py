"""The host's loop over epochs: metrics, aborts, stops and checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from robustjax.training._checkpoints import CheckpointFolder
from robustjax.training._elastic import with_example_rows
from robustjax.training._health import check_losses
from robustjax.training._interruption import StopRequest
from robustjax.training._program import Program
from robustjax.training._recipe import RecipeProgram
from robustjax.training._state import TrainData, TrainState

EpochReport = Callable[[int, dict[str, np.ndarray]], None]
Evaluation = Callable[[int, TrainState], dict[str, np.ndarray]]
"""`(epoch, state) -> metrics`, called after every epoch."""


def fit(
    program: Program | RecipeProgram,
    state: TrainState,
    data: TrainData,
    *,
    epochs: int,
    report: EpochReport | None = None,
    evaluate: Evaluation | None = None,
    stop: StopRequest | None = None,
    checkpoints: CheckpointFolder | None = None,
    checkpoint_every_epochs: int = 1,
) -> TrainState:
    """Trains for a number of epochs, resuming from a checkpoint if there is one.

    Args:
      program: what to run.
      state: the initial state; consumed.
      data: from `program.make_data`.
      epochs: how many in all, those before a resume included.
      report: called after every epoch with its number (from 0) and the metrics of
        every repeat, (R,) each, averaged over steps.
      evaluate: called after every epoch with its number and the state; what it
        returns, (R,) each, joins the epoch's metrics. It must not keep the state.
      stop: checked after every epoch.
      checkpoints: where to keep the state, without padding: it goes on on any number
        of devices and processes; by default nowhere.
      checkpoint_every_epochs: how often.

    Returns:
      The state after the last epoch.

    Raises:
      ValueError: checkpoints that cannot be written, before anything is trained.
      NonFiniteLossError: as soon as an epoch with a non-finite loss ends.
      InterruptedRunError: if `stop` was requested; the state is saved first.
    """
    first = 0
    if checkpoints is not None:
        # Where there is none, too: records of epochs that are trained again go.
        like = with_example_rows(state, program.row_spec)
        found = checkpoints.restore_latest(like)
        if found is not None:
            first, state, _ = found
        if first < epochs:
            checkpoints.check_writable()
    for epoch in range(first, epochs):
        state, metrics = program.at(epoch).epoch(state, data)
        fetched: dict[str, Any] = jax.device_get(metrics)
        check_losses(fetched["loss"], epoch=epoch)
        means = {name: value.mean(axis=1) for name, value in fetched.items()}
        if evaluate is not None:
            means |= evaluate(epoch, state)
        if report is not None:
            report(epoch, means)
        done = epoch + 1
        stopping = stop is not None and stop.agree()
        due = done % checkpoint_every_epochs == 0 or done == epochs or stopping
        if checkpoints is not None and due:
            checkpoints.save(done, with_example_rows(state, program.row_spec))
        if stop is not None:
            stop.check()
    return state
