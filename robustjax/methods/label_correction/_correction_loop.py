"""Active label correction as a loop: train, ask, correct, again.

The repaired Algorithm 1 of Kim (ECCV 2022): the printed one starts from an empty
data set, picks a whole batch before its first training, and resets the weights in
every turn. What distinguishes the methods is a `CorrectionMethod`: how it trains and
what it asks.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks
from robustjax.methods.label_correction._cost_budget import CostBudget
from robustjax.methods.label_correction._round_training import (
    Fitted,
    RoundTrainer,
    folded,
)
from robustjax.selection import Spending


class RoundModel(NamedTuple):
    """What a round's training leaves for the selection.

    Attributes:
      fitted: the classifiers.
      logits: (R, N, C) on all training examples.
      weights: (R, N) contribution weights with mean 1, or None if uniform.
    """

    fitted: Fitted
    logits: jax.Array
    weights: jax.Array | None = None


class CorrectionMethod(Protocol):
    """A method of label correction."""

    @property
    def name(self) -> str:
        """For reports."""

    def init_memory(
        self, trainer: RoundTrainer, labels: jax.Array, keys: jax.Array
    ) -> Any:
        """What the method carries from round to round: a pytree of arrays."""

    def train(
        self,
        trainer: RoundTrainer,
        state: CorrectionState,
        keys: jax.Array,
    ) -> tuple[RoundModel, Any]:
        """Trains on the current labels; returns the model and the new memory."""

    def select(
        self,
        trainer: RoundTrainer,
        model: RoundModel,
        state: CorrectionState,
        keys: jax.Array,
        count: int,
        spending: Spending | None = None,
    ) -> tuple[jax.Array, Any]:
        """Picks (R, count) un-queried examples; returns them and the new memory.

        With costs, which are given in `spending`, (R, …), at most `count` whose costs
        are within the limits, and -1 in the places behind them. Without costs the
        argument is not given.
        """


class CorrectionState(NamedTuple):
    """Everything a run of label correction carries between rounds.

    Attributes:
      labels: (R, N) int32 current labels.
      queried: (R, N) bool, whether the oracle has answered for the example.
      picks: (R, G) int32 example indices in the order they were asked, all rounds;
        entries of rounds to come are meaningless. With costs, G is the number of places
        for them, and -1 where none was asked.
      accuracy: (R, rounds + 1) test accuracy before round r's queries; NaN if there
        is no test set, or for rounds to come.
      memory: of the method.
    """

    labels: jax.Array
    queried: jax.Array
    picks: jax.Array
    accuracy: jax.Array
    memory: Any


Oracle = Callable[[np.ndarray], np.ndarray]
"""`(R, Q) example indices -> (R, Q) true labels`."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """How many labels are asked for, and how many at a time.

    Attributes:
      total: G, labels in all.
      batch: Q, labels per round; the last round may be smaller.
    """

    total: int
    batch: int

    def check(self, num_examples: int) -> None:
        """Raises `ValueError` unless the budget fits a pool of this size."""
        checks.at_least("batch", self.batch, 1)
        checks.at_least("budget", self.total, 1)
        if self.batch > self.total:
            raise ValueError(
                f"batch: got {self.batch}, expected at most the budget, {self.total}"
            )
        if self.total > num_examples:
            raise ValueError(
                f"budget: got {self.total}, expected at most the pool of "
                f"{num_examples} examples"
            )

    def check_repeats(self, repeats: int) -> None:
        """The same for any number of repeats."""

    @property
    def rounds(self) -> int:
        """Rounds of queries."""
        return -(-self.total // self.batch)

    @property
    def places(self) -> int:
        """For queries of all rounds."""
        return self.total

    def count(self, round_number: int) -> int:
        """Queries in a round, counted from 0."""
        return min(self.batch, self.total - round_number * self.batch)

    def asked(self, round_number: int) -> int:
        """Queries before a round."""
        return min(round_number * self.batch, self.total)

    def spending(self, round_number: int, repeats: int) -> Spending | None:
        """None: labels are counted."""
        del round_number, repeats
        return None


class CorrectionRun:
    """One method at work on all repeats.

    `state` after `start` goes through `propose` (train, record, pick) and `receive`
    (correct) once per round, and `finish` trains a last time. Everything is a
    function of (labels, keys, round), so that a run killed anywhere and continued
    from its last received round gives the same numbers.

    Attributes:
      method: of label correction.
      trainer: the classifiers.
      budget: the queries.
    """

    def __init__(
        self,
        method: CorrectionMethod,
        trainer: RoundTrainer,
        budget: Budget | CostBudget,
        keys: jax.Array,
        *,
        test_inputs: np.ndarray | jax.Array | None = None,
        test_labels: np.ndarray | None = None,
    ):
        """Checks the budget against the pool.

        Args:
          method: of label correction.
          trainer: holds the N inputs.
          budget: the queries, by their number or by what they cost.
          keys: (R,) PRNG keys, one per repeat.
          test_inputs: (M, ...), to measure accuracy on.
          test_labels: (M,) integers.

        Raises:
          ValueError: a budget that does not fit.
        """
        budget.check(trainer.spec.num_examples)
        budget.check_repeats(len(keys))
        self.method = method
        self.trainer = trainer
        self.budget = budget
        self._keys = keys
        self._test = None
        if test_inputs is not None:
            labels = checks.labels("test_labels", test_labels, trainer.spec.num_classes)
            checks.same_length(test_inputs=test_inputs, test_labels=labels)
            self._test = (jnp.asarray(test_inputs), np.asarray(labels))

    def start(self, labels: np.ndarray | jax.Array) -> CorrectionState:
        """The state before the first round.

        Args:
          labels: (R, N) given labels.

        Raises:
          ValueError: a shape that does not match, labels out of range.
        """
        repeats, examples = len(self._keys), self.trainer.spec.num_examples
        if labels.shape != (repeats, examples):
            raise ValueError(
                f"labels: got shape {labels.shape}, expected (repeats, examples) = "
                f"({repeats}, {examples})"
            )
        for row in np.asarray(labels):
            checks.labels("labels", row, self.trainer.spec.num_classes)
        begun = jax.device_put(np.array(labels, np.int32))
        accuracy = np.full((repeats, self.budget.rounds + 1), np.nan, np.float32)
        return CorrectionState(
            labels=begun,
            queried=jax.device_put(np.zeros(labels.shape, bool)),
            picks=jax.device_put(np.zeros((repeats, self.budget.places), np.int32)),
            accuracy=jax.device_put(accuracy),
            memory=self.method.init_memory(self.trainer, begun, self._keys),
        )

    def propose(
        self, state: CorrectionState, round_number: int
    ) -> tuple[CorrectionState, np.ndarray, RoundModel]:
        """Trains, records the accuracy, and picks what to ask.

        Args:
          state: before the round.
          round_number: from 0.

        Returns:
          The state with the picks noted, the picks, (R, Q), and the trained model.
          With costs, -1 among the picks is none.
        """
        count, first = self.budget.count(round_number), self.budget.asked(round_number)
        spending = self.budget.spending(round_number, len(self._keys))
        state, picks, model = self.ask(state, round_number, count, spending)
        noted = np.array(state.picks)
        noted[:, first : first + count] = picks
        return state._replace(picks=jax.device_put(noted)), picks, model

    def ask(
        self,
        state: CorrectionState,
        round_number: int,
        count: int,
        spending: Spending | None = None,
    ) -> tuple[CorrectionState, np.ndarray, RoundModel]:
        """As `propose`, for any number of questions, which the state does not note.

        Args:
          state: before the round.
          round_number: from 0.
          count: of questions; without costs, no more than examples are left.
          spending: what they may cost; None for no costs.

        Returns:
          The state after training and selection, the picks, (R, count), and the model.
        """
        model, state = self._train(state, round_number)
        keys = self._round_keys(round_number, 1)
        costs = {} if spending is None else {"spending": spending}
        picks, memory = self.method.select(
            self.trainer, model, state, keys, count, **costs
        )
        _check_picks(self.method.name, np.asarray(picks), np.asarray(state.queried))
        return state._replace(memory=memory), np.asarray(picks), model

    def receive(
        self,
        state: CorrectionState,
        round_number: int,
        answers: np.ndarray,
        answered: np.ndarray | None = None,
    ) -> CorrectionState:
        """Writes the oracle's answers to a round's picks into the labels.

        Args:
          state: after `propose`.
          round_number: of that proposal.
          answers: (R, Q) true labels, in the order of the picks; where there is none,
            anything.
          answered: (R, Q) bool, False where the oracle gave no answer: those examples
            keep their labels and can be asked about again; by default all True.

        Raises:
          ValueError: a shape that does not match, `answered` that is no bool, an
            unknown class.
        """
        count, first = self.budget.count(round_number), self.budget.asked(round_number)
        picks = np.asarray(state.picks)[:, first : first + count]
        answered = np.ones(picks.shape, bool) if answered is None else answered
        # What an oracle answers is easily passed for whether it has answered.
        checks.truth("answered", answered)
        # On the host: on the device it would be a program per round and line.
        answers, answered = np.asarray(answers), np.asarray(answered)
        for name, each in (("answers", answers), ("answered", answered)):
            if each.shape != picks.shape:
                raise ValueError(
                    f"{name}: got shape {each.shape}, expected {picks.shape}"
                )
        answered = answered & (picks >= 0)
        given = answers[answered]
        if given.size:
            checks.labels("answers", given, self.trainer.spec.num_classes)
        rows = np.broadcast_to(np.arange(len(picks))[:, None], picks.shape)
        place = rows[answered], picks[answered]
        labels, queried = np.array(state.labels), np.array(state.queried)
        labels[place], queried[place] = given, True
        return state._replace(
            labels=jax.device_put(labels), queried=jax.device_put(queried)
        )

    def finish(self, state: CorrectionState) -> tuple[RoundModel, CorrectionState]:
        """Trains on the final labels and records the last accuracy."""
        return self._train(state, self.budget.rounds)

    def _round_keys(self, round_number: int, purpose: int) -> jax.Array:
        return folded(folded(self._keys, round_number), purpose)

    def _train(
        self, state: CorrectionState, round_number: int
    ) -> tuple[RoundModel, CorrectionState]:
        keys = self._round_keys(round_number, 0)
        model, memory = self.method.train(self.trainer, state, keys)
        state = state._replace(memory=memory)
        if self._test is not None:
            inputs, labels = self._test
            logits = np.asarray(model.fitted.logits(inputs))
            right = np.argmax(logits, axis=-1) == labels[None]
            accuracy = np.array(state.accuracy)
            share = np.float32(1) / np.float32(right.shape[1])
            accuracy[:, round_number] = right.sum(axis=1).astype(np.float32) * share
            state = state._replace(accuracy=jax.device_put(accuracy))
        return model, state


def _check_picks(name: str, picks: np.ndarray, queried: np.ndarray) -> None:
    """Raises `RuntimeError` where a method would spend a query twice."""
    for row, before in zip(picks, queried):
        there = row[row >= 0]
        if not before[there].any() and len(np.unique(there)) == len(there):
            continue
        raise RuntimeError(f"{name!r} picked an example that was picked before")


def simulated_oracle(true_labels: np.ndarray) -> Oracle:
    """An oracle that knows the true labels, (N,)."""

    def answer(picks: np.ndarray) -> np.ndarray:
        return np.asarray(true_labels)[picks]

    return answer


def selection_accuracy(
    picks: np.ndarray, is_noisy: np.ndarray, budget: Budget | CostBudget
) -> np.ndarray:
    """The share of each batch's picks whose given label was wrong.

    The "noisy example selection accuracy" of Kim (ECCV 2022), Table 1, per batch.

    Args:
      picks: (R, G) in the order they were asked, -1 for none.
      is_noisy: (R, N) bool, given label != true label.
      budget: of the run.

    Returns:
      (R, rounds) in [0, 1]; NaN where nothing was asked.
    """
    picks = np.asarray(picks)
    hit = np.take_along_axis(np.asarray(is_noisy), np.maximum(picks, 0), axis=1)
    there = picks >= 0
    edges = [budget.asked(r) for r in range(budget.rounds + 1)]
    return np.stack(
        [_share(hit[:, a:b], there[:, a:b]) for a, b in itertools.pairwise(edges)],
        axis=1,
    )


def _share(hit: np.ndarray, there: np.ndarray) -> np.ndarray:
    if there.all():
        return hit.mean(axis=1)
    count = there.sum(axis=1)
    found = np.sum(hit, axis=1, where=there)
    return np.where(count > 0, found / np.maximum(count, 1), np.nan)
