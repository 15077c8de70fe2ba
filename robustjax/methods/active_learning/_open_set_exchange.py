"""Open-set active learning with a person as the oracle, through files."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import answers, checks, data, scores
from robustjax.answers import Asked, History, Question, Standing
from robustjax.data._names import check_text, plain_name
from robustjax.files import digest_of
from robustjax.methods._exchange import Exchange, answers_before
from robustjax.methods._exchange_folder import check_repr
from robustjax.methods.active_learning._open_set_budget import OpenSetBudget
from robustjax.methods.active_learning._open_set_loop import OpenSetRun
from robustjax.methods.active_learning._open_set_round import (
    SKIPPED,
    UNASKED,
    PoolClassifier,
    QueryStrategy,
)
from robustjax.methods.active_learning._open_set_state import OpenSetState, Proposal
from robustjax.training import CheckpointFolder

OOD_NAME = "ood"
"""What a person answers about an example that belongs to no class."""


def check_class_names(class_names: Sequence[str]) -> list[str]:
    """The names of the wanted classes.

    Raises:
      ValueError: none, names that are blank or repeat, or "ood" among them.
    """
    names = [str(name) for name in class_names]
    plain = {plain_name(name) for name in names}
    if len(plain) < len(names) or plain & {OOD_NAME, ""} or not names:
        raise ValueError(
            f"class_names: got {', '.join(names) or 'none'}, expected distinct names "
            f"other than {OOD_NAME!r}"
        )
    return names


def exchange_purpose(
    inputs: np.ndarray,
    class_names: Sequence[str],
    strategy: QueryStrategy,
    *,
    ids: np.ndarray,
    known_labels: np.ndarray,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """What the folder of an `OpenSetExchange` is for, for `check_folder`.

    Args are those of `OpenSetExchange`.

    Raises:
      ValueError: a strategy whose `repr` differs between processes.
    """
    return {
        "data": digest_of(np.asarray(inputs), np.asarray(known_labels), ids),
        "class_names": list(class_names),
        "seed": seed,
        "strategy": check_repr("strategy", strategy),
        "settings": dict(settings or {}),
    }


def check_batch(batch: int, known_labels: np.ndarray) -> int:
    """How many examples have no label.

    Args:
      batch: questions per round.
      known_labels: (N,), `UNASKED` where nothing is known.

    Raises:
      ValueError: a batch that is not in 1 … that number.
    """
    left = int(np.sum(np.asarray(known_labels) == UNASKED))
    checks.at_least("batch", batch, 1)
    if batch > left:
        raise ValueError(
            f"batch: got {batch}, expected at most the number of examples without a "
            f"label, {left}"
        )
    return left


def _check_known(known_labels: np.ndarray, size: int, num_classes: int) -> None:
    if known_labels.shape != (size,):
        raise ValueError(
            f"known_labels: got shape {known_labels.shape}, expected ({size},), one "
            "per example of the pool"
        )
    if not np.issubdtype(known_labels.dtype, np.integer):
        raise ValueError(
            f"known_labels: got {known_labels.dtype.name}, expected integers"
        )
    wrong = np.flatnonzero((known_labels < UNASKED) | (known_labels > num_classes))
    if wrong.size:
        raise ValueError(
            f"known_labels: got {known_labels[wrong[0]]} at row {wrong[0]}, expected "
            f"{UNASKED} (not known), 0 … {num_classes - 1} or {num_classes} (OOD)"
        )


class OpenSetExchange(Exchange):
    """Asks a person about an unlabelled pool that holds foreign examples, too.

    `advance` writes `to_label.csv`: ids with the class that the classifier suggests,
    how uncertain it is, and an empty column `new_label`, the most wanted questions
    first. The person fills the column with a class name or index, or with "ood" (or
    "none of them") for what belongs to no class, saves the file as `labeled.csv` in the
    same folder, and `advance`, in this process or another one days later, reads it,
    files it away under `answers/`, and asks the next questions. Before anything is
    labelled, and as long as everything is "ood", questions are drawn at random and
    suggest nothing.

    Blanks, changed answers, several annotators and the log are as in `LabelExchange`.
    An example that is answered with "don't know", or of which people say different
    things, is neither trained on nor asked about again. The exchange ends when
    everything was answered; a person stops when they like.

    From the first `advance` on, `labels.csv` holds every example's label (empty if it
    has none) and a status: "known" (from the beginning), "labeled", "unknown",
    "disputed" or "unlabeled". Nothing that was answered is lost if a process dies or a
    file is faulty: the next `advance` goes on from there.

    A process that did not ask the questions itself trains the classifier of that
    round again where the strategy learns from what it saw.
    """

    def __init__(
        self,
        folder: str | pathlib.Path,
        inputs: np.ndarray,
        class_names: Sequence[str],
        strategy: QueryStrategy,
        classifier: PoolClassifier,
        *,
        batch: int,
        ids: Any = None,
        known_labels: np.ndarray | None = None,
        embeddings: Mapping[str, jax.Array] | None = None,
        settings: Mapping[str, Any] | None = None,
        seed: int = 0,
        report: Callable[[str], None] | None = None,
    ):
        """Opens an exchange, or continues the one that lives in the folder.

        Args:
          folder: where the files go; created if needed.
          inputs: (N, ...) of the pool.
          class_names: of the k wanted classes.
          strategy: decides what to ask.
          classifier: holds the same inputs, has k classes.
          batch: questions per round, which may be another one from round to round; the
            last round has what is left.
          ids: (N,) unique integers or strings; by default 0 … N-1.
          known_labels: (N,) integers, what is labelled already, k for OOD, and
            `UNASKED` elsewhere; by default nothing.
          embeddings: see `RoundView`.
          settings: JSON-serialisable; whatever else another process must have alike,
            such as the classifier's settings.
          seed: of all randomness.
          report: called with a sentence on what was taken in; by default the log.

        Raises:
          ValueError: class names that repeat or include "ood", known labels out of
            range, lengths that differ, a batch above what is unlabelled, a strategy
            whose `repr` differs between processes, or a folder that belongs to
            something else.
        """
        names = check_class_names(class_names)
        ids = np.arange(len(inputs)) if ids is None else checks.unique_ids("ids", ids)
        checks.same_length(ids=ids, inputs=inputs)
        check_text("ids", ids)
        if known_labels is None:
            known_labels = np.full(len(inputs), UNASKED, np.int32)
        known_labels = np.asarray(known_labels)
        _check_known(known_labels, len(inputs), len(names))
        self._known_labels = known_labels
        self._known = np.flatnonzero(known_labels != UNASKED)
        check_batch(batch, known_labels)
        self._run = OpenSetRun(
            strategy,
            classifier,
            OpenSetBudget(batch, None),
            jax.random.key(seed),
            num_examples=len(inputs),
            num_classes=len(names),
            embeddings=embeddings,
        )
        self._proposed: tuple[str, Proposal] | None = None
        # A folder is claimed only by what can start.
        self._first = self._run.start(self._known, known_labels[self._known])
        purpose = exchange_purpose(
            inputs,
            names,
            strategy,
            ids=ids,
            known_labels=known_labels,
            settings=settings,
            seed=seed,
        )
        # Ids and names for reading files; labels of it are never looked at.
        pool = data.Dataset(inputs, known_labels, ids, tuple(names), "the pool")
        super().__init__(folder, pool, purpose, batch=batch, report=report)
        self._checkpoints = CheckpointFolder(self.folder / "checkpoints")

    @property
    def labels(self) -> np.ndarray:
        """(N,) int32 as in `OpenSetState`."""
        return self._codes(self._standing(self._history()))

    def _codes(self, found: Standing) -> np.ndarray:
        """(N,) int32 as in `OpenSetState`."""
        said = np.select(
            [found.disputed, found.said == answers.UNKNOWN, found.said == answers.NONE],
            [SKIPPED, SKIPPED, self._run.num_classes],
            # Not answered is `UNASKED`.
            found.said,
        )
        spoken = found.disputed | (found.said != answers.OPEN)
        return np.where(spoken, said, self._known_labels).astype(np.int32)

    def _labels_of(self, found: Standing) -> np.ndarray:
        labels = self._codes(found)
        return np.where(labels == self._run.num_classes, answers.NONE, labels)

    def _askable(self, found: Standing) -> np.ndarray:
        return self._codes(found) == UNASKED

    def _status(self, found: Standing) -> np.ndarray:
        answered = (found.said >= 0) | (found.said == answers.NONE)
        kinds = {
            "disputed": found.disputed,
            "labeled": answered,
            "unknown": found.said == answers.UNKNOWN,
            "known": self._known_labels != UNASKED,
        }
        return np.select(list(kinds.values()), list(kinds), "unlabeled")

    def _label_rows(self, found: Standing) -> list[dict[str, Any]]:
        names = (*self.dataset.class_names, OOD_NAME)
        columns = zip(
            self.dataset.ids.tolist(),
            self._codes(found).tolist(),
            self._status(found).tolist(),
        )
        return [
            {
                "id": identity,
                "label": names[label] if label >= 0 else "",
                "status": status,
            }
            for identity, label, status in columns
        ]

    def _ask(self, history: History, number: int, count: int) -> list[Question]:
        found = self._standing(history)
        state = self._state(found, number, self._memory(history, found, number))
        _, proposal = self._run.propose(state, count)
        self._proposed = self._key(history, found, number), proposal
        return self._questions(proposal)

    def _state(self, found: Standing, number: int, memory: Any) -> OpenSetState:
        """What the strategy sees when a round is asked, by the answers of now."""
        return self._first._replace(
            labels=jnp.asarray(self._codes(answers_before(found, number))),
            round=jnp.int32(number),
            memory=memory,
        )

    def _memory(self, history: History, found: Standing, number: int) -> Any:
        """What the strategy has learnt before a round: kept, or computed anew."""
        memory = self._first.memory
        if not jax.tree.leaves(memory):
            return memory
        first = 0
        kept = self._checkpoints.restore_latest(memory)
        if kept is not None and kept[0] <= number:
            step, tree, meta = kept
            if meta.get("history") == self._key(history, found, step):
                memory, first = tree, step
        asked = [event for event in history if isinstance(event, Asked)]
        for step in range(first, number):
            memory = self._learn(history, found, step, memory, asked[step])
        if number > first:
            key = self._key(history, found, number)
            self._checkpoints.save(number, memory, {"history": key})
        return memory

    def _learn(
        self, history: History, found: Standing, step: int, memory: Any, asked: Asked
    ) -> Any:
        """The memory after the answers to a round's questions."""
        rows = self._rows([question.id for question in asked.questions])
        codes = self._codes(found)
        rows = rows[(found.closed_in[rows] == step) & (codes[rows] >= 0)]
        if not rows.size:
            return memory
        key = self._key(history, found, step)
        if self._proposed is None or self._proposed[0] != key:
            state = self._state(found, step, memory)
            proposal = self._run.propose(state, len(asked.questions))[1]
            self._proposed = key, proposal
        view, query = self._proposed[1].view, self._proposed[1].query
        if view is None:
            return memory
        # On another machine the order of nearly equal scores may differ.
        query = query._replace(rows=rows)
        return self._run.strategy.learn(view, memory, query, codes[rows])

    def _key(self, history: History, found: Standing, number: int) -> str:
        """Names all that the memory before a round depends on."""
        asked = [event for event in history if isinstance(event, Asked)][:number]
        rows = [self._rows([q.id for q in event.questions]) for event in asked]
        return digest_of(*answers_before(found, number), *rows)

    def _questions(self, proposal: Proposal) -> list[Question]:
        suggested = [""] * len(proposal.rows)
        uncertainty = list(suggested)
        if proposal.view is not None:
            # Without an output for OOD, which is for the person to say.
            logits = proposal.view.observation.logits[:, : self._run.num_classes]
            classes = np.asarray(jnp.argmax(logits, axis=1))[proposal.rows]
            entropy = np.asarray(scores.entropy(logits))[proposal.rows]
            suggested = [self.dataset.class_names[c] for c in classes]
            uncertainty = [f"{value:.4f}" for value in entropy]
        ids = self.dataset.ids[proposal.rows].tolist()
        columns = zip(ids, suggested, uncertainty)
        return [Question(i, "", label, value) for i, label, value in columns]
