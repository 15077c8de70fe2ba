"""Applying a Linen classifier in training and in prediction."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

# Random streams that a classifier may draw from while it trains.
_STREAMS = ("dropout", "heteroscedastic")


def as_float(inputs: jax.Array) -> jax.Array:
    """Floats as they are, 8-bit images scaled to [0, 1].

    Images stay 8-bit on the device: a batch of them is a quarter of the traffic.
    """
    if inputs.dtype == jnp.uint8:
        return inputs.astype(jnp.float32) / 255.0
    return inputs.astype(jnp.float32)


def apply_training(
    model: nn.Module,
    params: Any,
    model_state: Mapping[str, Any],
    inputs: jax.Array,
    *,
    key: jax.Array,
    mask: jax.Array | None = None,
    method: str | Callable[..., Any] | None = None,
) -> tuple[Any, dict[str, Any]]:
    """The network in training mode.

    Args:
      model: `model(inputs, train: bool) -> logits`; if it takes a `mask`, too, it is
        given one, so that BatchNorm can leave padding out.
      params: parameters.
      model_state: further variable collections, all of them mutable.
      inputs: (B, ...) floats.
      key: for dropout and the like.
      mask: (B,) bool, False on padding.
      method: another method of the model than its call, or a function of the module
        and these arguments.

    Returns:
      (its outputs, the changed collections).
    """
    if method is None or isinstance(method, str):
        function = getattr(type(model), method or "__call__")
    else:
        function = method
    takes_mask = "mask" in inspect.signature(function).parameters
    options: dict[str, Any] = {"mask": mask} if takes_mask else {}
    keys = jax.random.split(key, len(_STREAMS))
    outputs, changed = model.apply(
        {"params": params, **model_state},
        inputs,
        train=True,
        mutable=list(model_state),
        rngs=dict(zip(_STREAMS, keys)),
        method=method,
        **options,
    )
    return outputs, dict(changed)


def apply_prediction(
    model: nn.Module,
    params: Any,
    model_state: Mapping[str, Any],
    inputs: jax.Array,
    *,
    method: str | None = None,
) -> jax.Array:
    """The network in prediction mode; see `apply_training`."""
    variables = {"params": params, **model_state}
    return jnp.asarray(model.apply(variables, inputs, train=False, method=method))


def init_variables(
    model: nn.Module, key: jax.Array, inputs: jax.Array
) -> tuple[Any, dict[str, Any]]:
    """Fresh (parameters, further variable collections) of a model."""
    variables = dict(model.init(key, inputs, train=False))
    return variables.pop("params"), variables
