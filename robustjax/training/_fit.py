"""The host's loop over epochs: metrics, aborts, stops and checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from robustjax import checks
from robustjax.training._checkpoints import CheckpointFolder
from robustjax.training._elastic import with_example_rows
from robustjax.training._health import check_losses, check_parameters
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
      ValueError: before anything is trained: checkpoints that cannot be written or
        are of more epochs, numbers out of range.
      NonFiniteLossError: as soon as an epoch with a non-finite loss ends, or before
        non-finite parameters would be saved or returned.
      InterruptedRunError: if `stop` was requested; the state is saved first.
    """
    checks.at_least("epochs", epochs, 0)
    checks.at_least("checkpoint_every_epochs", checkpoint_every_epochs, 1)
    first = 0
    if checkpoints is not None:
        # Where there is none, too: records of epochs that are trained again go.
        like = with_example_rows(state, program.row_spec)
        found = checkpoints.restore_latest(like)
        if found is not None:
            first, state, _ = found
        if first > epochs:
            raise ValueError(
                f"epochs: got {epochs}, expected at least the {first} that the "
                "checkpoint has been trained for; take another folder to start again"
            )
        if first < epochs:
            checkpoints.check_writable()
    for epoch in range(first, epochs):
        state, metrics = program.at(epoch).epoch(state, data)
        fetched: dict[str, Any] = jax.device_get(metrics)
        check_losses(fetched["loss"], epoch=epoch)
        done = epoch + 1
        due = done % checkpoint_every_epochs == 0 or done == epochs
        # The losses of an epoch say nothing of what its last step has made.
        if done == epochs or (due and checkpoints is not None):
            check_parameters(state.params, epoch=epoch)
        means = {name: value.mean(axis=1) for name, value in fetched.items()}
        if evaluate is not None:
            means |= evaluate(epoch, state)
        if report is not None:
            report(epoch, means)
        stopping = stop is not None and stop.agree()
        if checkpoints is not None and (due or stopping):
            checkpoints.save(done, with_example_rows(state, program.row_spec))
        if stop is not None:
            stop.check()
    return state
