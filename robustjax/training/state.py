"""What a trainer carries, what it trains on, and what an algorithm is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import optax

from robustjax.transforms import ExampleSpec, LossState


class TrainState(NamedTuple):
    """Everything that changes during training; a checkpoint of it is complete.

    Attributes:
      params: the model's parameters.
      model_state: other variable collections, such as `batch_stats`; a dict.
      opt_state: the optimiser's state.
      loss_state: the loss transform's state.
      key: PRNG key from which every epoch's randomness is derived.
      epoch: () int32, epochs finished.
      step: () int32, steps finished.
    """

    params: Any
    model_state: Any
    opt_state: optax.OptState
    loss_state: LossState
    key: jax.Array
    epoch: jax.Array
    step: jax.Array


class TrainData(NamedTuple):
    """Device-resident training data; row i is example i.

    Attributes:
      inputs: (N_padded, ...) of any dtype; shared by all repeats.
      labels: (N_padded,) int32, or (R, N_padded) with repeats.
      extras: dict of further (N_padded, ...) arrays, or (R, N_padded, ...), that
        appear in every batch under their names.
    """

    inputs: jax.Array
    labels: jax.Array
    extras: Mapping[str, jax.Array] = {}


class Algorithm(NamedTuple):
    """A learning method as pure functions; the trainer knows nothing else of it.

    Attributes:
      init: `(key, sample_inputs, spec) -> TrainState`.
      objective: `(params, state, batch, key, axis_name=None) -> (loss, (state,
        metrics))`: the scalar loss of one batch, and the state with its model and
        loss states advanced. Metrics are scalars.
      epoch: `(state, losses) -> state`, after every epoch; `losses` (N_padded,) is
        the cross-entropy of every example, or None if not in `needs`.
      predict: `(params, model_state, inputs) -> logits`.
      optimizer: an optax transformation.
      needs: what `epoch` must be given ("losses").
    """

    init: Callable[[jax.Array, jax.Array, ExampleSpec], TrainState]
    objective: Callable[..., tuple[jax.Array, tuple[TrainState, dict[str, jax.Array]]]]
    epoch: Callable[[TrainState, jax.Array | None], TrainState]
    predict: Callable[[Any, Any, jax.Array], jax.Array]
    optimizer: optax.GradientTransformation
    needs: frozenset[str] = frozenset()
