"""Fine-tuning as an algorithm that the trainer runs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from robustjax import transforms
from robustjax.models import language
from robustjax.training._epoch import in_blocks
from robustjax.training._state import Algorithm, TrainData, TrainState, fresh_state
from robustjax.training.language._objective import Objective
from robustjax.training.language._text_losses import (
    Weights,
    sequence_logits,
    targets_of,
    text_losses,
    token_logits,
)
from robustjax.transforms import ExampleSpec

FROZEN = "frozen"


def fine_tuning(
    model: language.LanguageModel,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    *,
    text_spec: ExampleSpec,
    rows: int,
    segments: int,
    lora: language.Lora | None = None,
    residual_dropout: float = 0.0,
    shards: int = 1,
) -> Algorithm:
    """An algorithm over stacked `TokenRows`, with `texts` among the extras.

    Args:
      model: where training begins.
      objective: what is minimised.
      optimizer: of the trained part.
      text_spec: of the transform: examples are texts, not rows.
      rows: N.
      segments: S, the most texts of a row.
      lora: adapters that are trained alone; None trains all weights.
      residual_dropout: see `language.hidden_states`.
      shards: the number of devices that hold equal parts of a batch.

    Returns:
      An `Algorithm` whose `init` looks at no inputs, with the metrics "loss" and
      "answer_loss", the mean over answer tokens of the negative log-likelihood.
    """
    scale = 1.0 if lora is None else lora.scale
    config, transform = model.config, objective.transform

    def init(key: jax.Array, sample_inputs: Any, spec: ExampleSpec) -> TrainState:
        del sample_inputs, spec
        adapter_key, run_key = jax.random.split(key)
        trained, frozen = model.params, {}
        if lora is not None:
            trained = language.init_adapters(model.params, lora, adapter_key)
            frozen = {FROZEN: model.params}
        memory = transform.init(text_spec)
        return fresh_state(trained, frozen, memory, optimizer, run_key)

    def weights_of(params: Any, model_state: Any) -> Weights:
        if lora is None:
            return Weights(config, params)
        return Weights(config, model_state[FROZEN], params, scale)

    def forward(weights: Weights, inputs: jax.Array, key: jax.Array) -> Any:
        """Of rows, and of their numbers, which make their dropout their own."""

        def of_rows(numbered: jax.Array) -> Any:
            options: dict[str, Any] = {"dtype": objective.dtype}
            options["remat"] = objective.remat
            if residual_dropout:
                number = numbered[0, -1, 0]
                options["key"] = jax.random.fold_in(key, number)
                options["residual_dropout"] = residual_dropout
            given = numbered[:, :3]
            if objective.form == "tokens":
                return token_logits(weights, given, **options)
            return text_losses(weights, given, segments, **options)

        batch = inputs.shape[0]
        numbers = jnp.arange(batch, dtype=inputs.dtype)[:, None, None]
        numbers = jnp.broadcast_to(numbers, (batch, 1, inputs.shape[2]))
        numbered = jnp.concatenate([inputs, numbers], axis=1)
        if objective.rows_at_once is None or objective.rows_at_once >= batch:
            return of_rows(numbered)
        # Without, the activations of all parts would be kept until the gradient.
        return in_blocks(
            jax.checkpoint(of_rows), numbered, objective.rows_at_once, shards
        )

    def minimised(
        params: Any,
        state: TrainState,
        batch: transforms.Batch,
        key: jax.Array,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, tuple[TrainState, dict[str, jax.Array]]]:
        dropout_key, loss_key = jax.random.split(key)
        found = forward(
            weights_of(params, state.model_state), batch["inputs"], dropout_key
        )
        texts = batch["texts"]
        real = (texts >= 0) & batch["mask"][:, None]
        seen: dict[str, Any] = {"index": texts.reshape(-1), "key": loss_key}
        if objective.form == "tokens":
            logits, (targets, counted) = found, targets_of(batch["inputs"])
            counted = counted & real
            seen |= {"label": targets, "mask": counted}
        else:
            sums, counts = (part.reshape(-1) for part in found)
            counted = real.reshape(-1) & (counts > 0)
            logits = sequence_logits(sums / jnp.maximum(counts, 1))
            seen |= {"label": jnp.zeros(texts.size, jnp.int32), "mask": counted}
        per_text = objective.average == "texts"
        terms = transforms.start(seen, per_example=per_text)
        terms, memory = transform.update(
            terms,
            state.loss_state,
            seen,
            logits=logits,
            key=loss_key,
            step=state.step,
            axis_name=axis_name,
        )
        if objective.form == "texts" and not per_text:
            # A text counts as often as it has tokens.
            length = jnp.arange(batch["inputs"].shape[2])
            terms = terms.replace(positions=length[None] < counts[:, None])
        loss = transforms.reduce(terms, axis_name)
        if objective.form == "tokens":
            plain = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
            total, count = jnp.where(counted, plain, 0.0), counted
        else:
            total, count = jnp.where(counted, sums, 0.0), jnp.where(counted, counts, 0)
        answer_loss = jnp.sum(total) / jnp.maximum(jnp.sum(count), 1)
        metrics = {"loss": loss, "answer_loss": answer_loss}
        return loss, (state._replace(loss_state=memory), metrics)

    def evaluate(params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        sums, counts = text_losses(
            weights_of(params, model_state), inputs, segments, dtype=objective.dtype
        )
        return sums / jnp.maximum(counts, 1)

    def epoch(state: TrainState, data: TrainData, outputs: Any) -> TrainState:
        extra = {}
        if outputs is not None:
            texts = data.extras["texts"]
            real = (texts >= 0) & (jnp.arange(texts.shape[0]) < rows)[:, None]
            size = text_spec.padded_examples
            index = jnp.where(real, texts, size)
            extra["losses"] = (
                jnp.zeros(size).at[index].set(outputs, mode="drop").astype(jnp.float32)
            )
        return state._replace(loss_state=transform.epoch(state.loss_state, **extra))

    return Algorithm(
        init,
        minimised,
        epoch,
        evaluate,
        optimizer,
        evaluate=evaluate if "losses" in transform.needs else None,
        row_spec=text_spec,
    )
