"""Train once, score every example, train again by the scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from robustjax import checks, transforms
from robustjax.methods._example_count import example_count, real_examples
from robustjax.methods.bias._draws import weighted_order
from robustjax.training import (
    Algorithm,
    Phase,
    Recipe,
    TrainData,
    TrainState,
    init_variables,
    supervised,
)
from robustjax.training._supervised import Augment, Preprocess
from robustjax.transforms import Batch, LossState, LossTransform, Reduction, Terms

Use = Literal["draws", "weights"]
"""How scores enter the second training: as the frequency of an example in an epoch, or
as the weight of its loss."""

USES = ("draws", "weights")

# Steps and epochs fold small numbers of both signs into the key; this is neither.
_RESTART = np.iinfo(np.int32).max - 1

Evaluate = Callable[[Any, Any, jax.Array], Any]
Score = Callable[[Any, jax.Array, jax.Array], jax.Array]


def _kept_in_mind(tx: LossTransform) -> LossTransform:
    """A transform's state without its effect."""

    def update(
        terms: Terms, state: LossState, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, LossState]:
        del batch, extra
        return terms, state

    return tx._replace(update=update)


def two_stages(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    first_loss: LossTransform,
    first_epochs: int,
    epochs: int,
    evaluate: Callable[[Algorithm], Evaluate],
    score: Score,
    restart: bool,
    use: Use,
    reduction: Reduction,
    augment: Augment | None,
    preprocess: Preprocess,
) -> Recipe:
    """A first training whose network weights the examples of a second one.

    Args:
      model: a Linen classifier.
      optimizer: of both trainings; the second starts with a fresh state of it.
      first_loss: a head without state.
      first_epochs: of the first training, >= 1.
      epochs: of both, more than `first_epochs`.
      evaluate: from the plain algorithm to what is computed of all training inputs, in
        prediction mode and without augmentation.
      score: `(outputs, labels (N_padded,), real (N_padded,)) -> (N_padded,)`
        non-negative weights.
      restart: whether the second training starts from fresh parameters; else it goes
        on with the first one's.
      use: of the weights, see `Use`.
      reduction: of the second loss where weights are used.
      augment: `(key, inputs) -> inputs`, or None.
      preprocess: applied after it, and in prediction.

    Returns:
      A recipe; the weights are the rows ["weight"]["weight"], 1 in the first training.

    Raises:
      ValueError: no epoch for one of both, or an unknown use.
    """
    checks.at_least("first_epochs", first_epochs, 1)
    checks.at_least("epochs", epochs, first_epochs + 1)
    checks.one_of("by", use, USES)
    weights = transforms.given_weights(reduction)

    def training(weights: LossTransform, head: LossTransform) -> Algorithm:
        chain = transforms.named_chain(
            examples=example_count(), weight=weights, head=head
        )
        return supervised(
            model, chain, optimizer, augment=augment, preprocess=preprocess
        )

    first = training(_kept_in_mind(weights), first_loss)

    def finish(state: TrainState, data: TrainData, outputs: Any) -> TrainState:
        rows = state.loss_state.rows
        real = real_examples(state, rows["weight"]["weight"].shape[0])
        weight = jnp.where(real, score(outputs, data.labels, real), 0.0)
        rows = {**rows, "weight": {"weight": weight.astype(jnp.float32)}}
        state = state.with_rows(rows)
        if restart:
            key = jax.random.fold_in(state.key, _RESTART)
            params, model_state = init_variables(
                model, key, preprocess(data.inputs[:1])
            )
            state = state._replace(params=params, model_state=model_state)
        return state._replace(opt_state=optimizer.init(state.params))

    ending = first._replace(evaluate=evaluate(first), epoch=finish)
    if use == "weights":
        second = training(weights, transforms.ce())
    else:
        second = training(_kept_in_mind(weights), transforms.ce())
        second = second._replace(order=_drawn)
    last = epochs - first_epochs
    phases = [Phase(first, first_epochs - 1), Phase(ending, 1), Phase(second, last)]
    return Recipe(tuple(phase for phase in phases if phase.epochs))


def _drawn(
    key: jax.Array,
    state: TrainState,
    num_examples: int,
    batch_size: int,
    padding_index: int,
) -> jax.Array:
    weight = state.loss_state.rows["weight"]["weight"][:num_examples]
    return weighted_order(key, weight, batch_size, padding_index)
