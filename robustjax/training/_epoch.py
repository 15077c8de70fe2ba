"""The pure step, the epoch as one scan, and evaluation in blocks."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from robustjax.training._state import Algorithm, TrainData, TrainState
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


def read_batch(
    data: TrainData,
    index: jax.Array,
    num_examples: int,
    inputs: jax.Array | None = None,
) -> Batch:
    """Gathers the rows of a batch; padding repeats the last row, masked out.

    Args:
      data: of one repeat.
      index: (B, ...) int32; anything from `num_examples` on is padding.
      num_examples: N.
      inputs: (B, ...) of these rows where `data` has none.
    """

    def read(array: jax.Array) -> jax.Array:
        return array.at[index].get(mode="clip")

    return {
        **{name: read(array) for name, array in data.extras.items()},
        "index": index,
        "mask": index < num_examples,
        "label": read(data.labels),
        "inputs": read(data.inputs) if inputs is None else inputs,
    }


def _averaged(collections: Any, axis_name: str) -> Any:
    """Floats as their mean over the devices; counts are the same on all."""

    def mean(leaf: jax.Array) -> jax.Array:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        return jax.lax.pmean(leaf, axis_name)

    return jax.tree.map(mean, collections)


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
      axis_name: the device axis under `jax.pmap` or `jax.shard_map`. Every device
        then holds the whole state, and all hold the same one after the step: running
        statistics of a model are averaged over the devices. Metrics other than the
        loss may be of the device's own examples.

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
        state = state._replace(model_state=_averaged(state.model_state, axis_name))
    updates, opt_state = algorithm.optimizer.update(
        gradient, state.opt_state, state.params
    )
    state = state._replace(
        params=optax.apply_updates(state.params, updates),
        opt_state=opt_state,
        step=state.step + 1,
    )
    if algorithm.after_step is not None:
        state = algorithm.after_step(state)
    return state, metrics


def in_blocks(
    function: Any, inputs: jax.Array, block_size: int, shards: int = 1
) -> Any:
    """Applies a function to all rows, a block at a time, keeping rows on their shard.

    Args:
      function: `(B, ...) -> pytree of (B, ...)`, row by row.
      inputs: (N, ...), N a multiple of `shards`, laid out in `shards` equal parts.
      block_size: rows per block, over all shards.
      shards: the number of devices that hold equal parts of the rows.

    Returns:
      The function's pytree, leaves (N, ...).
    """
    rows = inputs.shape[0]
    per_shard = rows // shards
    per_block = max(1, min(block_size // shards, per_shard))
    padding = -per_shard % per_block
    parts = inputs.reshape(shards, per_shard, *inputs.shape[1:])
    parts = jnp.pad(parts, [(0, 0), (0, padding)] + [(0, 0)] * (inputs.ndim - 1))
    blocks = parts.reshape(shards, -1, per_block, *inputs.shape[1:])
    blocks = jnp.moveaxis(blocks, 1, 0)

    def one(block: jax.Array) -> Any:
        flat = block.reshape(shards * per_block, *inputs.shape[1:])
        return jax.tree.map(
            lambda out: out.reshape(shards, per_block, *out.shape[1:]), function(flat)
        )

    def join(out: jax.Array) -> jax.Array:
        out = jnp.moveaxis(out, 0, 1)
        out = out.reshape(shards, per_shard + padding, *out.shape[3:])
        return out[:, :per_shard].reshape(rows, *out.shape[2:])

    return jax.tree.map(join, jax.lax.map(one, blocks))


def end_epoch(
    algorithm: Algorithm,
    state: TrainState,
    data: TrainData,
    *,
    block_size: int,
    shards: int = 1,
) -> TrainState:
    """Closes an epoch: the evaluation pass if the method needs one, then its rule."""
    outputs, evaluate = None, algorithm.evaluate
    if evaluate is not None:
        outputs = in_blocks(
            lambda inputs: evaluate(state.params, state.model_state, inputs),
            data.inputs,
            block_size,
            shards,
        )
    return close_epoch(algorithm, state, data, outputs)


def close_epoch(
    algorithm: Algorithm, state: TrainState, data: TrainData, outputs: Any
) -> TrainState:
    """Closes an epoch of which the method's outputs are known, or not needed."""
    state = algorithm.epoch(state, data, outputs)
    return state._replace(epoch=state.epoch + 1)
