"""Which labels to look at first: one training, no oracle, a ranked list.

Also what the calls of `curation` share with it: the default method, and the rule that
an example is asked about once.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks, data, scores
from robustjax.methods.label_correction._active_label_correction import (
    ActiveLabelCorrection,
    Propagation,
)
from robustjax.methods.label_correction._correction_loop import (
    Budget,
    CorrectionMethod,
    CorrectionRun,
    CorrectionState,
    RoundModel,
)
from robustjax.methods.label_correction._cost_budget import CostBudget
from robustjax.methods.label_correction._round_training import (
    ClassifierSettings,
    EpochReport,
    RoundTrainer,
)
from robustjax.selection import Spending

_STEPS = 100


class RankedLabels(NamedTuple):
    """Labels in the order in which they should be looked at.

    Attributes:
      rows: (Q,) int64 rows of the data set.
      ids: (Q,) their ids.
      current_labels: (Q,) int32.
      suggested_labels: (Q,) int32, the classifier's arg-maxima.
      uncertainty: (Q,) float32, entropy of the prediction in nats.
      weight: (Q,) float32, contribution weight in training, relative to a mean of 1
        over all examples; NaN for methods without.
    """

    rows: np.ndarray
    ids: np.ndarray
    current_labels: np.ndarray
    suggested_labels: np.ndarray
    uncertainty: np.ndarray
    weight: np.ndarray


class AskOnceMemory(NamedTuple):
    """What `AskOnce` carries from round to round.

    Attributes:
      method: memory of the method inside.
      skipped: (R, N) bool, asked about and not answered.
    """

    method: Any
    skipped: jax.Array


@dataclasses.dataclass(frozen=True)
class AskOnce:
    """Lets a method ask about every example once, answered or not.

    An example without an answer counts as unchecked in training, where a method may
    trust checked labels more, and as queried in selection.

    Attributes:
      method: of label correction.
    """

    method: CorrectionMethod

    @property
    def name(self) -> str:
        """The method's."""
        return self.method.name

    def init_memory(
        self, trainer: RoundTrainer, labels: jax.Array, keys: jax.Array
    ) -> AskOnceMemory:
        """The method's, and that nothing was skipped."""
        inside = self.method.init_memory(trainer, labels, keys)
        return AskOnceMemory(inside, jnp.zeros(labels.shape, bool))

    def train(
        self, trainer: RoundTrainer, state: CorrectionState, keys: jax.Array
    ) -> tuple[RoundModel, AskOnceMemory]:
        """As the method does."""
        inside = state._replace(memory=state.memory.method)
        model, memory = self.method.train(trainer, inside, keys)
        return model, state.memory._replace(method=memory)

    def select(
        self,
        trainer: RoundTrainer,
        model: RoundModel,
        state: CorrectionState,
        keys: jax.Array,
        count: int,
        spending: Spending | None = None,
    ) -> tuple[jax.Array, AskOnceMemory]:
        """As the method does, among what was not asked about."""
        asked = state.queried | state.memory.skipped
        inside = state._replace(queried=asked, memory=state.memory.method)
        costs = {} if spending is None else {"spending": spending}
        picks, memory = self.method.select(trainer, model, inside, keys, count, **costs)
        return picks, state.memory._replace(method=memory)


def make_run(
    dataset: data.Dataset,
    budget: Budget | CostBudget,
    method: CorrectionMethod | None,
    settings: ClassifierSettings | None,
    seed: int,
    on_epoch: EpochReport | None,
) -> CorrectionRun:
    """One repeat of label correction on a data set, with defaults that fit it.

    Args:
      dataset: features (or images) with the noisy labels.
      budget: the queries.
      method: wrapped in `AskOnce`; by default `ActiveLabelCorrection` with "delta"
        diffusion, the reading that never cost us accuracy.
      settings: of the classifier; by default batches no larger than the data set.
      seed: of all randomness.
      on_epoch: called with the kind of training, the epoch and its metrics.

    Raises:
      ValueError: a budget or batches that do not fit.
    """
    size = len(dataset)
    if settings is None:
        batch_size = min(ClassifierSettings.batch_size, size)
        settings = ClassifierSettings(batch_size=batch_size)
    if method is None:
        neighbors = min(Propagation.neighbors, size - 1)
        method = ActiveLabelCorrection(
            propagation=Propagation(mode="delta", neighbors=neighbors)
        )
    trainer = RoundTrainer(
        dataset.inputs, dataset.num_classes, settings, on_epoch=on_epoch
    )
    keys = jax.random.split(jax.random.key(seed), 1)
    return CorrectionRun(AskOnce(method), trainer, budget, keys)


def describe_picks(
    dataset: data.Dataset, labels: np.ndarray, picks: np.ndarray, model: RoundModel
) -> RankedLabels:
    """What a person wants to see of the picks.

    Args:
      dataset: whose ids are meant.
      labels: (N,) int32 current labels.
      picks: (Q,) rows in order.
      model: of one repeat.
    """
    rows = np.asarray(picks, np.int64)
    logits = model.logits[0]
    if model.weights is None:
        weight = np.full(len(rows), np.nan, np.float32)
    else:
        weight = np.asarray(model.weights[0])[rows]
    return RankedLabels(
        rows=rows,
        ids=dataset.ids[rows],
        current_labels=np.asarray(labels)[rows],
        suggested_labels=np.asarray(jnp.argmax(logits, axis=1), np.int32)[rows],
        uncertainty=np.asarray(scores.entropy(logits))[rows],
        weight=weight,
    )


def rank_labels(
    dataset: data.Dataset,
    count: int | None = None,
    *,
    method: CorrectionMethod | None = None,
    settings: ClassifierSettings | None = None,
    seed: int = 0,
    on_epoch: EpochReport | None = None,
) -> RankedLabels:
    """Ranks labels by how much they deserve a second look.

    Trains once, then lets the method pick one hundredth of the data set at a time:
    what ALC picks in one go from everything is ranked by uncertainty alone, because
    all examples are candidates then. `count` only cuts the list; with ALC, time
    beyond the training grows with `count` times the number of examples.

    Args:
      dataset: features (or images) with the noisy labels, see `data.make_dataset`.
      count: how many labels to rank, Q; by default all.
      method: by default `ActiveLabelCorrection` with "delta" diffusion.
      settings: of the classifier; by default those of `ClassifierSettings`, with
        batches no larger than the data set.
      seed: of all randomness.
      on_epoch: called with the kind of training, the epoch and its metrics.

    Returns:
      The first Q labels to look at, in order.

    Raises:
      ValueError: a count outside 1 … N, or settings that do not fit the data.
    """
    size = len(dataset)
    count = size if count is None else count
    checks.at_least("count", count, 1)
    if count > size:
        raise ValueError(
            f"count: got {count}, expected at most the number of examples, {size}"
        )
    step = -(-size // _STEPS)
    run = make_run(dataset, Budget(step, step), method, settings, seed, on_epoch)
    state, picks, model = run.propose(run.start(dataset.labels[None]), 0)
    keys = jax.random.split(jax.random.key(seed), 1)
    ranked = [picks[0]]
    found = step
    while found < count:
        skipped = state.memory.skipped.at[0, ranked[-1]].set(True)
        state = state._replace(memory=state.memory._replace(skipped=skipped))
        # A whole step even where less is wanted: the candidates depend on its size.
        more = min(step, size - found)
        next_picks, memory = run.method.select(run.trainer, model, state, keys, more)
        state = state._replace(memory=memory)
        ranked.append(np.asarray(next_picks[0]))
        found += more
    order = np.concatenate(ranked)[:count]
    return describe_picks(dataset, dataset.labels, order, model)
