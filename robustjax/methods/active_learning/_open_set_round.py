"""What a round of open-set active learning passes between its parts.

The loop (`open_set_loop`) trains a `PoolClassifier` on the examples that the oracle
has answered for, lets a `QueryStrategy` pick the next ones from a `RoundView`, and
gives it the answers. Examples are named by their rows in the pool, 0 … N-1, from
the first round to the last report.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

UNASKED = -1
"""The label of an example that the oracle has not been asked about."""

SKIPPED = -2
"""The label of one that it was asked about and did not answer: not to be asked again.

Classifiers see `UNASKED` in its place."""

HELD_OUT = -3
"""The label of one in the validation set: never asked about, never trained on.

Classifiers see `UNASKED` in its place, too."""

WANTS = ("loss_prediction", "ood_output", "projections", "rotations", "validation")
"""What a strategy can want beside logits and features, see `QueryStrategy`."""


class Observation(NamedTuple):
    """What a round's classifier says of all examples of the pool.

    Attributes:
      logits: (N, C) float32; C is k, or k + 1 with an output for OOD examples.
      features: (N, d) float32, what the head sees.
      head: (d, C) kernel and (C,) bias of the head, for scores that change features.
      predicted_losses: (N,) float32 of the loss-prediction module, or None.
    """

    logits: jax.Array
    features: jax.Array
    head: tuple[jax.Array, jax.Array]
    predicted_losses: jax.Array | None = None


class ValidationSet(NamedTuple):
    """Examples held out of the pool before the first round, with their answers.

    No strategy asks about them and no classifier learns from them, so that their
    losses are those of unseen examples in every round.

    Attributes:
      rows: (V,) distinct rows of the pool.
      labels: (V,) integers, a class of 0 … k-1, or k for OOD; some of either kind.
    """

    rows: np.ndarray
    labels: np.ndarray


class RoundView(NamedTuple):
    """All that a strategy may look at.

    Attributes:
      labels: (N,) int32 answers so far: 0 … k-1, k for OOD, `UNASKED`, `SKIPPED` or
        `HELD_OUT`.
      num_classes: k, the IN classes.
      observation: of this round's classifier, which has not seen the next answers.
      embeddings: what was learned from the pool without labels before the first
        round: "projections" (N, e) of images as they are; "semantic" and
        "distinctive" (4, N, e), of the four rotations. Empty if nobody wants any.
      round_number: from 0.
      key: PRNG key of this round.
      validation: what was held out of the pool, or None.
    """

    labels: np.ndarray
    num_classes: int
    observation: Observation
    embeddings: Mapping[str, jax.Array]
    round_number: int
    key: jax.Array
    validation: ValidationSet | None = None

    @property
    def unlabeled(self) -> np.ndarray:
        """(n,) rows that can be asked about, ascending."""
        return np.flatnonzero(self.labels == UNASKED)

    @property
    def labeled_in(self) -> np.ndarray:
        """Rows answered with a class, ascending."""
        return np.flatnonzero((self.labels >= 0) & (self.labels < self.num_classes))

    @property
    def labeled_ood(self) -> np.ndarray:
        """Rows answered as OOD, ascending."""
        return np.flatnonzero(self.labels == self.num_classes)


class Query(NamedTuple):
    """What a strategy asks for.

    Attributes:
      rows: (count,) distinct unlabelled rows, the most wanted first.
      notes: what the strategy wants back with the answers, and what reports draw; a
        pytree of arrays. It comes back whole where only some rows were answered, so
        that arrays over the pool are easier to use than arrays over the rows.
    """

    rows: np.ndarray
    notes: Any = ()


class QueryStrategy(Protocol):
    """Decides what to ask, and learns from the answers if it likes."""

    @property
    def name(self) -> str:
        """For reports."""

    @property
    def wants(self) -> frozenset[str]:
        """Of `WANTS`.

        "loss_prediction" asks for a classifier with predicted losses, "ood_output"
        for one with k + 1 outputs, "projections" for embeddings of that name,
        "rotations" for those called "semantic" and "distinctive", "validation" for a
        `ValidationSet`.
        """

    def init_memory(self, key: jax.Array) -> Any:
        """What the strategy carries from round to round.

        A pytree of arrays whose structure and shapes never change, so that it can be
        restored from a checkpoint.
        """

    def select(self, view: RoundView, memory: Any, count: int) -> Query:
        """The `count` examples most worth asking about, in order.

        `count` is at most the number of unlabelled examples.
        """

    def learn(
        self, view: RoundView, memory: Any, query: Query, answers: np.ndarray
    ) -> Any:
        """The new memory.

        Args:
          view: of the round, before the answers.
          memory: from before.
          query: with the rows that were answered only.
          answers: of these rows, in 0 … k.
        """


class PoolClassifier(Protocol):
    """Trains on the answered part of a pool; holds the pool's inputs."""

    def fit(self, key: jax.Array, labels: np.ndarray) -> Any:
        """Trains a fresh network on labels (N,) as in `RoundView`."""

    def observe(self, fitted: Any) -> Observation:
        """Looks at the whole pool, without augmentation."""

    def predict(self, fitted: Any, inputs: Any) -> jax.Array:
        """Logits (M, C) of other inputs (M, ...)."""
