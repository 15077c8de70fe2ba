"""What a run of open-set active learning carries from round to round."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from robustjax.methods.active_learning._open_set_round import Query, RoundView


class OpenSetState(NamedTuple):
    """Everything a run carries between rounds.

    Arrays over rounds have one entry more than there are rounds. In `asked`,
    `found_in` and `spent` entry 0 is what was known before the first round, and entry
    r, from 1 on, the answers of the r-th round. In `accuracy` and `strict_accuracy`
    entry r is the classifier that was trained after r answered rounds: entry 0 has
    learnt from what was known, and entry r is noted before the answers of round r + 1,
    the last one by `OpenSetRun.finish`. So `accuracy[r]` is what all of `asked[:r + 1]`
    have led to.

    Attributes:
      labels: (N,) int32: 0 … k-1, k for OOD, `UNASKED`, `SKIPPED` or `HELD_OUT`.
      picks: (N,) int32 rows in the order they were asked, -1 beyond the last.
      round: () int32, rounds that have been answered.
      asked: (rounds + 1,) int32 how many answers came, skipped examples not counted;
        0 for rounds to come.
      found_in: (rounds + 1,) int32 how many of them were IN.
      spent: (rounds + 1,) float32 what they cost; entry 0 also what the answers of a
        validation set did, which are no training labels and count nowhere else.
      accuracy: (rounds + 1,) float32 test accuracy over the k classes; NaN where there
        was nothing to train or to test on, and for trainings to come.
      strict_accuracy: (rounds + 1,) float32 the same where a prediction of the OOD
        output counts as wrong; differs for classifiers with k + 1 outputs only.
      memory: of the strategy.
    """

    labels: jax.Array
    picks: jax.Array
    round: jax.Array
    asked: jax.Array
    found_in: jax.Array
    spent: jax.Array
    accuracy: jax.Array
    strict_accuracy: jax.Array
    memory: Any

    def rows_of_round(self, number: int) -> np.ndarray:
        """The rows that were answered in a round, in the order they were asked.

        Args:
          number: of the round, from 0 as `RoundView.round_number`: its answers are
            counted in `asked[number + 1]`. -1 is what was known before the first one.

        Returns:
          (asked[number + 1],) int32.
        """
        edges = np.concatenate([[0], np.cumsum(np.asarray(self.asked))])
        return np.asarray(self.picks)[edges[number + 1] : edges[number + 2]]


class Proposal(NamedTuple):
    """A round's questions.

    Attributes:
      rows: (Q,) int64, the most wanted first; more than the budget pays for, where
        costs differ.
      view: what the strategy looked at, or None where there was nothing to train on.
      query: what it said.
    """

    rows: np.ndarray
    view: RoundView | None
    query: Query
