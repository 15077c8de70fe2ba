"""Patches of images where a network looks, drawn by its class activation maps."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.scores._localization import class_activation_map
from robustjax.training import apply_prediction


class PatchPlan(NamedTuple):
    """Which patches are cut.

    Attributes:
      per_image: patches of every image.
      size: pixels a side, after resampling.
      smallest: a patch's side before it, as a share of the image's.
      largest: the same, at most 1.
      temperature: of the positions' distribution, > 0.
    """

    per_image: int = 8
    size: int = 16
    smallest: float = 0.25
    largest: float = 0.5
    temperature: float = 1.0


def check_plan(plan: PatchPlan) -> None:
    """Raises `ValueError` for a number outside its range."""
    checks.at_least("per_image", plan.per_image, 1)
    checks.at_least("size", plan.size, 2)
    checks.in_range("largest", plan.largest, 0, 1, low_open=True)
    checks.in_range("smallest", plan.smallest, 0, plan.largest, low_open=True)
    checks.in_range("temperature", plan.temperature, 0, low_open=True)


def check_cam(model: nn.Module) -> None:
    """Raises `ValueError` unless a network has maps before a global average."""
    if not callable(getattr(type(model), "feature_map", None)):
        raise ValueError(
            f"model: got {type(model).__name__}, which has no class activation maps, "
            "expected a convolutional network with a method 'feature_map'"
        )


def label_maps(
    model: nn.Module, params: Any, model_state: Any, inputs: jax.Array, labels: Any
) -> jax.Array:
    """Class activation maps of the given labels, in prediction mode.

    Args:
      model: with a method `feature_map`, its global average, and a linear `head`.
      params: its parameters.
      model_state: its further collections.
      inputs: (B, H, W, channels), preprocessed.
      labels: (B,) integers.

    Returns:
      (B, H, W), bilinearly enlarged; their mean over the small map, and the head's
      bias, is the label's logit.

    Raises:
      ValueError: a head that is not on the map's own channels.
    """
    maps = apply_prediction(model, params, model_state, inputs, method="feature_map")
    kernel = params["head"]["kernel"]
    if kernel.shape[0] != maps.shape[-1]:
        raise ValueError(
            f"model: got a head of {kernel.shape[0]} inputs behind maps of "
            f"{maps.shape[-1]} channels, expected a global average and no hidden layer"
        )
    found = class_activation_map(maps, kernel, labels)
    return jax.image.resize(found, inputs.shape[:3], "bilinear")


def draw_centres(
    key: jax.Array, maps: jax.Array, count: int, temperature: float = 1.0
) -> jax.Array:
    """Positions drawn from the softmax over all positions of a map.

    Args:
      key: PRNG key.
      maps: (B, H, W) floats.
      count: K.
      temperature: what maps are divided by, > 0; the raw scale is nearly certain of
        one position where activations are large.

    Returns:
      (B, K, 2) int32, row and column.
    """
    batch, height, width = maps.shape
    flat = maps.reshape(batch, 1, height * width) / temperature
    place = jax.random.categorical(key, flat, axis=-1, shape=(batch, count))
    return jnp.stack([place // width, place % width], axis=-1).astype(jnp.int32)


def cut_patches(
    key: jax.Array, images: jax.Array, centres: jax.Array, plan: PatchPlan
) -> jax.Array:
    """Patches around centres, of random height and width, perhaps mirrored.

    Windows that would leave the image are shifted back into it.

    Args:
      key: PRNG key of sizes and mirroring.
      images: (B, H, W, C) floats.
      centres: (B, K, 2) integers.
      plan: see `PatchPlan`.

    Returns:
      (B, K, size, size, C), bilinear.
    """
    shape = centres.shape[:2]
    row_key, column_key, flip_key = jax.random.split(key, 3)
    flip = jax.random.bernoulli(flip_key, shape=shape)
    weights = []
    for axis, size_key in enumerate((row_key, column_key)):
        length = images.shape[1 + axis]
        share = jax.random.uniform(
            size_key, shape, minval=plan.smallest, maxval=plan.largest
        )
        # Of pixel centres: a window of n pixels spans n - 1.
        span = jnp.maximum(share * length - 1, 0)
        middle = centres[..., axis].astype(jnp.float32)
        start = jnp.clip(middle - span / 2, 0, length - 1 - span)
        steps = jnp.linspace(0.0, 1.0, plan.size)[None, None]
        if axis == 1:
            steps = jnp.where(flip[..., None], 1 - steps, steps)
        position = start[..., None] + span[..., None] * steps
        grid = jnp.arange(length, dtype=jnp.float32)
        distance = jnp.abs(position[..., None] - grid[None, None, None])
        weights.append(jnp.maximum(1 - distance, 0))
    rows, columns = weights
    return jnp.einsum("bkph,bkqw,bhwc->bkpqc", rows, columns, images)
