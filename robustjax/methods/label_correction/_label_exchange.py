"""Label correction with a person as the oracle, through files, over days if need be."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import answers, data
from robustjax.answers import Asked, History, Question, Standing
from robustjax.files import digest_of
from robustjax.methods._exchange import Exchange, answers_before
from robustjax.methods._exchange_folder import check_repr
from robustjax.methods.label_correction._correction_loop import (
    Budget,
    CorrectionMethod,
    CorrectionState,
)
from robustjax.methods.label_correction._label_ranking import (
    AskOnceMemory,
    describe_picks,
    make_run,
)
from robustjax.methods.label_correction._round_training import (
    ClassifierSettings,
    EpochReport,
)
from robustjax.training import CheckpointFolder


class LabelExchange(Exchange):
    """Label correction with a person as the oracle, through a folder.

    `advance` writes `to_label.csv`: ids with their current labels, what the
    classifier suggests, and an empty column `new_label`, most useful questions
    first. The person fills the column and saves the file as `labeled.csv` in the same
    folder (or where it is), and `advance`, in this process or another one days later,
    reads it, files it away under `answers/`, retrains and asks the next questions.
    What people may answer, and in which tables, see `answers.read_answers`.

    Questions that are left blank stay open and may be asked again. An example that is
    answered with "don't know" keeps its label, training goes on treating that label
    as unchecked, and it is not asked about again; likewise "none of them", which
    leaves no label in `labels.csv`, and examples of which people say different things
    (`disagreements.csv`). The exchange ends when every example was answered.

    Answers of earlier rounds may be changed: in their files under `answers/`, by a
    `labeled.csv` with their ids, or by `advance(amend=…)`. Labels, training and
    questions then are what they would have been; of methods that learn from round to
    round (`dalc`, `hard_detection`) all rounds are computed again.

    From the first `advance` on, `labels.csv` holds all current labels, the given
    ones, and a status: "given" (no answer yet), "corrected", "confirmed", "unknown",
    "none" or "disputed". A log in the folder says who said what when. Nothing that
    was answered is lost if a process dies or a file is faulty: the next `advance` goes
    on from there.
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
        report: Callable[[str], None] | None = None,
    ):
        """Opens an exchange, or continues the one that lives in the folder.

        Args:
          folder: where the files go; created if needed.
          dataset: features (or images) with the noisy labels and stable ids.
          batch: questions per round; may be another one from round to round.
          method: by default `ActiveLabelCorrection` with "delta" diffusion.
          settings: of the classifier; by default those of `ClassifierSettings`, with
            batches no larger than the data set.
          seed: of all randomness.
          on_epoch: called with the kind of training, the epoch and its metrics.
          report: called with a sentence on what was taken in; by default the log.

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
        self._first = self._run.start(dataset.labels[None])
        purpose = {
            "data": digest_of(dataset.inputs, dataset.labels, dataset.ids),
            "class_names": list(dataset.class_names),
            "seed": seed,
            "method": check_repr("method", self._run.method),
            "settings": dataclasses.asdict(self._run.trainer.settings),
        }
        super().__init__(folder, dataset, purpose, batch=batch, report=report)
        self._checkpoints = CheckpointFolder(self.folder / "checkpoints")

    @property
    def labels(self) -> np.ndarray:
        """(N,) int32 current labels."""
        return self._labels_of(self._standing(self._history()))

    def _labels_of(self, found: Standing) -> np.ndarray:
        return np.where(found.said >= 0, found.said, self.dataset.labels)

    def _askable(self, found: Standing) -> np.ndarray:
        return (found.said == answers.OPEN) & ~found.disputed

    def _status(self, found: Standing) -> np.ndarray:
        said = found.said
        kinds = {
            "disputed": found.disputed,
            "confirmed": said == self.dataset.labels,
            "corrected": said >= 0,
            "unknown": said == answers.UNKNOWN,
            "none": said == answers.NONE,
        }
        return np.select(list(kinds.values()), list(kinds), "given")

    def _label_rows(self, found: Standing) -> list[dict[str, Any]]:
        names = self.dataset.class_names
        columns = zip(
            self.dataset.ids.tolist(),
            self._labels_of(found).tolist(),
            self.dataset.labels.tolist(),
            self._status(found).tolist(),
        )
        return [
            {
                "id": identity,
                "label": "" if status == "none" else names[label],
                "given_label": names[given],
                "status": status,
            }
            for identity, label, given, status in columns
        ]

    def _ask(self, history: History, number: int, count: int) -> list[Question]:
        found = self._standing(history)
        memory = self._memory(history, found, number)
        state = self._state(found, number, memory)
        state, picks, model = self._run.ask(state, number, count)
        if jax.tree.leaves(state.memory.method):
            key = self._key(history, found, number)
            self._checkpoints.save(number, state.memory.method, {"history": key})
        labels = np.asarray(state.labels[0])
        ranked = describe_picks(self.dataset, labels, picks[0], model)
        names = self.dataset.class_names
        columns = zip(
            ranked.ids.tolist(),
            ranked.current_labels.tolist(),
            ranked.suggested_labels.tolist(),
            ranked.uncertainty.tolist(),
        )
        return [
            Question(identity, names[current], names[suggested], f"{entropy:.4f}")
            for identity, current, suggested, entropy in columns
        ]

    def _state(self, found: Standing, number: int, memory: Any) -> CorrectionState:
        """What the method sees when a round is asked, by the answers of now."""
        then = answers_before(found, number)
        skipped = (then.said < answers.OPEN) | then.disputed
        return self._first._replace(
            labels=jnp.asarray(self._labels_of(then), jnp.int32)[None],
            queried=jnp.asarray(then.said >= 0)[None],
            memory=AskOnceMemory(memory, jnp.asarray(skipped)[None]),
        )

    def _memory(self, history: History, found: Standing, number: int) -> Any:
        """What the method carries into a round: kept, or from all rounds anew."""
        memory = self._first.memory.method
        if not jax.tree.leaves(memory):
            return memory
        counts = _counts(history)
        first = 0
        kept = self._checkpoints.restore_latest(memory)
        if kept is not None and kept[0] < number:
            step, tree, meta = kept
            if meta.get("history") == self._key(history, found, step):
                memory, first = tree, step + 1
        for step in range(first, number):
            state = self._state(found, step, memory)
            state, _, _ = self._run.ask(state, step, counts[step])
            memory = state.memory.method
        return memory

    def _key(self, history: History, found: Standing, number: int) -> str:
        """Names all that the memory after a round's questions depends on."""
        counts = np.array(_counts(history)[:number], np.int64)
        return digest_of(*answers_before(found, number), counts)


def _counts(history: History) -> list[int]:
    """How much was asked in every round."""
    return [len(event.questions) for event in history if isinstance(event, Asked)]
