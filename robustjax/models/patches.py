"""Convolution by patch extraction and matrix products, tuned for CPU."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from robustjax import checks


class Window(NamedTuple):
    """The static geometry of a convolution; pairs are (height, width).

    Attributes:
      size: of the inputs.
      kernel: its extent.
      strides: each >= 1.
      padding: (low, high) zeros for height and width.
    """

    size: tuple[int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]

    @property
    def out(self) -> tuple[int, int]:
        """The extent of the outputs."""
        height, width = (
            (n + low + high - k) // s + 1
            for n, k, s, (low, high) in zip(
                self.size, self.kernel, self.strides, self.padding
            )
        )
        return height, width

    @property
    def taps(self) -> list[tuple[int, int]]:
        """All (row, column) offsets of the kernel, row by row."""
        return [(i, j) for i in range(self.kernel[0]) for j in range(self.kernel[1])]


def make_window(
    size: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
) -> Window:
    """Checks and completes the geometry of a convolution.

    Args:
      size: (H, W) of the inputs.
      kernel: (k_h, k_w).
      strides: each >= 1.
      padding: "SAME", "VALID", or (low, high) for height and width, each >= 0.

    Raises:
      ValueError: values out of range, or a kernel larger than the padded inputs.
    """
    for name, pair in (("strides", strides), ("padding", padding)):
        if not isinstance(pair, str) and len(pair) != 2:
            raise ValueError(f"{name}: got {pair}, expected one entry per dimension")
    for stride in strides:
        checks.at_least("strides", stride, 1)
    if isinstance(padding, str):
        checks.one_of("padding", padding, ("SAME", "VALID"))
        padding = lax.padtype_to_pads(size, kernel, strides, padding)
    for low, high in padding:
        checks.at_least("padding", min(low, high), 0)
    window = Window(
        (size[0], size[1]),
        (kernel[0], kernel[1]),
        (strides[0], strides[1]),
        ((padding[0][0], padding[0][1]), (padding[1][0], padding[1][1])),
    )
    if min(window.out) < 1:
        raise ValueError(
            f"kernel: got extent {window.kernel}, expected at most that of the inputs "
            f"{window.size} padded by {window.padding}"
        )
    return window


def extract(inputs: jax.Array, window: Window) -> jax.Array:
    """Patches (B, H', W', k_h k_w C) of inputs (B, H, W, C), row by row."""
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
    for number, (i, j) in enumerate(window.taps):
        tap = patches[..., number * channels : (number + 1) * channels]
        edges = [(0, 0, 0)]
        for offset, n, out, s, (low, _) in zip(
            (i, j), window.size, window.out, window.strides, window.padding
        ):
            # Negative edges crop what fell on the padding.
            first = offset - low
            edges.append((first, n - first - (out - 1) * s - 1, s - 1))
        placed = lax.pad(tap, jnp.zeros((), tap.dtype), [*edges, (0, 0, 0)])
        total = placed if total is None else total + placed
    assert total is not None
    return total


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv_by_patches(inputs: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """Cross-correlation as one matrix product over patches.

    Args:
      inputs: (B, H, W, C_in) floats.
      kernel: (k_h, k_w, C_in, C_out) of the same dtype.
      window: from `make_window`.

    Returns:
      (B, H', W', C_out).
    """
    return extract(inputs, window) @ kernel.reshape(-1, kernel.shape[-1])


def _forward(
    inputs: jax.Array, kernel: jax.Array, window: Window
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return conv_by_patches(inputs, kernel, window), (inputs, kernel)


def _backward(
    window: Window, saved: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    inputs, kernel = saved
    matrix = kernel.reshape(-1, kernel.shape[-1])
    by_inputs = fold(gradient @ matrix.T, window)
    patches = extract(inputs, window)
    by_kernel = patches.reshape(-1, patches.shape[-1]).T @ gradient.reshape(
        -1, gradient.shape[-1]
    )
    return by_inputs, by_kernel.reshape(kernel.shape)


conv_by_patches.defvjp(_forward, _backward)
