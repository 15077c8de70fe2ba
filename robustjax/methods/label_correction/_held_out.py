"""Asks about the labels that networks trust least that have never seen them.

The ranking of confident learning (Northcutt, Jiang, Chuang, JAIR 2021) as a method of
label correction: a network that was trained on a wrong label believes it in the end,
one that was trained without it does not.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks, transforms
from robustjax.methods.label_correction._correction_baselines import (
    ScoreMethod,
    label_loss,
    train_uniformly,
)
from robustjax.methods.label_correction._correction_loop import (
    CorrectionState,
    RoundModel,
)
from robustjax.methods.label_correction._cross_validation import stratified_folds
from robustjax.methods.label_correction._round_training import (
    RoundTrainer,
    phase_keys,
    with_given_weights,
)
from robustjax.selection import Spending


@dataclasses.dataclass(frozen=True)
class LabelIssues:
    """Asks about the lowest self-confidence under cross-validation.

    In every round, `folds` networks are trained on the labels as they are by then, each
    without a part of the examples; what each says of its part is the round's model,
    from which suggestions come, too. What predicts unseen examples is trained on all.

    Attributes:
      name: for reports.
      folds: how many parts, 2 … N.
    """

    name: str = "label_issues"
    folds: int = 5

    def __post_init__(self) -> None:
        checks.at_least("folds", self.folds, 2)

    def init_memory(
        self, trainer: RoundTrainer, labels: jax.Array, keys: jax.Array
    ) -> Any:
        """Nothing is remembered.

        Raises:
          ValueError: more folds than examples.
        """
        del labels, keys
        if self.folds > trainer.spec.num_examples:
            raise ValueError(
                f"folds: got {self.folds}, expected at most the number of examples, "
                f"{trainer.spec.num_examples}"
            )
        return ()

    def train(
        self, trainer: RoundTrainer, state: CorrectionState, keys: jax.Array
    ) -> tuple[RoundModel, Any]:
        """Plain training on all labels, and without every part of them."""
        model = train_uniformly(trainer, state, keys)
        logits = held_out_logits(trainer, state.labels, keys, self.folds)
        return model._replace(logits=logits), ()

    def select(
        self,
        trainer: RoundTrainer,
        model: RoundModel,
        state: CorrectionState,
        keys: jax.Array,
        count: int,
        spending: Spending | None = None,
    ) -> tuple[jax.Array, Any]:
        """The lowest probability of the label first."""
        by_loss = ScoreMethod(self.name, label_loss)
        return by_loss.select(trainer, model, state, keys, count, spending)


def held_out_logits(
    trainer: RoundTrainer, labels: jax.Array, keys: jax.Array, folds: int
) -> jax.Array:
    """What networks say of examples that they were trained without.

    Args:
      trainer: holds the inputs and the classifier.
      labels: (R, N) integers.
      keys: (R,) PRNG keys.
      folds: how many networks of each repeat.

    Returns:
      (R, N, C) logits.
    """
    draws, starts = (phase_keys(keys, phase) for phase in (1, 2))
    fold_of = np.stack(
        [
            stratified_folds(each, folds, key, num_classes=trainer.spec.num_classes)
            for each, key in zip(np.asarray(labels), draws)
        ]
    )
    repeats, size = fold_of.shape
    seen = fold_of[:, None] != np.arange(folds)[:, None]
    padding = trainer.spec.padded_examples - size
    padded = np.pad(seen.reshape(-1, size), ((0, 0), (0, padding)))
    weight = jnp.asarray(padded, jnp.float32)

    each_key = jax.vmap(lambda key: jax.random.split(key, folds))(starts)
    fitted = trainer.fit(
        "held out",
        lambda: transforms.chain(transforms.given_weights(), transforms.ce()),
        jnp.repeat(labels, folds, axis=0),
        each_key.reshape(-1),
        prepare=lambda train_state: with_given_weights(train_state, weight),
    )
    logits = fitted.logits(trainer.inputs).reshape(repeats, folds, size, -1)
    place = jnp.asarray(fold_of)[:, None, :, None]
    return jnp.take_along_axis(logits, place, axis=1)[:, 0]
