"""The pure step, the epoch as one scan, and evaluation in blocks."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from robustjax import losses as losses_lib
from robustjax.training.state import Algorithm, TrainData, TrainState
from robustjax.transforms import Batch


def epoch_order(
    key: jax.Array, num_examples: int, batch_size: int, padding_index: int
) -> jax.Array:
    """A random order of all examples in batches; the last one is padded.

    Args:
      key: PRNG key.
      num_examples: N.
      batch_size: B.
      padding_index: stands for "no example".

    Returns:
      (ceil(N / B), B) int32.
    """
    order = jax.random.permutation(key, num_examples)
    padding = -num_examples % batch_size
    order = jnp.pad(order, (0, padding), constant_values=padding_index)
    return order.reshape(-1, batch_size).astype(jnp.int32)


def read_batch(data: TrainData, index: jax.Array, num_examples: int) -> Batch:
    """Gathers the rows of a batch; padding repeats the last row, masked out.

    Args:
      data: of one repeat.
      index: (B,) int32; anything from `num_examples` on is padding.
      num_examples: N.
    """

    def read(array: jax.Array) -> jax.Array:
        return array.at[index].get(mode="clip")

    return {
        **{name: read(array) for name, array in data.extras.items()},
        "index": index,
        "mask": index < num_examples,
        "label": read(data.labels),
        "inputs": read(data.inputs),
    }


def train_step(
    algorithm: Algorithm,
    state: TrainState,
    batch: Batch,
    axis_name: str | None = None,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One gradient step; pure, and usable under `jit`, `scan`, `vmap` and `pmap`.

    Args:
      algorithm: what to train.
      state: before the step.
      batch: see `read_batch`.
      axis_name: the device axis under `jax.pmap` or `jax.shard_map`. Each device
        must then hold the rows of its own examples.

    Returns:
      The state after the step, and scalar metrics.
    """
    key = jax.random.fold_in(state.key, state.step)
    gradient_of = jax.grad(algorithm.objective, has_aux=True)
    gradient, (state, metrics) = gradient_of(state.params, state, batch, key, axis_name)
    if axis_name is not None:
        # See `transforms.reduce`: completes the gradient under pmap, and does
        # nothing under shard_map.
        gradient = jax.lax.pmean(gradient, axis_name)
    updates, opt_state = algorithm.optimizer.update(
        gradient, state.opt_state, state.params
    )
    state = state._replace(
        params=optax.apply_updates(state.params, updates),
        opt_state=opt_state,
        step=state.step + 1,
    )
    return state, metrics


def in_blocks(
    function: Any, inputs: jax.Array, block_size: int, shards: int = 1
) -> jax.Array:
    """Applies a function to all rows, a block at a time, keeping rows on their shard.

    Args:
      function: `(B, ...) -> (B, ...)`, row by row.
      inputs: (N, ...), N a multiple of `shards`, laid out in `shards` equal parts.
      block_size: rows per block, over all shards.
      shards: the number of devices that hold equal parts of the rows.

    Returns:
      (N, ...).
    """
    rows = inputs.shape[0]
    per_shard = rows // shards
    per_block = max(1, min(block_size // shards, per_shard))
    padding = -per_shard % per_block
    parts = inputs.reshape(shards, per_shard, *inputs.shape[1:])
    parts = jnp.pad(parts, [(0, 0), (0, padding)] + [(0, 0)] * (inputs.ndim - 1))
    blocks = parts.reshape(shards, -1, per_block, *inputs.shape[1:])
    blocks = jnp.moveaxis(blocks, 1, 0)

    def one(block: jax.Array) -> jax.Array:
        flat = block.reshape(shards * per_block, *inputs.shape[1:])
        out = function(flat)
        return out.reshape(shards, per_block, *out.shape[1:])

    outputs = jnp.moveaxis(jax.lax.map(one, blocks), 0, 1)
    outputs = outputs.reshape(shards, per_shard + padding, *outputs.shape[3:])
    return outputs[:, :per_shard].reshape(rows, *outputs.shape[2:])


def example_losses(
    algorithm: Algorithm,
    state: TrainState,
    data: TrainData,
    *,
    block_size: int,
    shards: int = 1,
) -> jax.Array:
    """The cross-entropy of every example under its current label, in nats.

    Returns:
      (N_padded,) float32; padding holds whatever its rows give.
    """
    logits = in_blocks(
        lambda inputs: algorithm.predict(state.params, state.model_state, inputs),
        data.inputs,
        block_size,
        shards,
    )
    return losses_lib.cross_entropy(logits, data.labels)


def end_epoch(
    algorithm: Algorithm,
    state: TrainState,
    data: TrainData,
    *,
    block_size: int,
    shards: int = 1,
) -> TrainState:
    """Closes an epoch: the evaluation pass if the method needs one, then its rule."""
    losses = None
    if "losses" in algorithm.needs:
        losses = example_losses(
            algorithm, state, data, block_size=block_size, shards=shards
        )
    state = algorithm.epoch(state, losses)
    return state._replace(epoch=state.epoch + 1)
