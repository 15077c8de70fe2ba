"""3×3 convolution of stride 1 with fewer products, after Winograd.

Four neighbouring outputs of a filter of three taps are made from six inputs with six
products in place of twelve: inputs and filter are mixed by small constant matrices,
multiplied, and mixed once more ("minimal filtering", F(4, 3)). The products over
channels stay what they were, products of matrices, but of half the size; with tiles
along both axes of an image, a quarter.

Sources: Winograd, "Arithmetic Complexity of Computations" (1980); Lavin and Gray,
"Fast Algorithms for Convolutional Neural Networks" (CVPR 2016). The matrices follow
from the points at which polynomials are multiplied.

The results differ from those of the direct sum by rounding alone. Its errors are up to
four times as large: in float32 and the shapes of ResNet-18, at most 2e-6 of the largest
number, against float64. A value that is not finite spoils all outputs of its tile, not
only those that it belongs to.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from robustjax.models._blocks import map_blocks, num_blocks, sum_blocks
from robustjax.models._window import Window

_TAPS, _TILE = 3, 4
_SPAN = _TILE + _TAPS - 1
# Beside infinity. Pairs of opposite numbers near one, each with its inverse, keep the
# entries of the matrices close together: with the usual 0, ±1, ±2 rounding errors are
# half as large again.
_POINTS = (0.0, 2 / 3, -2 / 3, 3 / 2, -3 / 2)
# Patches or tiles of a block of the batch, which should stay in the cache.
_BLOCK_BYTES = 5 * 2**19
# From here on the products that are saved take longer than mixing.
_MIN_CHANNELS, _MIN_CHANNELS_BY_KERNEL, _MIN_EXTENT = 32, 64, 3


@functools.cache
def _matrices() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """To outputs (4, 6), of kernels (6, 3), of inputs (6, 6): y = A [(G w) * (B x)]."""
    points = np.asarray(_POINTS)
    to_outputs = np.zeros((_TILE, _SPAN))
    of_kernel = np.zeros((_SPAN, _TAPS))
    of_inputs = np.zeros((_SPAN, _SPAN))
    for number, point in enumerate(points):
        others = np.delete(points, number)
        to_outputs[:, number] = point ** np.arange(_TILE)
        of_kernel[number] = point ** np.arange(_TAPS) / np.prod(point - others)
        of_inputs[number, :-1] = np.poly(others)[::-1]
    to_outputs[-1, -1] = of_kernel[-1, -1] = 1.0
    of_inputs[-1] = np.poly(points)[::-1]
    return to_outputs, of_kernel, of_inputs


def _mix(matrix: np.ndarray, parts: Sequence[jax.Array], axis: int = 0) -> jax.Array:
    """A matrix (n, k) times k arrays of one shape: n of them, along a new axis."""
    # A sum of broadcast products is one loop over the results. Stacked sums would
    # choose between n branches for each number.
    shape = [1] * (parts[0].ndim + 1)
    shape[axis] = len(matrix)
    columns = matrix.astype(parts[0].dtype).T.reshape(-1, *shape)
    terms = (c * jnp.expand_dims(part, axis) for c, part in zip(columns, parts))
    return functools.reduce(jnp.add, terms)


def _tiles(extent: int) -> int:
    return -(-extent // _TILE)


def _strided(array: jax.Array, axis: int, count: int, offsets: int) -> list[jax.Array]:
    """The first numbers of all tiles along an axis, the second ones, and so on."""
    return [
        lax.slice_in_dim(
            array, first, first + (count - 1) * _TILE + 1, stride=_TILE, axis=axis
        )
        for first in range(offsets)
    ]


def _edges(window: Window, axis: int) -> tuple[int, int]:
    """Padding of inputs so that tiles cover the outputs along an axis."""
    low = window.padding[axis][0]
    needed = _tiles(window.out[axis]) * _TILE + _TAPS - 1
    return low, needed - window.size[axis] - low


def _rows_as_patches(inputs: jax.Array, window: Window) -> jax.Array:
    """Mixed inputs (6, b H' T, 3 C): the rows of the image that a kernel covers."""
    padded = jnp.pad(inputs, ((0, 0), window.padding[0], _edges(window, 1), (0, 0)))
    high, tiles = window.out[0], _tiles(window.out[1])
    rows = [padded[:, first : first + high] for first in range(_TAPS)]
    *_, of_inputs = _matrices()
    parts = _strided(jnp.concatenate(rows, -1), 2, tiles, _SPAN)
    return _mix(of_inputs, parts).reshape(_SPAN, -1, _TAPS * inputs.shape[-1])


def pays(window: Window, channels: int, features: int, dtype: np.dtype) -> bool:
    """Whether `outputs` is faster than the direct sum, and rounds nearly as well.

    Args:
      window: of the convolution.
      channels: of its inputs.
      features: of its outputs.
      dtype: of both.
    """
    # Below float32 the mixed numbers would lose digits that the direct sum keeps.
    return (
        window.kernel == (_TAPS, _TAPS)
        and window.strides == (1, 1)
        and dtype in (np.float32, np.float64)
        and min(channels, features) >= _MIN_CHANNELS
        and min(window.out) >= _MIN_EXTENT
    )


def pays_by_kernel(
    window: Window, channels: int, features: int, dtype: np.dtype
) -> bool:
    """The same for `by_kernel`, in which both arguments are spread over tiles."""
    enough = min(channels, features) >= _MIN_CHANNELS_BY_KERNEL
    return enough and pays(window, channels, features, dtype)


_BATCHED = (((2,), (1,)), ((0,), (0,)))
_BATCHED_TRANSPOSED = (((2,), (2,)), ((0,), (0,)))
_BATCHED_OVER_ROWS = (((1,), (1,)), ((0,), (0,)))


def outputs(
    inputs: jax.Array, kernel: jax.Array, window: Window, *, turned: bool = False
) -> jax.Array:
    """Cross-correlation with tiles along the width.

    Args:
      inputs: (B, H, W, C_in) float32 or float64.
      kernel: (3, 3, C_in, C_out) of the same dtype.
      window: of stride 1.
      turned: takes the kernel by 180 degrees and from C_out to C_in channels, as the
        derivative by the inputs does; it is then (3, 3, C_out, C_in).

    Returns:
      (B, H', W', C_out).
    """
    to_outputs, of_kernel, _ = _matrices()
    batch, channels = inputs.shape[0], inputs.shape[-1]
    features = kernel.shape[2 if turned else 3]
    (high, wide), tiles = window.out, _tiles(window.out[1])
    if turned:
        # Contracted over the last axis of matrices: to transpose a kernel between many
        # channels would take as long as the products.
        kernel = kernel[::-1, ::-1].transpose(2, 1, 0, 3)
    kernels = _mix(of_kernel, [kernel[:, j] for j in range(_TAPS)])
    shape = (_SPAN, features, -1) if turned else (_SPAN, -1, features)
    kernels = kernels.reshape(shape)

    def of_block(block: jax.Array) -> jax.Array:
        patches = _rows_as_patches(block, window)
        contracted = _BATCHED_TRANSPOSED if turned else _BATCHED
        products = lax.dot_general(patches, kernels, contracted)
        products = products.reshape(_SPAN, len(block), high, tiles, features)
        found = _mix(to_outputs, list(products), axis=3)
        return found.reshape(len(block), high, tiles * _TILE, features)[:, :, :wide]

    size = inputs.dtype.itemsize
    held = _SPAN * _TAPS * high * tiles * channels * size
    # Every block reads all kernels.
    limit = max(_BLOCK_BYTES, kernels.size * size // 4)
    return map_blocks(of_block, inputs, num_blocks(batch, held, limit))


def by_kernel(inputs: jax.Array, gradient: jax.Array, window: Window) -> jax.Array:
    """The derivative of `outputs` by the kernel, weighted with one by the outputs.

    Args:
      inputs: (B, H, W, C_in) float32 or float64.
      gradient: (B, H', W', C_out) of the same dtype.
      window: of stride 1.

    Returns:
      (3, 3, C_in, C_out).
    """
    one = _by_kernel_rows if _tiles(window.out[0]) == 1 else _by_kernel_tiles
    return one(inputs, gradient, window)


def _by_kernel_rows(
    inputs: jax.Array, gradient: jax.Array, window: Window
) -> jax.Array:
    """With tiles along the width alone, for images of one tile."""
    to_outputs, of_kernel, _ = _matrices()
    channels, features = inputs.shape[-1], gradient.shape[-1]
    (high, wide), tiles = window.out, _tiles(window.out[1])

    def of_block(block: jax.Array, back: jax.Array) -> jax.Array:
        patches = _rows_as_patches(block, window)
        back = jnp.pad(back, ((0, 0), (0, 0), (0, tiles * _TILE - wide), (0, 0)))
        spread = _mix(to_outputs.T, _strided(back, 2, tiles, _TILE))
        spread = spread.reshape(_SPAN, -1, features)
        return lax.dot_general(patches, spread, _BATCHED_OVER_ROWS)

    size = inputs.dtype.itemsize
    held = _SPAN * high * tiles * (_TAPS * channels + features) * size
    limit = max(_BLOCK_BYTES, _SPAN * _TAPS * channels * features * size)
    blocks = num_blocks(len(inputs), held, limit)
    found = sum_blocks(of_block, (inputs, gradient), blocks)
    found = found.reshape(_SPAN, _TAPS, channels, features)
    return _mix(of_kernel.T, list(found), axis=1)


def _by_kernel_tiles(
    inputs: jax.Array, gradient: jax.Array, window: Window
) -> jax.Array:
    """With tiles along both axes."""
    to_outputs, of_kernel, of_inputs = _matrices()
    channels, features = inputs.shape[-1], gradient.shape[-1]
    counts = [_tiles(extent) for extent in window.out]
    missing = [count * _TILE - n for count, n in zip(counts, window.out)]

    def spread(matrix: np.ndarray, array: jax.Array) -> jax.Array:
        offsets = matrix.shape[1]
        rows = _mix(matrix, _strided(array, 1, counts[0], offsets))
        both = _mix(matrix, _strided(rows, 3, counts[1], offsets))
        return both.reshape(_SPAN**2, -1, array.shape[-1])

    def of_block(block: jax.Array, back: jax.Array) -> jax.Array:
        edges = (_edges(window, 0), _edges(window, 1))
        padded = jnp.pad(block, ((0, 0), *edges, (0, 0)))
        back = jnp.pad(back, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)))
        return lax.dot_general(
            spread(of_inputs, padded), spread(to_outputs.T, back), _BATCHED_OVER_ROWS
        )

    size = inputs.dtype.itemsize
    held = _SPAN**2 * counts[0] * counts[1] * (channels + features) * size
    # Every block gives kernels to be added up: there should be less of them than of
    # tiles.
    limit = max(_BLOCK_BYTES, _SPAN**2 * channels * features * size)
    blocks = num_blocks(len(inputs), held, limit)
    found = sum_blocks(of_block, (inputs, gradient), blocks)
    # Columns first, as they were mixed last.
    found = found.reshape(_SPAN, _SPAN, channels, features)
    return _mix(of_kernel.T, list(_mix(of_kernel.T, list(found)).swapaxes(0, 1)))
