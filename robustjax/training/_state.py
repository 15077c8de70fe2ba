"""What a trainer carries, what it trains on, and what an algorithm is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
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

    def with_rows(self, rows: Any) -> TrainState:
        """The state with other per-example rows of its loss."""
        return self._replace(loss_state=self.loss_state._replace(rows=rows))


def fresh_state(
    params: Any,
    model_state: Any,
    loss_state: LossState,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
) -> TrainState:
    """The state before the first step; see `TrainState`."""
    return TrainState(
        params=params,
        model_state=model_state,
        opt_state=optimizer.init(params),
        loss_state=loss_state,
        key=key,
        epoch=jnp.int32(0),
        step=jnp.int32(0),
    )


class TrainData(NamedTuple):
    """Training data; row i is example i.

    Attributes:
      inputs: (N_padded, ...) of any dtype on the device, or a `Stream`; shared by all
        repeats.
      labels: (N_padded,) int32, or (R, N_padded) with repeats.
      extras: dict of further (N_padded, ...) arrays, or (R, N_padded, ...), that
        appear in every batch under their names.
    """

    inputs: Any
    labels: jax.Array
    extras: Mapping[str, jax.Array] = {}


class Algorithm(NamedTuple):
    """A learning method as pure functions; the trainer knows nothing else of it.

    Attributes:
      init: `(key, sample_inputs, spec) -> TrainState`.
      objective: `(params, state, batch, key, axis_name=None) -> (loss, (state,
        metrics))`: the scalar loss of one batch, and the state with its model and
        loss states advanced. Metrics are scalars.
      epoch: `(state, data, outputs) -> state`, after every epoch; `outputs` is what
        `evaluate` gives for all training inputs, leaves (N_padded, ...), or None.
      predict: `(params, model_state, inputs) -> logits`.
      optimizer: an optax transformation.
      evaluate: `(params, model_state, inputs) -> pytree` of (B, ...) leaves, applied
        to all training inputs before `epoch`; None if the method needs nothing.
      order: `(key, state, num_examples, batch_size, padding_index) -> indices`, the
        (S, B, ...) int32 examples of an epoch's S steps; None for `epoch_order`. Data
        are gathered in the indices' shape.
      after_step: `(state) -> state`, after the parameters have moved; None for none.
      row_spec: of what the per-example rows are, where that is not the program's data.
    """

    init: Callable[[jax.Array, jax.Array, ExampleSpec], TrainState]
    objective: Callable[..., tuple[jax.Array, tuple[TrainState, dict[str, jax.Array]]]]
    epoch: Callable[[TrainState, TrainData, Any], TrainState]
    predict: Callable[[Any, Any, jax.Array], jax.Array]
    optimizer: optax.GradientTransformation
    evaluate: Callable[[Any, Any, jax.Array], Any] | None = None
    order: Callable[[jax.Array, TrainState, int, int, int], jax.Array] | None = None
    after_step: Callable[[TrainState], TrainState] | None = None
    row_spec: ExampleSpec | None = None


def no_epoch(state: TrainState, data: TrainData, outputs: Any) -> TrainState:
    """The epoch rule of an algorithm that has none."""
    del data, outputs
    return state
