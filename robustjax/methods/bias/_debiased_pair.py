"""A biased and a debiased network, trained side by side from the first step."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from robustjax import losses, transforms
from robustjax.methods._two_networks import (
    init_networks,
    network,
    predict_networks,
    train_networks_alike,
)
from robustjax.training import (
    Algorithm,
    TrainData,
    TrainState,
    apply_prediction,
    as_float,
    fresh_state,
)
from robustjax.training._supervised import Augment, Preprocess, share_of
from robustjax.transforms import ExampleSpec, LossState, LossTransform

BIASED, DEBIASED = 0, 1
"""The places of the two networks along the leading axis of all parameters."""


def debiased_pair(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    biased: LossTransform,
    debiased: LossTransform,
    *,
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Algorithm:
    """Two networks of one architecture on the same batches, each with its own loss.

    The second one's transform is given the first one's logits as `biased_logits`, so
    `debiased` may be `chain(relative_difficulty(), …, ce(), …)` with whatever else a
    chain can hold: `clean_probability` or `elr` against wrong labels, say. Both see the
    same random changes of the inputs, and have initial weights and dropout of their
    own.

    Args:
      model: a Linen classifier; parameters and further collections are stacked along a
        leading axis of two, biased and debiased.
      optimizer: elementwise, such as Adam or SGD.
      biased: the first network's loss, a chain with a head.
      debiased: the second one's.
      augment: `(key, inputs) -> inputs`, or None.
      preprocess: applied after it, and in prediction.

    Returns:
      An `Algorithm` whose `predict` is that of the debiased network. Metrics: "loss",
      "accuracy" (both of the debiased network, on the batch's own labels),
      "biased_loss", "biased_accuracy" and "weight", the mean weight of the batch's
      examples in the debiased network's loss.
    """
    parts = {"biased": biased, "debiased": debiased}

    def init(key: jax.Array, sample_inputs: jax.Array, spec: ExampleSpec) -> TrainState:
        init_key, run_key = jax.random.split(key)
        params, model_state = init_networks(model, init_key, preprocess(sample_inputs))
        states = {name: part.init(spec) for name, part in parts.items()}
        memory = LossState(
            rows={name: state.rows for name, state in states.items()},
            shared={name: state.shared for name, state in states.items()},
        )
        return fresh_state(params, model_state, memory, optimizer, run_key)

    def own(memory: LossState, name: str) -> LossState:
        return LossState(memory.rows[name], memory.shared[name])

    def objective(
        params: Any,
        state: TrainState,
        batch: transforms.Batch,
        key: jax.Array,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, tuple[TrainState, dict[str, jax.Array]]]:
        augment_key, network_key, loss_key = jax.random.split(key, 3)
        inputs = batch["inputs"]
        if augment is not None:
            inputs = augment(augment_key, inputs)
        inputs = preprocess(inputs)
        start = transforms.start(batch)

        logits, model_state = train_networks_alike(
            model, params, state.model_state, inputs, start.mask, network_key
        )
        extra = {"biased_logits": jax.lax.stop_gradient(logits[BIASED])}
        totals, rows, shared, weight = [], {}, {}, start.weight
        for place, (name, part) in enumerate(parts.items()):
            terms, new = part.update(
                start,
                own(state.loss_state, name),
                batch,
                logits=logits[place],
                key=jax.random.fold_in(loss_key, place),
                step=state.step,
                axis_name=axis_name,
                **(extra if place == DEBIASED else {}),
            )
            totals.append(transforms.reduce(terms, axis_name))
            rows[name], shared[name], weight = new.rows, new.shared, terms.weight
        right = jnp.argmax(logits, axis=-1) == batch["label"][None]
        real = jnp.maximum(jnp.sum(start.mask), 1)
        metrics = {
            "loss": totals[DEBIASED],
            "accuracy": share_of(right[DEBIASED], start.mask),
            "biased_loss": totals[BIASED],
            "biased_accuracy": share_of(right[BIASED], start.mask),
            "weight": jnp.sum(jnp.where(start.mask, weight, 0.0)) / real,
        }
        state = state._replace(
            model_state=model_state, loss_state=LossState(rows, shared)
        )
        return totals[BIASED] + totals[DEBIASED], (state, metrics)

    def evaluate(params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        return predict_networks(model, params, model_state, preprocess(inputs))

    def epoch(state: TrainState, data: TrainData, logits: Any) -> TrainState:
        rows, shared = {}, {}
        for place, (name, part) in enumerate(parts.items()):
            extra = {}
            if logits is not None:
                extra["losses"] = losses.cross_entropy(logits[:, place], data.labels)
            new = part.epoch(own(state.loss_state, name), **extra)
            rows[name], shared[name] = new.rows, new.shared
        return state._replace(loss_state=LossState(rows, shared))

    def predict(params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        one, collections = network(params, DEBIASED), network(model_state, DEBIASED)
        return apply_prediction(model, one, collections, preprocess(inputs))

    wants = any("losses" in part.needs for part in parts.values())
    return Algorithm(
        init,
        objective,
        epoch,
        predict,
        optimizer,
        evaluate=evaluate if wants else None,
    )
