"""The plain algorithm: a Linen classifier, a loss transform, an optimiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from robustjax import losses as losses_lib
from robustjax import transforms
from robustjax.training._forward import (
    apply_prediction,
    apply_training,
    as_float,
    init_variables,
)
from robustjax.training._state import (
    Algorithm,
    TrainData,
    TrainState,
    fresh_state,
)
from robustjax.transforms import ExampleSpec, LossTransform

Augment = Callable[[jax.Array, jax.Array], jax.Array]
"""`(key, inputs) -> inputs`, random changes of a batch."""

Preprocess = Callable[[jax.Array], jax.Array]
"""`inputs -> inputs`, applied to every batch, in training and prediction."""


def share_of(right: jax.Array, mask: jax.Array) -> jax.Array:
    """The share of (B,) truths among the rows of a mask; 0 for an empty one."""
    return jnp.sum(right & mask) / jnp.maximum(jnp.sum(mask), 1)


def unchanged(key: jax.Array, inputs: jax.Array) -> jax.Array:
    """The augmentation that does nothing."""
    del key
    return inputs


def supervised(
    model: nn.Module,
    transform: LossTransform,
    optimizer: optax.GradientTransformation,
    *,
    augment: Augment | None = None,
    strong: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Algorithm:
    """Trains `model` by the reduced terms of `transform`.

    Args:
      model: a Linen module, `model(inputs, train: bool) -> logits`; it may use a
        "dropout" stream, hold further variable collections, and take the `mask` of
        a padded batch.
      transform: a chain with a head.
      optimizer: any optax transformation.
      augment: `(key, inputs) -> inputs`, random changes in training; by default none.
      strong: a second view of every batch, for transforms that need `strong_logits`
        (`transforms.consistency`). Both views go through the network as one batch,
        so that BatchNorm sees both; the loss and the metrics are of the first.
      preprocess: applied after them, and in prediction; by default `as_float`.

    Returns:
      An `Algorithm` with the metrics "loss" and "accuracy" (the share of the batch
      whose arg-max equals its current label).

    Example:
      >>> import optax
      >>> import robustjax as rj
      >>> from robustjax import models, training
      >>> algorithm = training.supervised(
      ...     models.MLP(10, (16,)), rj.chain(rj.ce(), rj.elr()), optax.adam(1e-3)
      ... )
      >>> spec = rj.ExampleSpec(num_examples=100, num_classes=10)
      >>> execution = training.choose_execution(convolutional=False)
      >>> program = training.Program(
      ...     algorithm, spec, batch_size=25, execution=execution
      ... )
      >>> program.steps_per_epoch
      4
    """
    views = [augment or unchanged] + ([] if strong is None else [strong])

    def init(key: jax.Array, sample_inputs: jax.Array, spec: ExampleSpec) -> TrainState:
        init_key, run_key = jax.random.split(key)
        params, model_state = init_variables(model, init_key, preprocess(sample_inputs))
        return fresh_state(
            params, model_state, transform.init(spec), optimizer, run_key
        )

    def objective(
        params: Any,
        state: TrainState,
        batch: transforms.Batch,
        key: jax.Array,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, tuple[TrainState, dict[str, jax.Array]]]:
        dropout_key, loss_key, augment_key = jax.random.split(key, 3)
        view_keys = [augment_key] if strong is None else jax.random.split(augment_key)
        inputs = [
            preprocess(view(view_key, batch["inputs"]))
            for view, view_key in zip(views, view_keys)
        ]
        terms = transforms.start(batch)
        outputs, model_state = apply_training(
            model,
            params,
            state.model_state,
            jnp.concatenate(inputs),
            key=dropout_key,
            mask=jnp.tile(terms.mask, len(views)),
        )
        logits, *others = jnp.split(outputs, len(views))
        extra = {"strong_logits": others[0]} if others else {}
        terms, loss_state = transform.update(
            terms,
            state.loss_state,
            batch,
            logits=logits,
            key=loss_key,
            step=state.step,
            axis_name=axis_name,
            **extra,
        )
        loss = transforms.reduce(terms, axis_name)
        right = jnp.argmax(logits, axis=-1) == batch["label"]
        metrics = {"loss": loss, "accuracy": share_of(right, terms.mask)}
        return loss, (
            state._replace(model_state=model_state, loss_state=loss_state),
            metrics,
        )

    def epoch(state: TrainState, data: TrainData, logits: Any) -> TrainState:
        extra = {}
        if logits is not None:
            extra["losses"] = losses_lib.cross_entropy(logits, data.labels)
        return state._replace(loss_state=transform.epoch(state.loss_state, **extra))

    def predict(params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        return apply_prediction(model, params, model_state, preprocess(inputs))

    return Algorithm(
        init,
        objective,
        epoch,
        predict,
        optimizer,
        evaluate=predict if "losses" in transform.needs else None,
    )
