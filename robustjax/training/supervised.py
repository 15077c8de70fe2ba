"""The plain algorithm: a Linen classifier, a loss transform, an optimiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from robustjax import transforms
from robustjax.training.state import Algorithm, TrainState
from robustjax.transforms import ExampleSpec, LossTransform


def as_float(inputs: jax.Array) -> jax.Array:
    """Floats as they are, 8-bit images scaled to [0, 1].

    Images stay 8-bit on the device: a batch of them is a quarter of the traffic.
    """
    if inputs.dtype == jnp.uint8:
        return inputs.astype(jnp.float32) / 255.0
    return inputs.astype(jnp.float32)


def supervised(
    model: nn.Module,
    transform: LossTransform,
    optimizer: optax.GradientTransformation,
    *,
    preprocess: Callable[[jax.Array], jax.Array] = as_float,
) -> Algorithm:
    """Trains `model` by the reduced terms of `transform`.

    Args:
      model: a Linen module, `model(inputs, train: bool) -> logits`; it may use a
        "dropout" stream and hold further variable collections.
      transform: a chain with a head.
      optimizer: any optax transformation.
      preprocess: applied to the inputs of every batch, in training and prediction.

    Returns:
      An `Algorithm` with the metrics "loss" and "accuracy" (the share of the batch
      whose arg-max equals its current label).
    """

    def init(key: jax.Array, sample_inputs: jax.Array, spec: ExampleSpec) -> TrainState:
        init_key, run_key = jax.random.split(key)
        variables = dict(model.init(init_key, preprocess(sample_inputs), train=False))
        params = variables.pop("params")
        return TrainState(
            params=params,
            model_state=variables,
            opt_state=optimizer.init(params),
            loss_state=transform.init(spec),
            key=run_key,
            epoch=jnp.int32(0),
            step=jnp.int32(0),
        )

    def objective(
        params: Any,
        state: TrainState,
        batch: transforms.Batch,
        key: jax.Array,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, tuple[TrainState, dict[str, jax.Array]]]:
        dropout_key, loss_key = jax.random.split(key)
        logits, changed = model.apply(
            {"params": params, **state.model_state},
            preprocess(batch["inputs"]),
            train=True,
            mutable=list(state.model_state),
            rngs={"dropout": dropout_key},
        )
        terms, loss_state = transform.update(
            transforms.start(batch),
            state.loss_state,
            batch,
            logits=logits,
            key=loss_key,
            step=state.step,
        )
        loss = transforms.reduce(terms, axis_name)
        right = jnp.argmax(logits, axis=-1) == batch["label"]
        counted = jnp.maximum(jnp.sum(terms.mask), 1)
        metrics = {"loss": loss, "accuracy": jnp.sum(right & terms.mask) / counted}
        state = state._replace(model_state=dict(changed), loss_state=loss_state)
        return loss, (state, metrics)

    def epoch(state: TrainState, losses: jax.Array | None) -> TrainState:
        extra = {} if losses is None else {"losses": losses}
        return state._replace(loss_state=transform.epoch(state.loss_state, **extra))

    def predict(params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        logits = model.apply(
            {"params": params, **model_state}, preprocess(inputs), train=False
        )
        return jnp.asarray(logits)

    return Algorithm(init, objective, epoch, predict, optimizer, transform.needs)
