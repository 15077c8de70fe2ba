"""Questions to a person through a folder: what both kinds of exchange have in common.

The log (`answers.jsonl`) is the truth; everything else follows from it and from the
data, and is computed again where an answer changes: labels, the training, the
questions.
"""

from __future__ import annotations

import abc
import logging
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from robustjax import answers, checks, data
from robustjax.answers import Asked, History, Question, Standing
from robustjax.methods._exchange_files import Handed, check_labels_file, read_handed
from robustjax.methods._exchange_folder import (
    ASKED,
    DISAGREEMENTS,
    LABELS,
    LOG,
    Pending,
    claim_folder,
    file_away,
    pending,
)
from robustjax.training._metrics import write_csv

_log = logging.getLogger(__name__)


class Exchange(abc.ABC):
    """Asks, waits, takes answers in, and asks again.

    Attributes:
      folder: where the files are.
      dataset: whose examples are asked about.
    """

    def __init__(
        self,
        folder: str | pathlib.Path,
        dataset: data.Dataset,
        purpose: Mapping[str, Any],
        *,
        batch: int,
        report: Callable[[str], None] | None,
    ):
        """Claims the folder.

        Args:
          folder: where the files go; created if needed.
          dataset: whose ids and class names are meant.
          purpose: see `claim_folder`.
          batch: questions per round.
          report: called with a sentence on what was taken in; by default the log.

        Raises:
          ValueError: a folder that belongs to something else, class names that
            people could not tell from other answers, or a batch below 1.
        """
        checks.at_least("batch", batch, 1)
        answers.check_words(dataset.class_names)
        self.folder = pathlib.Path(folder)
        self.dataset = dataset
        self._batch = batch
        self._report = report or _log.info
        claim_folder(self.folder, purpose)

    def advance(
        self, *, amend: str | os.PathLike[str] | None = None, now: str | None = None
    ) -> Pending | None:
        """Takes in answers if there are any, and asks the next questions.

        Args:
          amend: a table of other answers to questions of any round, or about any
            example; `labels.csv` with other labels will do. What follows from them is
            computed again.
          now: the wall clock, for the log.

        Returns:
          What is waited for, or None when every example has been answered.

        Raises:
          ValueError: a faulty file, which is left as it is; mend it and call again.
        """
        history = self._history()
        handed = read_handed(
            self.folder,
            self.dataset,
            history,
            self._texts(history),
            amend=None if amend is None else pathlib.Path(amend),
            now=now,
        )
        labels = (self.folder / LABELS).resolve()
        if amend is None or pathlib.Path(amend).resolve() != labels:
            self._check_labels(history)
        before = self._standing(history)
        for each in handed:
            history = self._take_in(history, each)
        if handed:
            self._report_disagreements(history)
        waiting = history[-1] if history else None
        if isinstance(waiting, Asked) and _same(before, self._standing(history)):
            self._write_missing(waiting, history)
            return self._pending(waiting)
        self._write_labels(history)
        return self._ask_on(history, now)

    @property
    def waiting(self) -> Asked | None:
        """The questions that wait for answers, or None."""
        history = self._history()
        last = history[-1] if history else None
        return last if isinstance(last, Asked) else None

    @property
    def status(self) -> np.ndarray:
        """(N,) strings as in `labels.csv`."""
        return self._status(self._standing(self._history()))

    def _take_in(self, history: History, handed: Handed) -> History:
        """Logs what a file says, tells of it, and files it away."""
        submission = handed.submission
        before = self._standing(history)
        known = any(
            isinstance(e, answers.Submission) and e.sha256 == submission.sha256
            for e in history
        )
        if submission.answers:
            answers.append_event(self.folder / LOG, submission)
            history = (*history, submission)
        after = self._standing(history)
        told = answers.taken_in(
            before, after, self._labels_of(before), handed.rows, self._asked(history)
        )
        if submission.answers or not known:
            self._report(f"{submission.source}: {told}")
        # A file without any answer is still to be filled.
        if handed.filed and (submission.answers or handed.rows.size):
            file_away(self.folder, handed.filed, handed.path)
        return history

    def _report_disagreements(self, history: History) -> None:
        found = answers.disagreements(history)
        if found:
            self._report(
                f"people disagree about {len(found):,} example(s), the first being "
                f"{found[0].id!r}: see {DISAGREEMENTS}"
            )

    def _ask_on(self, history: History, now: str | None) -> Pending | None:
        found = self._standing(history)
        left = int(np.sum(self._askable(found)))
        if not left:
            return None
        number = sum(isinstance(event, Asked) for event in history)
        questions = self._ask(history, number, min(self._batch, left))
        asked = Asked(number, tuple(questions), now)
        # The questions first: a round that waits must have a file to answer.
        self._write_questions(asked)
        answers.append_event(self.folder / LOG, asked)
        return self._pending(asked)

    def _pending(self, asked: Asked) -> Pending:
        return pending(self.folder, asked.round_number, len(asked.questions))

    def _history(self) -> History:
        return answers.read_history(self.folder / LOG)

    def _standing(self, history: History) -> Standing:
        return answers.standing(history, self.dataset)

    def _asked(self, history: History) -> np.ndarray:
        """(Q,) rows of the round that waits."""
        events = [event for event in history if isinstance(event, Asked)]
        return self._rows([q.id for q in events[-1].questions] if events else [])

    def _rows(self, ids: Sequence[int | str]) -> np.ndarray:
        row_of = {i: row for row, i in enumerate(self.dataset.ids.tolist())}
        return np.array([row_of[i] for i in ids], np.int64)

    def _texts(self, history: History) -> list[str]:
        """N texts of labels as `labels.csv` has them."""
        rows = self._label_rows(self._standing(history))
        return [row["label"] for row in rows]

    def _check_labels(self, history: History) -> None:
        moments = (history[:end] for end in range(len(history), -1, -1))
        check_labels_file(
            self.folder, self.dataset.ids.tolist(), map(self._texts, moments)
        )

    def _write_missing(self, asked: Asked, history: History) -> None:
        """Writes again what a person removed."""
        if not (self.folder / ASKED).exists():
            self._write_questions(asked)
        if not (self.folder / LABELS).exists():
            self._write_labels(history)

    def _write_labels(self, history: History) -> None:
        write_csv(self.folder / LABELS, self._label_rows(self._standing(history)))
        rows = [
            {"id": each.id, "annotator": who, "said": text, "at": at or ""}
            for each in answers.disagreements(history)
            for who, text, at in each.voices
        ]
        path = self.folder / DISAGREEMENTS
        if rows:
            write_csv(path, rows)
        else:
            path.unlink(missing_ok=True)

    def _write_questions(self, asked: Asked) -> None:
        rows = [
            {
                "id": each.id,
                "current_label": each.current,
                "suggested_label": each.suggested,
                "uncertainty": each.score,
                "new_label": "",
            }
            for each in asked.questions
        ]
        if not any(each.current for each in asked.questions):
            # Nothing has a label yet.
            rows = [{k: row[k] for k in row if k != "current_label"} for row in rows]
        write_csv(self.folder / ASKED, rows)

    @abc.abstractmethod
    def _labels_of(self, found: Standing) -> np.ndarray:
        """(N,) labels by now, below 0 where there is none."""

    @abc.abstractmethod
    def _status(self, found: Standing) -> np.ndarray:
        """(N,) strings."""

    @abc.abstractmethod
    def _askable(self, found: Standing) -> np.ndarray:
        """(N,) bool, what may be asked about."""

    @abc.abstractmethod
    def _label_rows(self, found: Standing) -> list[dict[str, Any]]:
        """The rows of `labels.csv`, with at least `id` and `label`."""

    @abc.abstractmethod
    def _ask(self, history: History, number: int, count: int) -> list[Question]:
        """Trains and picks the questions of a round.

        Args:
          history: of the log up to now.
          number: of the round, from 0.
          count: of the questions.
        """


def answers_before(found: Standing, number: int) -> Standing:
    """What held when a round was asked, with the answers that hold now.

    Args:
      found: by now.
      number: of the round.
    """
    early = found.closed_in < number
    return Standing(
        np.where(early, found.said, answers.OPEN),
        found.disputed & early,
        np.where(early, found.closed_in, answers.NEVER),
    )


def _same(one: Standing, other: Standing) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other))
