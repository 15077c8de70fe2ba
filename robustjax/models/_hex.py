"""HEX's network: a classifier beside a branch that sees texture alone.

Wang, He, Lipton, Xing, "Learning Robust Representations by Projecting Superficial
Statistics Out", ICLR 2019.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.models._inputs import as_images

# Rounding, and resampling in augmentations, go this far beyond a range.
_SLACK = 1e-3

# The least square of a norm; a feature that is silent all through the batch stays 0.
_TINY = 1e-12


def project_out(
    values: jax.Array, unwanted: jax.Array, *, ridge: float = 1e-4
) -> jax.Array:
    """What is left of values outside the span of unwanted columns.

    `(I - G (G^T G + ridge I)^{-1} G^T) A`, Eq. 4 of the paper but for the ridge.

    Args:
      values: (B, C) floats, A.
      unwanted: (B, K) floats, G; K < B, or nothing is left.
      ridge: >= 0; with 0, linearly dependent columns give NaN.

    Returns:
      (B, C), without ridge orthogonal to every column of G.
    """
    highest = jax.lax.Precision.HIGHEST
    transposed = unwanted.T
    gram = jnp.matmul(transposed, unwanted, precision=highest)
    gram = gram + ridge * jnp.eye(gram.shape[0], dtype=gram.dtype)
    along = jnp.matmul(transposed, values, precision=highest)
    found = jnp.linalg.solve(gram, along)
    return values - jnp.matmul(unwanted, found, precision=highest)


class NeuralCooccurrence(nn.Module):
    """A differentiable gray-level co-occurrence matrix, and a dense layer on it.

    Gray levels are rounded down to `levels` steps; with v a pixel's level and d its
    neighbour's less its own, the matrix is the sum over pixels of
    `clip(d - lambda_i, 1e-5, 1) clip(v - theta_j, 1e-5, 1)`, with learned thresholds
    that start uniform in [0, levels). Where the neighbour is outside the image, d is 0.

    Attributes:
      levels: n; the authors' example has 128.
      direction: (rows, columns) to the neighbour; not (0, 0), the default of the
        authors' example, by which every difference is 0.
      width: outputs, after a ReLU.
      maximum: the largest gray value of inputs; the least is 0. The features of an
        image with others are NaN: cut to the range, they would say nothing.

    Raises:
      ValueError: fewer than two levels, no direction, a number out of range.
    """

    levels: int = 16
    direction: tuple[int, int] = (0, 1)
    width: int = 32
    maximum: float = 1.0

    def __post_init__(self) -> None:
        """Checks the arguments now rather than when the network is first applied."""
        checks.at_least("levels", self.levels, 2)
        checks.at_least("width", self.width, 1)
        checks.in_range("maximum", self.maximum, 0, low_open=True)
        if not any(self.direction):
            raise ValueError(
                f"direction: got {self.direction}, expected a step to another pixel"
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Texture features (B, width) float32 of images (B, H, W, channels)."""
        images = as_images(inputs, jnp.float32)
        gray = jnp.mean(images, axis=-1) / self.maximum
        inside = jnp.all((gray >= -_SLACK) & (gray <= 1 + _SLACK), axis=(1, 2))
        level = jnp.floor(jnp.clip(gray, 0.0, 1.0) * (self.levels - 1))
        level = level.astype(jnp.int32)
        difference = _neighbors(level, self.direction) - level

        def draw(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
            return jax.random.uniform(key, shape, jnp.float32, 0, self.levels)

        def above(values: jax.Array, name: str) -> jax.Array:
            threshold = self.param(name, draw, (self.levels,))
            return jnp.clip(values[None] - threshold[:, None], 1e-5, 1.0)

        # Both factors depend on a pixel by two small integers: pairs are counted, and
        # the sum over pixels becomes one over pairs.
        count = _pair_counts(difference, level, self.levels)
        left = above(
            jnp.arange(1 - self.levels, self.levels, dtype=gray.dtype), "lambda"
        )
        right = above(jnp.arange(self.levels, dtype=gray.dtype), "theta")
        highest = jax.lax.Precision.HIGHEST
        matrix = jnp.einsum("id,bdv,jv->bij", left, count, right, precision=highest)
        dense = nn.Dense(self.width, name="dense")
        found = nn.relu(dense(matrix.reshape(matrix.shape[0], -1)))
        return jnp.where(inside[:, None], found, jnp.nan)


def _pair_counts(difference: jax.Array, level: jax.Array, levels: int) -> jax.Array:
    """(B, 2 levels - 1, levels) float32: pixels of an image by difference and level."""
    pair = (difference + levels - 1) * levels + level
    size = (2 * levels - 1) * levels
    row = jnp.arange(level.shape[0])[:, None]
    count = jnp.zeros((level.shape[0], size), jnp.float32)
    count = count.at[row, pair.reshape(level.shape[0], -1)].add(1.0)
    return count.reshape(-1, 2 * levels - 1, levels)


def _neighbors(level: jax.Array, direction: tuple[int, int]) -> jax.Array:
    """(B, H, W) levels of every pixel's neighbour, of itself at the border."""
    rows, columns = direction
    height, width = level.shape[1:]
    if abs(rows) >= height or abs(columns) >= width:
        raise ValueError(
            f"direction: got {direction}, expected a step within {height} x {width} "
            "pixels"
        )
    at_row = jnp.arange(height) + rows
    at_column = jnp.arange(width) + columns
    inside = ((at_row >= 0) & (at_row < height))[:, None]
    inside = inside & ((at_column >= 0) & (at_column < width))[None]
    moved = jnp.roll(level, (-rows, -columns), axis=(1, 2))
    return jnp.where(inside[None], moved, level)


class HexClassifier(nn.Module):
    """A network's features and texture features under one head, projected.

    With h the network's features, g those of texture, f a linear layer:
    `F_A = f([h, g])`, `F_G = f([0, g])`, `F_P = f([h, 0])`. In training the logits are
    `project_out(F_A, F_G)`, so that what texture explains teaches the network nothing;
    predictions are F_P.

    Both features are divided by their norm along the batch, as in the authors' code.
    Predictions divide by the running average of the norms in training instead, and so
    do not depend on which other examples are asked for. The norm grows with the root
    of the batch: it is the training batch's size that counts. Of a batch that is split
    under `pmap`, norms and projection are of a device's own part.

    Attributes:
      model: a classifier with a method `features`; its head is not used.
      num_classes: C.
      texture: the branch.
      project: False leaves out the projection, F_A, in a warm-up.
      learn_texture: False keeps the thresholds of the branch as they start.
      ridge: of `project_out`.
      momentum: how much of the running norms a step keeps.

    Raises:
      ValueError: a model without `features`, or a number out of range; in training, a
        batch of no more than C examples, of which nothing would be left. A batch that
        padding filled up, with no more than C real ones, moves no parameter.
    """

    model: nn.Module
    num_classes: int
    texture: NeuralCooccurrence = NeuralCooccurrence()
    project: bool = True
    learn_texture: bool = True
    ridge: float = 1e-4
    momentum: float = 0.9

    def __post_init__(self) -> None:
        """Checks the arguments now rather than when the network is first applied."""
        checks.at_least("num_classes", self.num_classes, 1)
        checks.in_range("ridge", self.ridge, 0)
        checks.in_range("momentum", self.momentum, 0, 1)
        if not callable(getattr(type(self.model), "features", None)):
            raise ValueError(
                f"model: got {type(self.model).__name__}, expected a network with a "
                "method 'features'"
            )
        super().__post_init__()

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """Logits (B, C) float32; see the class."""
        real = jnp.ones(inputs.shape[0], bool) if mask is None else mask
        h = self.model.features(inputs, train=train, mask=mask)
        # Nobody may look at padding, which need not be gray levels.
        g = jnp.where(real[:, None], self.texture(inputs), 0.0)
        if not self.learn_texture:
            g = jax.lax.stop_gradient(g)
        h = self._normalized("features_norm", h, real, train)
        g = self._normalized("texture_norm", g, real, train)
        head = nn.Dense(self.num_classes, name="head")
        if not train:
            return head(jnp.concatenate([h, jnp.zeros_like(g)], axis=1))
        both = head(jnp.concatenate([h, g], axis=1))
        if not self.project:
            return both
        if inputs.shape[0] <= self.num_classes:
            raise ValueError(
                f"batch_size: got {inputs.shape[0]}, expected more examples than the "
                f"{self.num_classes} classes that are projected out"
            )
        superficial = head(jnp.concatenate([jnp.zeros_like(h), g], axis=1))
        projected = project_out(
            both, jnp.where(real[:, None], superficial, 0.0), ridge=self.ridge
        )
        enough = jnp.sum(real) > self.num_classes
        return jnp.where(enough, projected, jax.lax.stop_gradient(both))

    def _normalized(
        self, name: str, values: jax.Array, real: jax.Array, train: bool
    ) -> jax.Array:
        running: Any = self.variable(
            "batch_stats", name, jnp.ones, (values.shape[1],), jnp.float32
        )
        norm = running.value
        if train:
            counted = jnp.where(real[:, None], values, 0.0)
            norm = jnp.sqrt(jnp.maximum(jnp.sum(counted**2, axis=0), _TINY))
            kept = self.momentum * running.value + (1 - self.momentum) * norm
            running.value = jax.lax.stop_gradient(
                jnp.where(jnp.any(real), kept, running.value)
            )
        return values / norm[None]
