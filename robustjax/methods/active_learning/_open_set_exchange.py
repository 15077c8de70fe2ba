"""Open-set active learning with a person as the oracle, through files."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks, data, scores
from robustjax.data._names import check_text, plain_name
from robustjax.files import digest_of
from robustjax.methods._exchange_folder import (
    ASKED,
    LABELS,
    Pending,
    answers_of,
    check_repr,
    claim_folder,
    file_away,
    pending,
    read_answers,
)
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
from robustjax.training._metrics import write_csv

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
    batch: int,
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
        "batch": batch,
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


class OpenSetExchange:
    """Asks a person about an unlabelled pool that holds foreign examples, too.

    `advance` writes `to_label.csv`: ids with the class that the classifier suggests,
    how uncertain it is, and an empty column `new_label`, the most wanted questions
    first. The person fills the column with a class name or index, or with "ood" for
    what belongs to no class, saves the file as `labeled.csv` in the same folder, and
    `advance`, in this process or another one days later, reads it, files it away under
    `answers/`, and asks the next questions. Before anything is labelled, and as long
    as everything is "ood", questions are drawn at random and suggest nothing.

    Every example is asked about once. One that is left blank, or whose row is deleted,
    is skipped: it is neither trained on nor asked about again. The exchange ends when
    everything was asked about; a person stops when they like.

    From the first `advance` on, `labels.csv` holds every example's label (empty if it
    has none) and a status: "known" (from the beginning), "labeled", "skipped" or
    "unlabeled". Nothing that was answered is lost if a process dies or a file is
    faulty: the next `advance` goes on from there.

    A process that did not ask the questions itself trains the classifier of that
    round again to take in the answers, since a strategy learns from what it saw.
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
    ):
        """Opens an exchange, or continues the one that lives in the folder.

        Args:
          folder: where the files go; created if needed.
          inputs: (N, ...) of the pool.
          class_names: of the k wanted classes.
          strategy: decides what to ask.
          classifier: holds the same inputs, has k classes.
          batch: questions per round; the last round has what is left.
          ids: (N,) unique integers or strings; by default 0 … N-1.
          known_labels: (N,) integers, what is labelled already, k for OOD, and
            `UNASKED` elsewhere; by default nothing.
          embeddings: see `RoundView`.
          settings: JSON-serialisable; whatever else another process must have alike,
            such as the classifier's settings.
          seed: of all randomness.

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
        # Ids and names for reading files; the labels are in the state.
        self._pool = data.Dataset(
            inputs, known_labels, ids, (*names, OOD_NAME), "the pool"
        )
        self._known = np.flatnonzero(known_labels != UNASKED)
        self._batch = batch
        left = check_batch(batch, known_labels)
        self._run = OpenSetRun(
            strategy,
            classifier,
            OpenSetBudget(batch, -(-left // batch)),
            jax.random.key(seed),
            num_examples=len(inputs),
            num_classes=len(names),
            embeddings=embeddings,
        )
        self._proposed: tuple[int, Proposal] | None = None
        # A folder is claimed only by what can start.
        self._start()
        self.folder = pathlib.Path(folder)
        claim_folder(
            self.folder,
            exchange_purpose(
                inputs,
                names,
                strategy,
                batch=batch,
                ids=ids,
                known_labels=known_labels,
                settings=settings,
                seed=seed,
            ),
        )
        self._checkpoints = CheckpointFolder(self.folder / "checkpoints")

    def advance(self) -> Pending | None:
        """Takes in answers if there are any, and asks the next questions.

        Returns:
          What is waited for, or None when every example has been asked about.

        Raises:
          ValueError: a faulty `labeled.csv`; mend it and call again.
        """
        state, asked, number, waiting = self._restore()
        if waiting:
            source = answers_of(self.folder, number)
            if source is None:
                return pending(self.folder, number, len(asked))
            state = self._take_in(state, asked, number, source)
            file_away(self.folder, number, source)
            self._save(2 * number + 2, state, asked[:0])
            number += 1
        self._write_labels(state)
        if number >= self._run.budget.rounds:
            return None
        state, proposal = self._run.propose(state)
        self._proposed = number, proposal
        # The questions first: a checkpoint that waits must have a file to answer.
        self._write_questions(proposal)
        self._save(2 * number + 1, state, proposal.rows)
        return pending(self.folder, number, len(proposal.rows))

    @property
    def labels(self) -> np.ndarray:
        """(N,) int32 as in `OpenSetState`."""
        return np.array(self._restore()[0].labels)

    @property
    def status(self) -> np.ndarray:
        """(N,) strings "known", "labeled", "skipped" or "unlabeled"."""
        return self._status(self.labels)

    def _start(self) -> OpenSetState:
        return self._run.start(self._known, self._pool.labels[self._known])

    def _save(self, step: int, state: OpenSetState, asked: np.ndarray) -> None:
        rows = np.full(self._batch, -1, np.int32)
        rows[: len(asked)] = asked
        self._checkpoints.save(step, (state, jnp.asarray(rows)))

    def _restore(self) -> tuple[OpenSetState, np.ndarray, int, bool]:
        """(state, rows asked about, round, whether its questions are out)."""
        state = self._start()
        like = state, jnp.zeros(self._batch, jnp.int32)
        found = self._checkpoints.restore_latest(like)
        if found is None:
            return state, np.zeros(0, np.int64), 0, False
        # Steps 2r + 1 wait for the answers of round r; 2r have them of round r - 1.
        step, (state, rows), _ = found
        rows = np.asarray(rows, np.int64)
        return state, rows[rows >= 0], step // 2, step % 2 == 1

    def _take_in(
        self, state: OpenSetState, asked: np.ndarray, number: int, path: pathlib.Path
    ) -> OpenSetState:
        answers, answered = read_answers(path, self._pool, asked, number)
        if self._proposed is None or self._proposed[0] != number:
            self._proposed = number, self._run.propose(state)[1]
        # On another machine the order of nearly equal scores may differ.
        proposal = self._proposed[1]._replace(rows=asked)
        return self._run.receive(state, proposal, answers, answered)

    def _status(self, labels: np.ndarray) -> np.ndarray:
        known = np.zeros(len(labels), bool)
        known[self._known] = True
        return np.select(
            [known, labels >= 0, labels == SKIPPED],
            ["known", "labeled", "skipped"],
            "unlabeled",
        )

    def _write_labels(self, state: OpenSetState) -> None:
        labels = np.asarray(state.labels)
        columns = zip(self._pool.ids.tolist(), labels, self._status(labels).tolist())
        rows = [
            {
                "id": identity,
                "label": self._pool.class_names[label] if label >= 0 else "",
                "status": status,
            }
            for identity, label, status in columns
        ]
        write_csv(self.folder / LABELS, rows)

    def _write_questions(self, proposal: Proposal) -> None:
        suggested = [""] * len(proposal.rows)
        uncertainty = list(suggested)
        if proposal.view is not None:
            # Without an output for OOD, which is for the person to say.
            logits = proposal.view.observation.logits[:, : self._run.num_classes]
            classes = np.asarray(jnp.argmax(logits, axis=1))[proposal.rows]
            entropy = np.asarray(scores.entropy(logits))[proposal.rows]
            suggested = [self._pool.class_names[c] for c in classes]
            uncertainty = [f"{value:.4f}" for value in entropy]
        ids = self._pool.ids[proposal.rows].tolist()
        rows = [
            {
                "id": identity,
                "suggested_label": label,
                "uncertainty": value,
                "new_label": "",
            }
            for identity, label, value in zip(ids, suggested, uncertainty)
        ]
        write_csv(self.folder / ASKED, rows)
