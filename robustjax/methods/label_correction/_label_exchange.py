"""Label correction with a person as the oracle, through files, over days if need be."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import answers, checks, data
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
from robustjax.selection import Spending, most_within_budget
from robustjax.selection._within_budget import affordable, check_costs
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

    With `costs`, a round asks for what its budget pays for, by score per cost, see
    `CostBudget`; both stay the same for all rounds. The exchange then ends when every
    example was answered that costs no more than a round's budget.
    """

    def __init__(
        self,
        folder: str | pathlib.Path,
        dataset: data.Dataset,
        *,
        batch: int | None = None,
        costs: Any = None,
        round_budget: float | None = None,
        per_cost: bool = True,
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
          batch: questions per round; may be another one from round to round. None with
            costs.
          costs: (N,) what every label costs, finite and above 0; None where all cost
            the same.
          round_budget: what the questions of a round may cost, at least the cost of
            the cheapest; None without costs.
          per_cost: whether to ask by score per cost, or by score alone.
          method: by default `ActiveLabelCorrection` with "delta" diffusion.
          settings: of the classifier; by default those of `ClassifierSettings`, with
            batches no larger than the data set.
          seed: of all randomness.
          on_epoch: called with the kind of training, the epoch and its metrics.
          report: called with a sentence on what was taken in; by default the log.

        Raises:
          ValueError: a batch above the number of examples, both or neither of a batch
            and costs, costs or a budget that do not fit, settings that do not fit the
            data, a method whose `repr` differs between processes, or a folder that
            belongs to other data or settings.
        """
        self._costs = _round_costs(batch, costs, round_budget, per_cost, len(dataset))
        if self._costs is not None:
            batch = self._costs.most
        assert batch is not None
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
            # None for folders that were begun when there were none.
            "costs": None if self._costs is None else self._costs.record,
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
        return (found.said == answers.OPEN) & ~found.disputed & self.affordable

    @property
    def affordable(self) -> np.ndarray:
        """(N,) bool, whether a round can pay for the example; all without costs."""
        if self._costs is None:
            return np.ones(len(self.dataset), bool)
        return affordable(self._costs.each, self._costs.budget)

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
        state, picks, model = self._run.ask(state, number, count, self._spending)
        picks = picks[picks >= 0]
        if jax.tree.leaves(state.memory.method):
            key = self._key(history, found, number)
            self._checkpoints.save(number, state.memory.method, {"history": key})
        labels = np.asarray(state.labels[0])
        ranked = describe_picks(self.dataset, labels, picks, model)
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

    @property
    def _spending(self) -> Spending | None:
        if self._costs is None:
            return None
        costs, budget = self._costs.each[None], self._costs.budget
        return Spending.of(costs, budget, per_cost=self._costs.per_cost)

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
            count = counts[step] if self._costs is None else self._costs.most
            state, _, _ = self._run.ask(state, step, count, self._spending)
            memory = state.memory.method
        return memory

    def _key(self, history: History, found: Standing, number: int) -> str:
        """Names all that the memory after a round's questions depends on."""
        counts = np.array(_counts(history)[:number], np.int64)
        return digest_of(*answers_before(found, number), counts)


class _RoundCosts(NamedTuple):
    """What labels cost and a round may.

    Attributes:
      each: (N,) float64 costs.
      budget: of a round.
      per_cost: whether the order is by score per cost.
    """

    each: np.ndarray
    budget: float
    per_cost: bool

    @property
    def most(self) -> int:
        """Questions that a round can have."""
        return most_within_budget(self.each, self.budget)

    @property
    def record(self) -> dict[str, Any]:
        """By which another process knows that they are the same."""
        return {
            "costs": digest_of(self.each),
            "round_budget": self.budget,
            "per_cost": self.per_cost,
        }


def _round_costs(
    batch: int | None, costs: Any, budget: float | None, per_cost: bool, size: int
) -> _RoundCosts | None:
    """The costs after checking that what goes together was given.

    Raises:
      ValueError: both or neither of a batch and costs, a budget or an order without
        costs, costs without a budget, or of another number of examples.
    """
    if costs is None:
        if batch is None:
            raise ValueError("batch: got None without costs, expected an integer >= 1")
        if budget is not None:
            raise ValueError(f"round_budget: got {budget:g} without costs")
        if not per_cost:
            raise ValueError("per_cost: got False without costs")
        return None
    if batch is not None:
        raise ValueError(f"batch: got {batch} with costs, expected round_budget alone")
    if budget is None:
        raise ValueError("round_budget: got None with costs, expected a number above 0")
    each = check_costs(costs)
    if each.shape != (size,):
        raise ValueError(
            f"costs: got shape {each.shape}, expected one for each of {size} examples"
        )
    found = _RoundCosts(each.copy(), float(budget), per_cost)
    with checks.errors_name(budget="round_budget"):
        most_within_budget(each, budget)
    return found


def _counts(history: History) -> list[int]:
    """How much was asked in every round."""
    return [len(event.questions) for event in history if isinstance(event, Asked)]
