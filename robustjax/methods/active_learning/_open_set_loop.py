"""Open-set active learning as a loop: train, pick, ask, learn from the answers.

The order of steps is that of Park et al., "Meta-Query-Net" (NeurIPS 2022): a fresh
classifier is trained on the labelled IN examples, tested, and shown to the strategy,
which orders what it wants to ask; the oracle answers with a class or with OOD, and
the strategy learns from the answers while the classifier has not seen them yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks
from robustjax.methods.active_learning._open_set_answers import (
    check_rows,
    checked_answers,
    checked_validation,
)
from robustjax.methods.active_learning._open_set_budget import OpenSetBudget
from robustjax.methods.active_learning._open_set_round import (
    HELD_OUT,
    SKIPPED,
    UNASKED,
    Observation,
    PoolClassifier,
    Query,
    QueryStrategy,
    RoundView,
    ValidationSet,
)
from robustjax.methods.active_learning._open_set_state import OpenSetState, Proposal

_TRAIN, _SELECT, _MEMORY = range(3)
_EMBEDDINGS = {
    "projections": ("projections",),
    "rotations": ("semantic", "distinctive"),
}


class OpenSetRun:
    """One strategy at work on one pool.

    `state` after `start` goes through `propose` (train, test, pick) and `receive`
    (label, learn) once per round, and `finish` trains a last time. Everything is a
    function of (state, key), so that a run killed anywhere and continued from its
    last received round gives the same numbers. Training keys do not depend on the
    strategy: runs of several strategies with one key begin with the same network.

    As long as no answer is an IN class there is nothing to train on: then no
    accuracy is recorded, and the questions are drawn uniformly. A round in which no
    IN example is found changes nothing but the labelled OOD examples.

    Attributes:
      strategy: decides what to ask.
      classifier: is trained; holds the pool.
      budget: the queries.
    """

    def __init__(
        self,
        strategy: QueryStrategy,
        classifier: PoolClassifier,
        budget: OpenSetBudget,
        key: jax.Array,
        *,
        num_examples: int,
        num_classes: int,
        embeddings: Mapping[str, jax.Array] | None = None,
        validation: ValidationSet | None = None,
        test_inputs: Any = None,
        test_labels: np.ndarray | None = None,
    ):
        """Checks that the parts fit together.

        Args:
          strategy: decides what to ask.
          classifier: holds the pool.
          budget: the queries.
          key: PRNG key of everything.
          num_examples: N, of the pool.
          num_classes: k, IN classes.
          embeddings: see `RoundView`.
          validation: held out of the pool for strategies that want it; no round's
            budget pays for it, see `OpenSetState.spent`.
          test_inputs: (M, ...) of IN classes, to measure accuracy on.
          test_labels: (M,) integers in 0 … k-1.

        Raises:
          ValueError: test labels out of range, embeddings or a validation set that the
            strategy wants and that are missing or belong to another pool, or a
            validation set of one kind only.
        """
        checks.at_least("num_examples", num_examples, 1)
        checks.at_least("num_classes", num_classes, 1)
        self.strategy = strategy
        self.classifier = classifier
        self.budget = budget
        self.num_examples = num_examples
        self.num_classes = num_classes
        self._key = key
        self._embeddings = dict(embeddings or {})
        self._check_embeddings()
        if validation is None and "validation" in strategy.wants:
            raise ValueError(
                f"validation: {strategy.name!r} wants a validation set, got none"
            )
        self._validation = validation
        if validation is not None:
            self._validation = checked_validation(validation, num_examples, num_classes)
        self._test = None
        if test_inputs is not None:
            labels = checks.labels("test_labels", test_labels, num_classes)
            checks.same_length(test_inputs=test_inputs, test_labels=labels)
            self._test = (test_inputs, labels)

    def start(self, rows: Any = (), answers: Any = ()) -> OpenSetState:
        """The state before the first round.

        Args:
          rows: (I,) of the examples that are labelled already; none is fine.
          answers: (I,) their labels, k for OOD.

        Raises:
          ValueError: rows that repeat, are no rows or held out, an unknown class, or a
            budget above what the pool has left.
        """
        rows = np.asarray(rows, np.int64).reshape(-1)
        check_rows("rows", rows, self.num_examples)
        held = self._held_out()
        if np.isin(rows, held).any():
            raise ValueError(
                f"rows: got {rows[np.isin(rows, held)][0]}, expected none of the "
                "validation set"
            )
        answers = checked_answers("answers", answers, rows, self.num_classes)
        self.budget.check(self.num_examples - len(held), len(rows))
        total = (self.budget.rounds or 0) + 1
        labels = np.full(self.num_examples, UNASKED, np.int32)
        labels[held] = HELD_OUT
        state = OpenSetState(
            labels=jnp.asarray(labels),
            picks=jnp.full(self.num_examples, -1, jnp.int32),
            round=jnp.int32(0),
            asked=jnp.zeros(total, jnp.int32),
            found_in=jnp.zeros(total, jnp.int32),
            spent=jnp.zeros(total, jnp.float32),
            accuracy=jnp.full(total, jnp.nan, jnp.float32),
            strict_accuracy=jnp.full(total, jnp.nan, jnp.float32),
            memory=self.strategy.init_memory(self._round_key(0, _MEMORY)),
        )
        state = self._note(state, 0, rows, answers)
        if self._validation is None:
            return state
        paid = self.budget.costs(self._validation.labels < self.num_classes).sum()
        return state._replace(spent=state.spent.at[0].add(float(paid)))

    def propose(
        self, state: OpenSetState, count: int | None = None
    ) -> tuple[OpenSetState, Proposal]:
        """Trains, records the accuracy, and orders what to ask.

        Args:
          state: after `start` or `receive`.
          count: of questions at most; by default what the budget allows.

        Returns:
          The state with the accuracy noted, and the questions. There are fewer than
          the budget allows only if the pool has no more, and then possibly none.

        Raises:
          ValueError: no round left, a classifier that does not give what the strategy
            wants, or a state of another validation set.
          RuntimeError: a strategy that asks for anything but distinct unlabelled
            rows, or for another number of them.
        """
        number = int(state.round)
        if self.budget.rounds is not None and number >= self.budget.rounds:
            raise ValueError(
                f"state: all {self.budget.rounds} rounds are over, expected one to come"
            )
        labels = np.asarray(state.labels)
        if not np.array_equal(np.flatnonzero(labels == HELD_OUT), self._held_out()):
            raise ValueError(
                f"state: got {np.sum(labels == HELD_OUT)} examples held out, expected "
                f"those of the validation set, {len(self._held_out())}"
            )
        state, fitted = self._train(state)
        unlabeled = np.flatnonzero(labels == UNASKED)
        count = self.budget.most if count is None else count
        count = min(count, len(unlabeled))
        key = self._round_key(number, _SELECT)
        if fitted is None or count == 0:
            order = np.asarray(jax.random.permutation(key, len(unlabeled)))
            rows = unlabeled[order[:count]]
            return state, Proposal(rows, None, Query(rows))
        observation = self.classifier.observe(fitted)
        self._check_observation(observation)
        view = RoundView(
            labels,
            self.num_classes,
            observation,
            self._embeddings,
            number,
            key,
            self._validation,
        )
        query = self.strategy.select(view, state.memory, count)
        rows = np.asarray(query.rows, np.int64)
        self._check_query(rows, labels, count)
        return state, Proposal(rows, view, query._replace(rows=rows))

    def receive(
        self,
        state: OpenSetState,
        proposal: Proposal,
        answers: Any,
        answered: np.ndarray | None = None,
    ) -> OpenSetState:
        """Takes in the oracle's answers and lets the strategy learn from them.

        Args:
          state: after `propose`.
          proposal: of that call.
          answers: (Q,) labels in the order of the proposal, k for OOD. Those behind
            the end of the round's budget are dropped: a simulated oracle answers for
            the whole list, a real one is asked no more than is paid for.
          answered: (Q,) bool, False where there is no answer; those examples cost
            nothing and, up to the end of the budget, are never asked about again. By
            default all True.

        Raises:
          ValueError: another number of answers, `answered` that is no bool, an unknown
            class, a proposal that was answered already, or a budget without rounds.
            The state that was passed is as good as before.
        """
        if self.budget.rounds is None:
            raise ValueError("rounds: got None, expected a number, to note answers")
        rows = np.asarray(proposal.rows, np.int64)
        given = np.ones(len(rows), bool) if answered is None else np.asarray(answered)
        checks.truth("answered", given)
        if given.shape != rows.shape or np.shape(answers) != rows.shape:
            raise ValueError(
                f"answers: got shape {np.shape(answers)}, expected {rows.shape}"
            )
        labels = np.asarray(state.labels)
        again = rows[labels[rows] != UNASKED]
        if again.size:
            raise ValueError(
                f"proposal: {again.size} example(s) were asked about before (first: "
                f"row {again[0]}), expected those of the current round"
            )
        asked, places = rows, np.flatnonzero(given)
        rows = rows[given]
        # Blanks may hold anything.
        answers = np.asarray(answers)[given]
        known = checked_answers("answers", answers, rows, self.num_classes)
        paid = self.budget.affordable(known < self.num_classes)
        rows, known = rows[:paid], known[:paid]
        # Whoever stands behind the end of the budget was not asked, and may be again.
        end = places[paid] if paid < len(places) else len(asked)
        skipped = asked[:end][~given[:end]]
        memory = state.memory
        if proposal.view is not None and len(rows):
            query = proposal.query._replace(rows=rows)
            memory = self.strategy.learn(proposal.view, memory, query, known)
        labels = labels.copy()
        labels[skipped] = SKIPPED
        number = int(state.round) + 1
        state = state._replace(
            labels=jnp.asarray(labels), round=jnp.int32(number), memory=memory
        )
        return self._note(state, number, rows, known)

    def finish(self, state: OpenSetState) -> tuple[OpenSetState, Any]:
        """Trains on all labels and records the accuracy.

        Returns:
          The state, and what `PoolClassifier.fit` gave; None where no label is IN.
        """
        return self._train(state)

    def _note(
        self, state: OpenSetState, number: int, rows: np.ndarray, answers: np.ndarray
    ) -> OpenSetState:
        """Writes answers down as those of a round, counted from 1."""
        is_in = answers < self.num_classes
        first = int(np.sum(state.asked))
        # In NumPy: on the device every new number of answers would be a new program.
        labels, picks = np.array(state.labels), np.array(state.picks)
        labels[rows] = answers
        picks[first : first + len(rows)] = rows
        return state._replace(
            labels=jnp.asarray(labels),
            picks=jnp.asarray(picks),
            asked=state.asked.at[number].set(len(rows)),
            found_in=state.found_in.at[number].set(int(is_in.sum())),
            spent=state.spent.at[number].set(float(self.budget.costs(is_in).sum())),
        )

    def _round_key(self, number: int, purpose: int) -> jax.Array:
        return jax.random.fold_in(jax.random.fold_in(self._key, number), purpose)

    def _train(self, state: OpenSetState) -> tuple[OpenSetState, Any]:
        """A fresh classifier and its accuracy; None without an IN label."""
        number = int(state.round)
        labels = np.array(state.labels)
        if not np.any((labels >= 0) & (labels < self.num_classes)):
            return state, None
        labels[labels < 0] = UNASKED
        fitted = self.classifier.fit(self._round_key(number, _TRAIN), labels)
        if self._test is None:
            return state, fitted
        inputs, truth = self._test
        logits = np.asarray(self.classifier.predict(fitted, inputs))
        right = logits[:, : self.num_classes].argmax(axis=1) == truth
        strict = logits.argmax(axis=1) == truth
        state = state._replace(
            accuracy=state.accuracy.at[number].set(right.mean()),
            strict_accuracy=state.strict_accuracy.at[number].set(strict.mean()),
        )
        return state, fitted

    def _held_out(self) -> np.ndarray:
        """The rows of the validation set, ascending."""
        return np.sort(self._validation.rows if self._validation else np.arange(0))

    def _check_embeddings(self) -> None:
        for want, names in _EMBEDDINGS.items():
            if want not in self.strategy.wants:
                continue
            missing = [name for name in names if name not in self._embeddings]
            if missing:
                raise ValueError(
                    f"embeddings: {self.strategy.name!r} wants {want}, got no "
                    f"{missing[0]!r}"
                )
        for name, array in self._embeddings.items():
            size = array.shape[-2]
            if size != self.num_examples:
                raise ValueError(
                    f"embeddings: {name!r} has {size} examples, expected those of the "
                    f"pool, {self.num_examples}"
                )

    def _check_observation(self, observation: Observation) -> None:
        size, width = observation.logits.shape
        if size != self.num_examples or width - self.num_classes not in (0, 1):
            raise ValueError(
                f"classifier: got logits of shape {(size, width)}, expected "
                f"({self.num_examples}, {self.num_classes}), or one output more"
            )
        wants, name = self.strategy.wants, self.strategy.name
        if "loss_prediction" in wants and observation.predicted_losses is None:
            raise ValueError(
                f"classifier: {name!r} wants predicted losses, got none; train with "
                "loss_prediction"
            )
        if "ood_output" in wants and width == self.num_classes:
            raise ValueError(
                f"classifier: {name!r} wants an output for OOD, got {width} outputs; "
                "train with ood_output"
            )

    def _check_query(self, rows: np.ndarray, labels: np.ndarray, count: int) -> None:
        """Raises `RuntimeError` where a strategy would spend a query twice."""
        name = self.strategy.name
        if rows.shape != (count,):
            raise RuntimeError(f"{name!r} gave rows {rows.shape}, expected ({count},)")
        if len(np.unique(rows)) < count:
            raise RuntimeError(f"{name!r} picked an example twice")
        if rows.min() < 0 or rows.max() >= len(labels):
            raise RuntimeError(f"{name!r} picked what is no row of the pool")
        if np.any(labels[rows] != UNASKED):
            raise RuntimeError(f"{name!r} picked an example that was asked before")
