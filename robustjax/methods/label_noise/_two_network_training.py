"""What methods that train two networks on the same batches have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from robustjax import transforms
from robustjax.methods._two_networks import (
    init_networks,
    network,
    train_networks_alike,
)
from robustjax.training import (
    Algorithm,
    TrainState,
    apply_prediction,
    fresh_state,
    no_epoch,
)
from robustjax.training._supervised import Augment, Preprocess, share_of
from robustjax.transforms import ExampleSpec, LossState, Terms

Criterion = Callable[
    [jax.Array, Terms, jax.Array, str | None], tuple[jax.Array, jax.Array]
]
"""`(logits (2, B, C), terms, epoch, axis_name) -> (losses (K,), weights (K, B))`: the
losses whose sum is descended, and which examples each of them counted. Epochs are
counted from 1."""


def trained_together(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    criterion: Criterion,
    *,
    augment: Augment | None,
    preprocess: Preprocess,
) -> Algorithm:
    """Two networks of one architecture that see the same batches.

    Both see the same random changes of the inputs, and have initial weights and
    dropout of their own.

    Args:
      model: a Linen classifier; parameters and further collections are stacked along
        a leading axis of two.
      optimizer: elementwise, such as Adam or SGD.
      criterion: see `Criterion`.
      augment: `(key, inputs) -> inputs`, or None.
      preprocess: applied after it, and in prediction.

    Returns:
      An `Algorithm` whose `predict` is that of network 1. Metrics: "loss" (the mean
      of the criterion's losses), "accuracy" (of network 1) and "kept" (the mean
      weight of the batch's examples).
    """

    def init(key: jax.Array, sample_inputs: jax.Array, spec: ExampleSpec) -> TrainState:
        del spec
        init_key, run_key = jax.random.split(key)
        params, model_state = init_networks(model, init_key, preprocess(sample_inputs))
        nothing = LossState(rows={}, shared={})
        return fresh_state(params, model_state, nothing, optimizer, run_key)

    def objective(
        params: Any,
        state: TrainState,
        batch: transforms.Batch,
        key: jax.Array,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, tuple[TrainState, dict[str, jax.Array]]]:
        augment_key, network_key = jax.random.split(key)
        inputs = batch["inputs"]
        if augment is not None:
            inputs = augment(augment_key, inputs)
        inputs = preprocess(inputs)
        terms = transforms.start(batch)

        logits, model_state = train_networks_alike(
            model, params, state.model_state, inputs, terms.mask, network_key
        )
        values, weights = criterion(logits, terms, state.epoch + 1, axis_name)
        right = jnp.argmax(logits[0], axis=-1) == batch["label"]
        real = jnp.maximum(jnp.sum(terms.mask), 1)
        metrics = {
            "loss": jnp.mean(values),
            "accuracy": share_of(right, terms.mask),
            "kept": jnp.sum(weights) / (weights.shape[0] * real),
        }
        return jnp.sum(values), (state._replace(model_state=model_state), metrics)

    def predict(params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        first, collections = network(params, 0), network(model_state, 0)
        return apply_prediction(model, first, collections, preprocess(inputs))

    return Algorithm(init, objective, no_epoch, predict, optimizer)
