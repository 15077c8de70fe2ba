"""Networks that are trained together, stacked along a leading axis of two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from robustjax.training import (
    TrainState,
    apply_prediction,
    apply_training,
    init_variables,
)
from robustjax.training._epoch import epoch_order

NETWORKS = 2


def init_networks(
    model: nn.Module, key: jax.Array, inputs: jax.Array
) -> tuple[Any, dict[str, Any]]:
    """Two networks with weights of their own.

    Args:
      model: a Linen classifier.
      key: PRNG key.
      inputs: (1, ...) floats that give the shape.

    Returns:
      (parameters, further variable collections), leaves (2, ...).
    """
    keys = jax.random.split(key, NETWORKS)
    return jax.vmap(lambda k: init_variables(model, k, inputs))(keys)


def network(tree: Any, number: int) -> Any:
    """One network's part of a stacked pytree."""
    return jax.tree.map(lambda leaf: leaf[number], tree)


def stack(trees: list[Any]) -> Any:
    """The stacked pytree of one part per network."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def each_network(function: Callable[..., Any], *trees: Any) -> Any:
    """Applies a function to each network's part of stacked pytrees.

    Written out rather than mapped: a convolution mapped over its kernels becomes a
    grouped one, which is slower, or on CPU a batched product.

    Args:
      function: of as many arguments as there are trees.
      *trees: leaves (2, ...).

    Returns:
      The function's results, stacked.
    """
    parts = [[network(tree, i) for tree in trees] for i in range(NETWORKS)]
    return stack([function(*part) for part in parts])


def own_orders(
    key: jax.Array,
    state: TrainState,
    num_examples: int,
    batch_size: int,
    padding_index: int,
) -> jax.Array:
    """An `Algorithm.order` (S, B, 2): of all examples, in an order per network."""
    del state
    orders = [
        epoch_order(own, num_examples, batch_size, padding_index)
        for own in jax.random.split(key, NETWORKS)
    ]
    return jnp.stack(orders, axis=-1)


def train_networks_alike(
    model: nn.Module,
    params: Any,
    model_state: Any,
    inputs: jax.Array,
    mask: jax.Array,
    key: jax.Array,
) -> tuple[jax.Array, Any]:
    """Logits of both networks in training mode, on the same rows.

    Args:
      model: a Linen classifier.
      params: leaves (2, ...).
      model_state: leaves (2, ...).
      inputs: (B, ...) floats.
      mask: (B,) bool, False on padding.
      key: PRNG key; the networks have a dropout of their own.

    Returns:
      (2, B, C), and the changed collections, leaves (2, ...).
    """

    def one(params: Any, model_state: Any, key: jax.Array) -> Any:
        return apply_training(model, params, model_state, inputs, key=key, mask=mask)

    keys = jax.random.split(key)
    found: tuple[jax.Array, Any] = each_network(one, params, model_state, keys)
    return found


def train_networks(
    model: nn.Module,
    params: Any,
    model_state: Mapping[str, Any],
    inputs: jax.Array,
    mask: jax.Array,
    keys: jax.Array,
) -> tuple[jax.Array, dict[str, Any]]:
    """Logits of both networks in training mode, each of its own rows.

    Args:
      model: a Linen classifier.
      params: leaves (2, ...).
      model_state: leaves (2, ...).
      inputs: (2, B, ...) floats.
      mask: (2, B) bool, False on padding.
      keys: (2,) PRNG keys, of dropout.

    Returns:
      (2, B, C), and the changed collections, leaves (2, ...).
    """

    def one(params: Any, model_state: Any, *rows: jax.Array) -> tuple[Any, Any]:
        inputs, mask, key = rows
        return apply_training(model, params, model_state, inputs, key=key, mask=mask)

    found: tuple[jax.Array, dict[str, Any]] = each_network(
        one, params, dict(model_state), inputs, mask, keys
    )
    return found


def predict_networks(
    model: nn.Module, params: Any, model_state: Mapping[str, Any], inputs: jax.Array
) -> jax.Array:
    """Logits of both networks in prediction mode, (B, 2, C).

    Args:
      model: a Linen classifier.
      params: leaves (2, ...).
      model_state: leaves (2, ...).
      inputs: (B, ...) floats.
    """

    def one(params: Any, model_state: Any) -> jax.Array:
        return apply_prediction(model, params, model_state, inputs)

    return jnp.moveaxis(each_network(one, params, dict(model_state)), 0, 1)
