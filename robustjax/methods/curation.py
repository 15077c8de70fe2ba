"""Label correction for someone who has noisy labels today.

`correct_labels` asks a callback; `LabelExchange` asks a person through files, over
days if need be. Both tell which labels to look at next, and train a classifier that
is not ruined by the wrong ones meanwhile.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import data, scores
from robustjax.methods.active_label_correction import (
    ActiveLabelCorrection,
    Propagation,
)
from robustjax.methods.correction_loop import (
    Arm,
    Budget,
    CorrectionRun,
    CorrectionState,
    RoundModel,
)
from robustjax.methods.round_training import (
    ClassifierSettings,
    EpochReport,
    RoundTrainer,
)
from robustjax.training import CheckpointFolder
from robustjax.training.metrics import write_atomically

LabelCallback = Callable[[np.ndarray], np.ndarray]
"""`(Q,) ids -> (Q,) class indices`."""

ASKED = "to_label.csv"
ANSWERED = "labeled.csv"
LABELS = "labels.csv"
_COLUMNS = ("id", "current_label", "suggested_label", "uncertainty", "new_label")


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


def _default_arm() -> Arm:
    """ALC with the reading of its diffusion that never cost us accuracy."""
    return ActiveLabelCorrection(propagation=Propagation(mode="delta"))


def _make_run(
    dataset: data.Dataset,
    budget: Budget,
    arm: Arm | None,
    settings: ClassifierSettings | None,
    seed: int,
    on_epoch: EpochReport | None,
) -> CorrectionRun:
    trainer = RoundTrainer(
        dataset.inputs,
        dataset.num_classes,
        settings or ClassifierSettings(),
        on_epoch=on_epoch,
    )
    keys = jax.random.split(jax.random.key(seed), 1)
    return CorrectionRun(arm or _default_arm(), trainer, budget, keys)


def correct_labels(
    dataset: data.Dataset,
    oracle: LabelCallback,
    *,
    budget: int,
    batch: int,
    arm: Arm | None = None,
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
      arm: the method; by default `ActiveLabelCorrection` with "delta" diffusion.
      settings: of the classifier.
      seed: of all randomness.
      on_epoch: called with the kind of training, the epoch and its metrics.

    Raises:
      ValueError: a budget that does not fit, or answers that are no classes.
    """
    plan = Budget(budget, batch)
    run = _make_run(dataset, plan, arm, settings, seed, on_epoch)
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


class Pending(NamedTuple):
    """What the exchange waits for.

    Attributes:
      round_number: from 0.
      asked: the file with the questions.
      answers: the file in which it expects the answers.
      questions: how many.
    """

    round_number: int
    asked: pathlib.Path
    answers: pathlib.Path
    questions: int


class LabelExchange:
    """Label correction with a person as the oracle, through a folder.

    `advance` writes `to_label.csv`: ids with their current labels, what the
    classifier suggests, and an empty column `new_label`, most useful questions
    first. The person fills the column (as far as they come; class names or indices),
    saves the file as `labeled.csv` in the same folder, and `advance`, in this
    process or another one days later, reads it, files it away, retrains and asks
    the next questions. `labels.csv` always holds all current labels. Nothing that
    was answered is lost if a process dies or a file is faulty.
    """

    def __init__(
        self,
        folder: str | pathlib.Path,
        dataset: data.Dataset,
        *,
        batch: int,
        arm: Arm | None = None,
        settings: ClassifierSettings | None = None,
        seed: int = 0,
        on_epoch: EpochReport | None = None,
    ):
        """Opens an exchange, or continues the one that lives in the folder.

        Args:
          folder: where the files go; created if needed.
          dataset: features (or images) with the noisy labels and stable ids.
          batch: questions per round.
          arm: the method; by default `ActiveLabelCorrection` with "delta" diffusion.
          settings: of the classifier.
          seed: of all randomness.
          on_epoch: called with the kind of training, the epoch and its metrics.

        Raises:
          ValueError: a batch above the number of examples, or a folder that belongs
            to other data or settings.
        """
        # A person stops when they like; the pool is the only limit.
        plan = Budget(len(dataset), batch)
        self._run = _make_run(dataset, plan, arm, settings, seed, on_epoch)
        self._dataset = dataset
        self.folder = pathlib.Path(folder)
        self._claim(batch, settings or ClassifierSettings(), seed)
        self._checkpoints = CheckpointFolder(self.folder / "checkpoints")
        (self.folder / "answers").mkdir(exist_ok=True)

    def advance(self) -> Pending | None:
        """Takes in answers if there are any, and asks the next questions.

        Returns:
          What is waited for, or None when every example has been asked about.

        Raises:
          ValueError: a faulty `labeled.csv`; mend it and call again.
        """
        state, number, waiting = self._restore()
        if waiting:
            answers = self.folder / ANSWERED
            if not answers.exists():
                return self._pending(number)
            state = self._take_in(state, number, answers)
            number += 1
        if number >= self._run.budget.rounds:
            return None
        state, picks, model = self._run.propose(state, number)
        # The questions first: a checkpoint that waits must have a file to answer.
        self._write_questions(state, picks[0], model)
        self._checkpoints.save(2 * number + 1, state)
        return self._pending(number)

    @property
    def labels(self) -> np.ndarray:
        """(N,) int32 current labels."""
        state, _, _ = self._restore()
        return np.asarray(state.labels[0])

    def _claim(self, batch: int, settings: ClassifierSettings, seed: int) -> None:
        """Notes what the folder is for, or checks that it is still the same."""
        hasher = hashlib.sha256()
        for array in (self._dataset.inputs, self._dataset.labels, self._dataset.ids):
            hasher.update(f"{array.dtype} {array.shape};".encode())
            hasher.update(np.ascontiguousarray(array).tobytes())
        mine = {
            "data": hasher.hexdigest(),
            "batch": batch,
            "seed": seed,
            "arm": repr(self._run.arm),
            "settings": dataclasses.asdict(settings),
        }
        mine = json.loads(json.dumps(mine))
        record = self.folder / "exchange.json"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            found = json.loads(record.read_text()) if record.exists() else None
        except (OSError, json.JSONDecodeError) as error:
            raise ValueError(
                f"folder: {str(record)!r} cannot be read ({error}); choose another "
                "folder or remove this one"
            ) from None
        if found is None:
            write_atomically(record, json.dumps(mine, indent=2) + "\n")
            return
        differ = [key for key in mine if found.get(key) != mine[key]]
        if differ:
            raise ValueError(
                f"folder: {str(self.folder)!r} was begun with other {differ[0]}; use "
                "the same, or choose another folder"
            )

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
        return Pending(
            round_number=number,
            asked=self.folder / ASKED,
            answers=self.folder / ANSWERED,
            questions=self._run.budget.count(number),
        )

    def _take_in(
        self, state: CorrectionState, number: int, path: pathlib.Path
    ) -> CorrectionState:
        rows, labels = data.read_labels(
            path, self._dataset, "new_label", name=path.name
        )
        first, count = self._run.budget.asked(number), self._run.budget.count(number)
        picks = np.asarray(state.picks[0, first : first + count])
        strange = ~np.isin(rows, picks)
        if strange.any():
            stranger = self._dataset.ids[rows[strange][0]].item()
            raise ValueError(
                f"{path.name}: {int(strange.sum())} id(s) were not asked about (first: "
                f"{stranger!r}); answer the questions of round {number} in {ASKED}"
            )
        if not len(rows):
            raise ValueError(
                f"{path.name}: no row has a new_label, expected at least one answer"
            )
        place = {row: position for position, row in enumerate(picks.tolist())}
        answers = np.zeros((1, count), np.int32)
        answered = np.zeros((1, count), bool)
        for row, label in zip(rows.tolist(), labels):
            answers[0, place[row]] = label
            answered[0, place[row]] = True
        state = self._run.receive(state, number, answers, answered)
        self._checkpoints.save(2 * number + 2, state)
        path.rename(self.folder / "answers" / f"round_{number:04d}.csv")
        self._write_labels(state)
        return state

    def _write_labels(self, state: CorrectionState) -> None:
        names = self._dataset.class_names
        checked = np.asarray(state.queried[0])
        rows = [
            (identity, names[label], names[given], int(seen))
            for identity, label, given, seen in zip(
                self._dataset.ids.tolist(),
                np.asarray(state.labels[0]),
                self._dataset.labels,
                checked,
            )
        ]
        _write_rows(
            self.folder / LABELS, ("id", "label", "given_label", "checked"), rows
        )

    def _write_questions(
        self, state: CorrectionState, picks: np.ndarray, model: RoundModel
    ) -> None:
        names = self._dataset.class_names
        current = np.asarray(state.labels[0])[picks]
        logits = model.logits[0][jnp.asarray(picks)]
        suggested = np.asarray(jnp.argmax(logits, axis=1))
        uncertainty = np.asarray(scores.entropy(logits))
        rows = [
            (self._dataset.ids[pick].item(), names[now], names[guess], f"{e:.4f}", "")
            for pick, now, guess, e in zip(picks, current, suggested, uncertainty)
        ]
        _write_rows(self.folder / ASKED, _COLUMNS, rows)


def _write_rows(path: pathlib.Path, header: tuple[str, ...], rows: list[tuple]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_atomically(path, text.getvalue())
