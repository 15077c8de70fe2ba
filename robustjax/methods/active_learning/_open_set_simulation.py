"""Open-set active learning with an oracle that answers at once, to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from robustjax.methods.active_learning._open_set_loop import OpenSetRun
from robustjax.methods.active_learning._open_set_state import OpenSetState

Oracle = Callable[[np.ndarray], np.ndarray]
"""`(Q,) rows of the pool -> (Q,) labels`, k for OOD."""


def simulated_oracle(true_labels: np.ndarray) -> Oracle:
    """An oracle that knows the true labels, (N,), k for OOD."""

    def answer(rows: np.ndarray) -> np.ndarray:
        return np.asarray(true_labels)[rows]

    return answer


def run_rounds(
    run: OpenSetRun, state: OpenSetState, oracle: Oracle
) -> tuple[OpenSetState, Any]:
    """Asks in all rounds that are left, and trains a last time.

    Args:
      run: the strategy and all it needs.
      state: after `start` or `receive`.
      oracle: answers for a proposal's rows.

    Returns:
      As `OpenSetRun.finish`.

    Raises:
      ValueError: an answer that is no class, or a budget without rounds.
    """
    if run.budget.rounds is None:
        raise ValueError("rounds: got None, expected a number, to simulate")
    while int(state.round) < run.budget.rounds:
        state, proposal = run.propose(state)
        state = run.receive(state, proposal, oracle(proposal.rows))
    return run.finish(state)


def query_precision(state: OpenSetState) -> np.ndarray:
    """(rounds,) share of IN examples among each round's answers; NaN of none."""
    asked = np.asarray(state.asked[1:], np.float64)
    found = np.asarray(state.found_in[1:], np.float64)
    return np.divide(found, asked, out=np.full_like(asked, np.nan), where=asked > 0)
