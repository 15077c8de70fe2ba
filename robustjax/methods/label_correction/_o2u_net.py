"""O2U-Net: finding wrong labels by how a cyclic learning rate shakes their loss.

Huang, Qu, Jia, Zhao, "O2U-Net: A Simple Noisy Label Detection Approach for Deep
Neural Networks", ICCV 2019. After ordinary training, the learning rate swings between
overfitting and underfitting; examples whose loss stays above the epoch's mean are
flagged. The share of wrong labels must be known.

The first stage has the classifier and the schedule of the other methods. The authors'
third stage continues from the first one's weights; here the flags alone are handed
on, and who uses them trains from scratch.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import optax

from robustjax import checks, transforms
from robustjax.methods.label_correction._round_training import (
    RoundTrainer,
    phase_keys,
)


@dataclasses.dataclass(frozen=True)
class O2UNet:
    """Settings of the detector's second stage.

    Attributes:
      epochs: of cyclic training; 250 in the authors' code.
      batch_size: 16 in the authors' code.
      cycle_epochs: length of a cycle.
      high: learning rate that a cycle starts from.
      low: learning rate that it ends at.
    """

    epochs: int = 250
    batch_size: int = 16
    cycle_epochs: int = 10
    high: float = 0.01
    low: float = 0.001

    def __post_init__(self) -> None:
        checks.at_least("epochs", self.epochs, 1)
        checks.at_least("batch_size", self.batch_size, 1)
        checks.at_least("cycle_epochs", self.cycle_epochs, 1)
        checks.in_range("high", self.high, 0, low_open=True)
        checks.in_range("low", self.low, 0, self.high, low_open=True)

    def check(self, num_examples: int) -> None:
        """Raises `ValueError` for batches larger than the data."""
        if self.batch_size > num_examples:
            raise ValueError(
                f"batch_size: got {self.batch_size}, expected at most the number of "
                f"examples, {num_examples}"
            )

    def schedule(self, steps_per_epoch: int) -> optax.Schedule:
        """The learning rate falls linearly within every cycle, epoch by epoch."""

        def rate(step: jax.Array) -> jax.Array:
            epoch = step // steps_per_epoch
            place = (epoch % self.cycle_epochs + 1) / self.cycle_epochs
            return (1 - place) * self.high + place * self.low

        return rate


def detect(
    trainer: RoundTrainer,
    labels: jax.Array,
    noise_rate: float,
    keys: jax.Array,
    settings: O2UNet | None = None,
) -> jax.Array:
    """Flags the labels whose examples stay hard.

    Args:
      trainer: holds the inputs and the classifier.
      labels: (R, N) given labels.
      noise_rate: known share of wrong labels, in (0, 1).
      keys: (R,) PRNG keys.
      settings: of the second stage.

    Returns:
      (R, N) bool, True for the `round(noise_rate N)` flagged examples.

    Raises:
      ValueError: a rate outside (0, 1).
    """
    settings = settings or O2UNet()
    checks.in_range("noise_rate", noise_rate, 0, 1, low_open=True, high_open=True)
    first = trainer.fit(
        "uniform", lambda: transforms.chain(transforms.ce()), labels, keys
    )
    second = trainer.fit(
        f"o2u {settings}",
        lambda: transforms.chain(transforms.ce(), transforms.accumulate_losses()),
        labels,
        phase_keys(keys, 1),
        variables=first.variables,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        schedule=settings.schedule,
    )
    examples = trainer.spec.num_examples
    score = second.state.loss_state.rows[1]["total"]
    return _worst(score[:, :examples], round(noise_rate * examples))


@functools.partial(jax.jit, static_argnums=1)
def _worst(score: jax.Array, count: int) -> jax.Array:
    """(R, N) bool, True for the `count` largest of every row."""
    worst = jax.lax.top_k(score, count)[1]
    rows = jnp.arange(score.shape[0])[:, None]
    return jnp.zeros(score.shape, bool).at[rows, worst].set(True)
