"""Dual active label correction, "DALC" (Li et al., Machine Learning, 2022).

Queries by entropy, and trains with a forward-corrected loss on labels nobody has
checked. As in the authors' code: a first phase of plain training gives the network
from which every later one starts and with which transition matrices are estimated;
in the first round the matrix comes from anchor points over all data, later from the
checked examples alone (so the accuracy may dip after the first round). The "dual"
half labels the *least* uncertain examples by the network itself, at no cost.

Unlike there, the classifier, its schedule and the batch sizes are those of the other
methods, and entropies come from an evaluation pass after training, not from the outputs
of the last training epoch.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import corruption, scores, selection, transforms
from robustjax.methods.label_correction._correction_baselines import (
    entropy_score,
    pick_by_score,
)
from robustjax.methods.label_correction._correction_loop import (
    CorrectionState,
    RoundModel,
)
from robustjax.methods.label_correction._forward_training import (
    ANCHOR_PERCENTILE,
    train_and_estimate,
    trusted_or_forward,
    with_transition,
)
from robustjax.methods.label_correction._round_training import (
    RoundTrainer,
    Variables,
    phase_keys,
)


class DalcMemory(NamedTuple):
    """What DALC carries from round to round.

    Attributes:
      base: the network of the first phase.
      base_probabilities: (R, N, C) predictions of the first phase.
      anchor: (R, C, C) matrix estimated from anchor points.
      self_labeled: (R, N) bool.
      self_labels: (R, N) int32, the network's own labels.
      started: () bool, whether the first phase is done.
    """

    base: Variables
    base_probabilities: jax.Array
    anchor: jax.Array
    self_labeled: jax.Array
    self_labels: jax.Array
    started: jax.Array


@functools.partial(jax.jit, static_argnames="count")
def _most_certain(
    logits: jax.Array, taken: jax.Array, wanted: jax.Array, *, count: int
) -> tuple[jax.Array, jax.Array]:
    """The `wanted` least uncertain free examples per repeat, and all arg-maxima."""

    def one(logits: jax.Array, taken: jax.Array, wanted: jax.Array) -> jax.Array:
        certain = -scores.entropy(logits)
        indices, usable = selection.top_available(certain, ~taken, count)
        usable = usable & (jnp.arange(count) < wanted)
        chosen = jnp.where(usable, indices, logits.shape[0])
        return jnp.zeros(logits.shape[0], bool).at[chosen].set(True, mode="drop")

    return jax.vmap(one)(logits, taken, wanted), jnp.argmax(logits, axis=-1)


@dataclasses.dataclass(frozen=True)
class Dalc:
    """DALC, with the classifier and the schedule of the other methods.

    Attributes:
      name: for reports.
      self_label: whether to use the dual half: per round as many self-labelled
        examples as queries.
      percentile: of the anchor points, see `corruption.anchor_transition`.
    """

    name: str = "dalc"
    self_label: bool = True
    percentile: float | None = ANCHOR_PERCENTILE

    def init_memory(
        self, trainer: RoundTrainer, labels: jax.Array, keys: jax.Array
    ) -> DalcMemory:
        """Shapes for the first phase's results."""

        def zeros(shape: tuple[int, ...], dtype: Any) -> jax.Array:
            return jax.device_put(np.zeros(shape, dtype))

        repeats, examples = labels.shape
        classes = trainer.spec.num_classes
        return DalcMemory(
            base=trainer.untrained(keys),
            base_probabilities=zeros((repeats, examples, classes), np.float32),
            anchor=zeros((repeats, classes, classes), np.float32),
            self_labeled=zeros((repeats, examples), bool),
            self_labels=zeros((repeats, examples), np.int32),
            started=zeros((), bool),
        )

    def train(
        self, trainer: RoundTrainer, state: CorrectionState, keys: jax.Array
    ) -> tuple[RoundModel, DalcMemory]:
        """Corrected training from the first phase's network."""
        memory: DalcMemory = state.memory
        own, asked = np.asarray(memory.self_labeled), np.asarray(state.queried)
        believed = np.where(own & ~asked, memory.self_labels, state.labels)
        labels, trusted = jax.device_put((believed, own | asked))
        if not bool(memory.started):
            first, probabilities, transition = train_and_estimate(
                trainer, state.labels, keys, self.percentile
            )
            memory = memory._replace(
                base=first.variables,
                base_probabilities=probabilities,
                anchor=transition,
                started=jax.device_put(np.True_),
            )
        else:
            transition = jax.vmap(corruption.trusted_transition)(
                memory.base_probabilities, labels, trusted, memory.anchor
            )
        second = trainer.fit(
            "forward-corrected",
            lambda: transforms.chain(trusted_or_forward(trainer.spec.num_classes)),
            labels,
            phase_keys(keys, 1),
            extras={"trusted": trusted},
            variables=memory.base,
            prepare=lambda start: with_transition(start, 0, transition),
        )
        model = RoundModel(second, second.logits(trainer.inputs))
        return model, memory

    def select(
        self,
        trainer: RoundTrainer,
        model: RoundModel,
        state: CorrectionState,
        keys: jax.Array,
        count: int,
        spending: selection.Spending | None = None,
    ) -> tuple[jax.Array, DalcMemory]:
        """Top-Q by entropy; then the network labels what it is surest of.

        Examples that it labelled itself are asked about when no others are left.
        """
        del trainer
        memory: DalcMemory = state.memory
        picks = pick_by_score(
            model.logits,
            state.labels,
            state.queried,
            keys,
            score=entropy_score,
            count=count,
            last=memory.self_labeled,
            spending=spending,
        )
        if not self.self_label:
            return picks, memory
        labeled, labels = map(np.array, (memory.self_labeled, memory.self_labels))
        taken = labeled | np.asarray(state.queried)
        repeat, place = np.nonzero(np.asarray(picks) >= 0)
        taken[repeat, np.asarray(picks)[repeat, place]] = True
        asked = np.bincount(repeat, minlength=len(taken)).astype(np.int32)
        found = _most_certain(model.logits, taken, asked, count=count)
        new, guesses = map(np.asarray, found)
        labels[new] = guesses[new]
        return picks, memory._replace(
            self_labeled=jax.device_put(labeled | new),
            self_labels=jax.device_put(labels),
        )
