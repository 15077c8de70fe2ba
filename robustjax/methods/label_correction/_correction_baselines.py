"""Baselines of active label correction: plain training, top-Q by a score."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from robustjax import scores, selection, transforms
from robustjax.methods.label_correction._correction_loop import (
    CorrectionState,
    RoundModel,
)
from robustjax.methods.label_correction._round_training import RoundTrainer
from robustjax.selection._within_budget import walk, worth

Score = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""`(logits (N, C), labels (N,), key) -> (N,)`, high for what to ask first."""


@functools.partial(jax.jit, static_argnames=("score", "count"))
def pick_by_score(
    logits: jax.Array,
    labels: jax.Array,
    queried: jax.Array,
    keys: jax.Array,
    *,
    score: Score,
    count: int,
    last: jax.Array | None = None,
    spending: selection.Spending | None = None,
) -> jax.Array:
    """The un-queried examples of highest score in every repeat.

    Args:
      logits: (R, N, C).
      labels: (R, N) current labels.
      queried: (R, N) bool, never to be picked.
      keys: (R,) PRNG keys.
      score: what to ask first.
      count: Q, without costs at most the number of un-queried examples.
      last: (R, N) bool, to be picked only when no others are left.
      spending: (R, …) what examples cost and what the batch may; None for no costs.

    Returns:
      (R, Q) int32, highest score first; with costs, the highest score per cost, and -1
      behind the last one that the budget pays for.
    """

    def one(
        logits: jax.Array,
        labels: jax.Array,
        queried: jax.Array,
        key: jax.Array,
        last: jax.Array | None,
        spending: selection.Spending | None,
    ) -> jax.Array:
        values = score(logits, labels, key)
        if spending is not None:
            values = worth(values, spending.divisors)
        if last is not None:
            span = jnp.max(values) - jnp.min(values) + 1
            values = jnp.where(last, values - span, values)
        if spending is not None:
            prices, limit = spending.prices, spending.limit
            return walk(values, ~queried, prices, limit, count=count)
        return selection.top_available(values, ~queried, count)[0]

    return jax.vmap(one)(logits, labels, queried, keys, last, spending)


def train_uniformly(
    trainer: RoundTrainer, state: CorrectionState, keys: jax.Array
) -> RoundModel:
    """Plain cross-entropy training on the current labels, from scratch."""
    fitted = trainer.fit(
        "uniform", lambda: transforms.chain(transforms.ce()), state.labels, keys
    )
    return RoundModel(fitted, fitted.logits(trainer.inputs))


@dataclasses.dataclass(frozen=True)
class ScoreMethod:
    """Trains plainly and asks about the examples of highest score.

    Attributes:
      name: for reports.
      score: what to ask first.
    """

    name: str
    score: Score

    def __repr__(self) -> str:
        # A function's own repr holds its address, which every process changes.
        function = getattr(self.score, "__qualname__", None) or repr(self.score)
        module = getattr(self.score, "__module__", "")
        return f"ScoreMethod(name={self.name!r}, score={module}.{function})"

    def init_memory(
        self, trainer: RoundTrainer, labels: jax.Array, keys: jax.Array
    ) -> Any:
        """Nothing is remembered."""
        del trainer, labels, keys
        return ()

    def train(
        self, trainer: RoundTrainer, state: CorrectionState, keys: jax.Array
    ) -> tuple[RoundModel, Any]:
        """Plain training."""
        return train_uniformly(trainer, state, keys), ()

    def select(
        self,
        trainer: RoundTrainer,
        model: RoundModel,
        state: CorrectionState,
        keys: jax.Array,
        count: int,
        spending: selection.Spending | None = None,
    ) -> tuple[jax.Array, Any]:
        """Top-Q by the score."""
        del trainer
        picks = pick_by_score(
            model.logits,
            state.labels,
            state.queried,
            keys,
            score=self.score,
            count=count,
            spending=spending,
        )
        return picks, state.memory


def random_score(logits: jax.Array, labels: jax.Array, key: jax.Array) -> jax.Array:
    """Draws; whoever has the highest is asked."""
    del labels
    return jax.random.uniform(key, logits.shape[:1])


def entropy_score(logits: jax.Array, labels: jax.Array, key: jax.Array) -> jax.Array:
    """The prediction's entropy (Rebbapragada et al., 2012)."""
    del labels, key
    return scores.entropy(logits)


def label_loss(logits: jax.Array, labels: jax.Array, key: jax.Array) -> jax.Array:
    """The loss of the label (Nallapati et al., 2009)."""
    del key
    return scores.label_loss(logits, labels)


def loss_plus_entropy(
    logits: jax.Array, labels: jax.Array, key: jax.Array
) -> jax.Array:
    """Both, the "LossEnt" of Kim (ECCV 2022)."""
    del key
    return scores.loss_plus_entropy(logits, labels)


def loss_minus_entropy(
    logits: jax.Array, labels: jax.Array, key: jax.Array
) -> jax.Array:
    """Loss *minus* entropy (Bernhardt et al., 2022)."""
    del key
    return scores.loss_minus_entropy(logits, labels)
