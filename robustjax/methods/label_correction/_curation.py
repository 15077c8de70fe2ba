"""Label correction for someone who has noisy labels today.

`correct_labels` asks a callback; `LabelExchange` asks a person through files, over
days if need be. Both tell which labels to look at next, and train a classifier that
is not ruined by the wrong ones meanwhile. (For a ranked list alone, see
`label_ranking.rank_labels`.)
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from robustjax import data
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
from robustjax.methods.label_correction._correction_loop import (
    Budget,
    CorrectionMethod,
    CorrectionState,
)
from robustjax.methods.label_correction._label_ranking import (
    RankedLabels,
    describe_picks,
    make_run,
)
from robustjax.methods.label_correction._round_training import (
    ClassifierSettings,
    EpochReport,
)
from robustjax.training import CheckpointFolder
from robustjax.training._metrics import write_csv

LabelCallback = Callable[[np.ndarray], np.ndarray]
"""`(Q,) ids -> (Q,) class indices`."""


class Corrected(NamedTuple):
    """The outcome of label correction.

    Attributes:
      labels: (N,) int32, corrected where asked.
      queried: (G,) rows of the data set in the order they were asked.
      probabilities: (N, C) predictions of the final classifier.
    """

    labels: np.ndarray
    queried: np.ndarray
    probabilities: np.ndarray


def correct_labels(
    dataset: data.Dataset,
    oracle: LabelCallback,
    *,
    budget: int,
    batch: int,
    method: CorrectionMethod | None = None,
    settings: ClassifierSettings | None = None,
    seed: int = 0,
    on_epoch: EpochReport | None = None,
) -> Corrected:
    """Corrects labels by asking a callback about the most promising examples.

    Args:
      dataset: features (or images) with the noisy labels, see `data.make_dataset`.
      oracle: is given ids and returns their true classes.
      budget: labels to ask for in all.
      batch: labels per round; the classifier is retrained in between.
      method: by default `ActiveLabelCorrection` with "delta" diffusion.
      settings: of the classifier; by default those of `ClassifierSettings`, with
        batches no larger than the data set.
      seed: of all randomness.
      on_epoch: called with the kind of training, the epoch and its metrics.

    Raises:
      ValueError: a budget that does not fit, or answers that are no classes.
    """
    plan = Budget(budget, batch)
    run = make_run(dataset, plan, method, settings, seed, on_epoch)
    state = run.start(dataset.labels[None])
    for number in range(plan.rounds):
        state, picks, _ = run.propose(state, number)
        answers = np.asarray(oracle(dataset.ids[picks[0]]))
        state = run.receive(state, number, answers[None])
    model, state = run.finish(state)
    return Corrected(
        labels=np.asarray(state.labels[0]),
        queried=np.asarray(state.picks[0]),
        probabilities=np.asarray(jax.nn.softmax(model.logits[0])),
    )


class LabelExchange:
    """Label correction with a person as the oracle, through a folder.

    `advance` writes `to_label.csv`: ids with their current labels, what the
    classifier suggests, and an empty column `new_label`, most useful questions
    first. The person fills the column (class names or indices), saves the file as
    `labeled.csv` in the same folder, and `advance`, in this process or another one
    days later, reads it, files it away under `answers/`, retrains and asks the next
    questions.

    Every example is asked about once. One that the person leaves blank, or whose row
    they delete, is skipped: it keeps its label, training goes on treating that label
    as unchecked, and it is not asked about again; a file may be blank throughout.
    The exchange ends when every example was asked about.

    From the first `advance` on, `labels.csv` holds all current labels, the given
    ones, and a status: "given" (no answer yet), "corrected", "confirmed" or
    "skipped". Nothing that was answered is lost if a process dies or a file is
    faulty: the next `advance` goes on from there.
    """

    def __init__(
        self,
        folder: str | pathlib.Path,
        dataset: data.Dataset,
        *,
        batch: int,
        method: CorrectionMethod | None = None,
        settings: ClassifierSettings | None = None,
        seed: int = 0,
        on_epoch: EpochReport | None = None,
    ):
        """Opens an exchange, or continues the one that lives in the folder.

        Args:
          folder: where the files go; created if needed.
          dataset: features (or images) with the noisy labels and stable ids.
          batch: questions per round.
          method: by default `ActiveLabelCorrection` with "delta" diffusion.
          settings: of the classifier; by default those of `ClassifierSettings`, with
            batches no larger than the data set.
          seed: of all randomness.
          on_epoch: called with the kind of training, the epoch and its metrics.

        Raises:
          ValueError: a batch above the number of examples, settings that do not fit
            the data, a method whose `repr` differs between processes, or a folder that
            belongs to other data or settings.
        """
        if batch > len(dataset):
            raise ValueError(
                f"batch: got {batch}, expected at most the number of examples, "
                f"{len(dataset)}"
            )
        # A person stops when they like; the pool is the only limit.
        plan = Budget(len(dataset), batch)
        self._run = make_run(dataset, plan, method, settings, seed, on_epoch)
        # Methods check themselves here; a folder is claimed only by what can start.
        self._run.start(dataset.labels[None])
        self._dataset = dataset
        self.folder = pathlib.Path(folder)
        purpose = {
            "data": digest_of(dataset.inputs, dataset.labels, dataset.ids),
            "batch": batch,
            "seed": seed,
            "method": check_repr("method", self._run.method),
            "settings": dataclasses.asdict(self._run.trainer.settings),
        }
        claim_folder(self.folder, purpose)
        self._checkpoints = CheckpointFolder(self.folder / "checkpoints")

    def advance(self) -> Pending | None:
        """Takes in answers if there are any, and asks the next questions.

        Returns:
          What is waited for, or None when every example has been asked about.

        Raises:
          ValueError: a faulty `labeled.csv`; mend it and call again.
        """
        state, number, waiting = self._restore()
        if waiting:
            source = answers_of(self.folder, number)
            if source is None:
                return self._pending(number)
            state = self._take_in(state, number, source)
            file_away(self.folder, number, source)
            self._checkpoints.save(2 * number + 2, state)
            number += 1
        self._write_labels(state)
        if number >= self._run.budget.rounds:
            return None
        state, picks, model = self._run.propose(state, number)
        labels = np.asarray(state.labels[0])
        # The questions first: a checkpoint that waits must have a file to answer.
        self._write_questions(describe_picks(self._dataset, labels, picks[0], model))
        self._checkpoints.save(2 * number + 1, state)
        return self._pending(number)

    @property
    def labels(self) -> np.ndarray:
        """(N,) int32 current labels."""
        state, _, _ = self._restore()
        return np.asarray(state.labels[0])

    @property
    def status(self) -> np.ndarray:
        """(N,) strings "given", "corrected", "confirmed" or "skipped"."""
        state, _, _ = self._restore()
        return self._status(state)

    def _restore(self) -> tuple[CorrectionState, int, bool]:
        """(state, round, whether that round's questions are out)."""
        state = self._run.start(self._dataset.labels[None])
        found = self._checkpoints.restore_latest(state)
        if found is None:
            return state, 0, False
        step, state, _ = found
        # Steps 2r + 1 wait for the answers of round r; 2r have them of round r - 1.
        return state, step // 2, step % 2 == 1

    def _pending(self, number: int) -> Pending:
        return pending(self.folder, number, self._run.budget.count(number))

    def _take_in(
        self, state: CorrectionState, number: int, path: pathlib.Path
    ) -> CorrectionState:
        first, count = self._run.budget.asked(number), self._run.budget.count(number)
        picks = np.asarray(state.picks[0, first : first + count])
        answers, answered = read_answers(path, self._dataset, picks, number)
        state = self._run.receive(state, number, answers[None], answered[None])
        skipped = state.memory.skipped.at[0, picks[~answered]].set(True)
        return state._replace(memory=state.memory._replace(skipped=skipped))

    def _status(self, state: CorrectionState) -> np.ndarray:
        checked = np.asarray(state.queried[0])
        changed = np.asarray(state.labels[0]) != self._dataset.labels
        skipped = np.asarray(state.memory.skipped[0])
        return np.select(
            [checked & changed, checked, skipped],
            ["corrected", "confirmed", "skipped"],
            "given",
        )

    def _write_labels(self, state: CorrectionState) -> None:
        names = self._dataset.class_names
        columns = zip(
            self._dataset.ids.tolist(),
            np.asarray(state.labels[0]),
            self._dataset.labels,
            self._status(state).tolist(),
        )
        rows = [
            {
                "id": identity,
                "label": names[label],
                "given_label": names[given],
                "status": status,
            }
            for identity, label, given, status in columns
        ]
        write_csv(self.folder / LABELS, rows)

    def _write_questions(self, questions: RankedLabels) -> None:
        names = self._dataset.class_names
        columns = zip(
            questions.ids.tolist(),
            questions.current_labels,
            questions.suggested_labels,
            questions.uncertainty,
        )
        rows = [
            {
                "id": identity,
                "current_label": names[current],
                "suggested_label": names[suggested],
                "uncertainty": f"{entropy:.4f}",
                "new_label": "",
            }
            for identity, current, suggested, entropy in columns
        ]
        write_csv(self.folder / ASKED, rows)
