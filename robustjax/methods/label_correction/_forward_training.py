"""Forward-corrected training on labels of which some have been checked."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from robustjax import corruption, transforms
from robustjax.methods.label_correction._round_training import Fitted, RoundTrainer
from robustjax.training import TrainState
from robustjax.transforms import LossTransform

ANCHOR_PERCENTILE = 97.0
"""Of the anchor points, as published for MNIST and CIFAR-10."""


def trusted_or_forward(num_classes: int) -> LossTransform:
    """The head of a chain: cross-entropy on trusted labels, corrected on the rest.

    Batches have "trusted" (B,) bool. The transition matrix is the identity until
    `with_transition` sets it.
    """
    forward = transforms.inject_hyperparams(transforms.forward_correction)
    return transforms.only_where(
        transforms.ce(),
        lambda batch: batch["trusted"],
        otherwise=forward(transition=jnp.eye(num_classes)),
    )


def with_transition(state: TrainState, place: int, transition: jax.Array) -> TrainState:
    """Puts matrices into the loss state of a chain with `trusted_or_forward`.

    Args:
      state: leaves (R, ...).
      place: of `trusted_or_forward` in the chain.
      transition: (R, C, C), rows sum to 1.
    """
    # The forward correction is the second branch of the link.
    loss_state = transforms.set_hyperparams(
        state.loss_state, place, 1, transition=transition
    )
    return state._replace(loss_state=loss_state)


def train_and_estimate(
    trainer: RoundTrainer, labels: jax.Array, keys: jax.Array, percentile: float | None
) -> tuple[Fitted, jax.Array, jax.Array]:
    """Plain training, and the noise that its predictions show.

    Returns:
      The networks, their (R, N, C) probabilities of the pool, and the (R, C, C)
      matrices estimated from these.
    """
    plain = trainer.fit(
        "uniform", lambda: transforms.chain(transforms.ce()), labels, keys
    )
    # Not in one program with what follows, which would round it otherwise.
    probabilities = jax.nn.softmax(plain.logits(trainer.inputs))
    return (
        plain,
        probabilities,
        anchor_transitions(probabilities, percentile=percentile),
    )


@functools.partial(jax.jit, static_argnames="percentile")
def anchor_transitions(
    probabilities: jax.Array, *, percentile: float | None
) -> jax.Array:
    """(R, C, C) matrices from (R, N, C) probabilities."""
    anchor = functools.partial(corruption.anchor_transition, percentile=percentile)
    return jax.vmap(anchor)(probabilities)
