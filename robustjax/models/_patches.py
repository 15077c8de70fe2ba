"""Convolution whose forward and backward passes are matrix products on CPU.

XLA's CPU compiler hands a convolution to its matrix-product library when it is in
the canonical layout (NHWC, HWIO, no dilation). The derivatives that it makes itself
are not in that layout, and inside a loop they become scalar code: the derivative by
the kernel is then hundreds of times slower. Here each pass is written as something
that is fast, in a loop over blocks of the batch:

* 3×3 and stride 1, between enough channels: with fewer products, see `_winograd`;
* outputs: a canonical convolution;
* by the inputs: a canonical convolution with the kernel turned round, or, with
  strides, a product with the transposed kernel whose taps are added up in place;
* by the kernel: a canonical convolution in which channels and batch change places,
  or a product with extracted patches where that does not apply.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from robustjax.models import _winograd
from robustjax.models._blocks import map_blocks, num_blocks, sum_blocks
from robustjax.models._window import Window

# Patches per block of the batch, which should stay in the cache. A convolution makes
# them piece by piece itself, and can do with larger blocks.
_BLOCK_BYTES, _CONVOLVED_BYTES = 5 * 2**19, 2**23
# From here on the library divides a convolution among cores by output channel.
_MANY_CHANNELS = 128
# With fewer input channels the exchanged convolution is a product with few rows.
_MIN_EXCHANGED_CHANNELS = 8
_LAYOUT = ("NHWC", "HWIO", "NHWC")


def extract(inputs: jax.Array, window: Window) -> jax.Array:
    """Patches (B, H', W', k_h k_w C) of inputs (B, H, W, C), tap by tap."""
    batch, _, _, channels = inputs.shape
    padded = jnp.pad(inputs, ((0, 0), *window.padding, (0, 0)))
    (high, wide), (step_h, step_w) = window.out, window.strides
    taps = [
        lax.slice(
            padded,
            (0, i, j, 0),
            (
                batch,
                i + (high - 1) * step_h + 1,
                j + (wide - 1) * step_w + 1,
                channels,
            ),
            (1, step_h, step_w, 1),
        )
        for i, j in window.taps
    ]
    return jnp.concatenate(taps, axis=-1)


def fold(patches: jax.Array, window: Window) -> jax.Array:
    """The transpose of `extract`: adds patches up where they overlap.

    Args:
      patches: (B, H', W', k_h k_w C).
      window: of the convolution.

    Returns:
      (B, H, W, C).
    """
    channels = patches.shape[-1] // len(window.taps)
    total = None
    for number, offsets in enumerate(window.taps):
        tap = patches[..., number * channels : (number + 1) * channels]
        edges = [(0, 0, 0)]
        for offset, n, out, s, (low, _) in zip(
            offsets, window.size, window.out, window.strides, window.padding
        ):
            # Negative edges crop what fell on the padding.
            first = offset - low
            edges.append((first, n - first - (out - 1) * s - 1, s - 1))
        placed = lax.pad(tap, jnp.zeros((), tap.dtype), [*edges, (0, 0, 0)])
        total = placed if total is None else total + placed
    assert total is not None
    return total


def _num_blocks(window: Window, batch: int, channels: int, least: int) -> int:
    """Blocks whose patches have about as many bytes as given."""
    patches = 4 * len(window.taps) * window.out[0] * window.out[1] * channels
    return num_blocks(batch, patches, least)


def _outputs(inputs: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    if _winograd.pays(window, kernel.shape[2], kernel.shape[3], inputs.dtype):
        return _winograd.outputs(inputs, kernel, window)
    batch, channels = inputs.shape[0], inputs.shape[-1]
    blocks = 1
    if kernel.shape[-1] < _MANY_CHANNELS:
        blocks = _num_blocks(window, batch, channels, _CONVOLVED_BYTES)
    return map_blocks(
        lambda block: lax.conv_general_dilated(
            block, kernel, window.strides, window.padding, dimension_numbers=_LAYOUT
        ),
        inputs,
        blocks,
    )


def _by_inputs(gradient: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    if window.strides == (1, 1) and len(window.taps) > 1:
        (top, bottom), (left, right) = window.padding
        high, wide = (extent - 1 for extent in window.kernel)
        padding = ((high - top, high - bottom), (wide - left, wide - right))
        back = Window(window.out, window.kernel, (1, 1), padding)
        if _winograd.pays(back, kernel.shape[2], kernel.shape[3], kernel.dtype):
            return _winograd.outputs(gradient, kernel, back, turned=True)
        turned = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
        return _outputs(gradient, turned, back)
    batch, channels = gradient.shape[0], kernel.shape[2]
    # Every block reads the whole kernel.
    least = max(_BLOCK_BYTES, 2 * 4 * kernel.size)
    matrix = kernel.reshape(-1, kernel.shape[-1]).T
    return map_blocks(
        lambda block: fold(block @ matrix, window),
        gradient,
        _num_blocks(window, batch, channels, least),
    )


def _by_kernel(inputs: jax.Array, gradient: jax.Array, window: Window) -> jax.Array:
    batch, channels, features = len(inputs), inputs.shape[-1], gradient.shape[-1]
    if _winograd.pays_by_kernel(window, channels, features, inputs.dtype):
        return _winograd.by_kernel(inputs, gradient, window)
    exchange = (
        window.strides == (1, 1)
        and len(window.taps) > 1
        and channels >= _MIN_EXCHANGED_CHANNELS
    )
    one = _by_kernel_exchanged if exchange else _by_kernel_patches
    # Every block gives a kernel to be added up: there should be less of them than of
    # patches.
    least = max(_BLOCK_BYTES, 4 * 4 * len(window.taps) * channels * features)
    return sum_blocks(
        functools.partial(one, window=window),
        (inputs, gradient),
        _num_blocks(window, batch, channels, least),
    )


def _by_kernel_exchanged(
    inputs: jax.Array, gradient: jax.Array, window: Window
) -> jax.Array:
    """The derivative as a convolution: channels for batch, batch for channels."""
    by_kernel = lax.conv_general_dilated(
        inputs.transpose(3, 1, 2, 0),
        gradient.transpose(1, 2, 0, 3),
        (1, 1),
        window.padding,
        dimension_numbers=_LAYOUT,
    )
    return by_kernel.transpose(1, 2, 0, 3)


def _by_kernel_patches(
    inputs: jax.Array, gradient: jax.Array, window: Window
) -> jax.Array:
    channels, features = inputs.shape[-1], gradient.shape[-1]
    patches = extract(inputs, window).reshape(-1, len(window.taps) * channels)
    gradient = gradient.reshape(-1, features)
    # Both contract over rows, so one side has to be transposed: the narrower one.
    over_rows = (((0,), (0,)), ((), ()))
    if patches.shape[1] <= features:
        product = lax.dot_general(patches, gradient, over_rows)
    else:
        product = lax.dot_general(gradient, patches, over_rows).T
    return product.reshape(*window.kernel, channels, features)


def _one_by_one(
    function: Callable[..., jax.Array], window: Window, *arrays: jax.Array
) -> jax.Array:
    mapped = jax.custom_batching.sequential_vmap(
        functools.partial(function, window=window)
    )
    return mapped(*arrays)


# A convolution and its two derivatives are linear in both arguments, and the
# derivatives of each are the other two: gradients of gradients stay on the fast path.
_differentiable = functools.partial(jax.custom_vjp, nondiff_argnums=(2,))


@_differentiable
def conv_by_patches(inputs: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """Cross-correlation whose three passes all run at the speed of matrix products.

    Reverse mode, of any order. Under `vmap` the mapped axis is walked one by one: each
    convolution fills the machine by itself, and a batched convolution would leave the
    fast path.

    Args:
      inputs: (B, H, W, C_in) floats.
      kernel: (k_h, k_w, C_in, C_out) of the same dtype.
      window: from `make_window`, with padding narrower than the kernel.

    Returns:
      (B, H', W', C_out).
    """
    return _one_by_one(_outputs, window, inputs, kernel)


@_differentiable
def _to_inputs(gradient: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    return _one_by_one(_by_inputs, window, gradient, kernel)


@_differentiable
def _to_kernel(inputs: jax.Array, gradient: jax.Array, window: Window) -> jax.Array:
    return _one_by_one(_by_kernel, window, inputs, gradient)


Pair = tuple[jax.Array, jax.Array]


def _keeping(function: Callable[..., jax.Array]) -> Callable[..., Any]:
    """The forward pass of a function, which keeps both arguments."""

    def forward(first: jax.Array, second: jax.Array, window: Window) -> Any:
        return function(first, second, window), (first, second)

    return forward


def _back_of_outputs(window: Window, kept: Pair, gradient: jax.Array) -> Pair:
    inputs, kernel = kept
    return _to_inputs(gradient, kernel, window), _to_kernel(inputs, gradient, window)


def _back_of_inputs(window: Window, kept: Pair, inputs: jax.Array) -> Pair:
    gradient, kernel = kept
    return (
        conv_by_patches(inputs, kernel, window),
        _to_kernel(inputs, gradient, window),
    )


def _back_of_kernel(window: Window, kept: Pair, kernel: jax.Array) -> Pair:
    inputs, gradient = kept
    return (
        _to_inputs(gradient, kernel, window),
        conv_by_patches(inputs, kernel, window),
    )


conv_by_patches.defvjp(_keeping(conv_by_patches), _back_of_outputs)
_to_inputs.defvjp(_keeping(_to_inputs), _back_of_inputs)
_to_kernel.defvjp(_keeping(_to_kernel), _back_of_kernel)
