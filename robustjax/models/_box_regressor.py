"""A network that predicts one bounding box per image."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.models._initializers import torch_uniform


class BoxHead(nn.Module):
    """A linear layer whose outputs are read as the corners of a box.

    Attributes:
      image_size: (height, width) in pixels.
      scale: see `BoxRegressor`.
    """

    image_size: tuple[int, int]
    scale: float | None

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        """Boxes (B, 4) float32 in pixels, of features (B, d)."""
        init = torch_uniform if self.scale is None else nn.initializers.zeros
        outputs = nn.Dense(4, kernel_init=init, name="dense")(features)
        if self.scale is None:
            return outputs
        height, width = self.image_size
        # The last pixel that a corner includes is one before the edge.
        centre = [width / 4, height / 4, 3 * width / 4 - 1, 3 * height / 4 - 1]
        return jnp.asarray(centre, jnp.float32)[None] + self.scale * outputs


class BoxRegressor(nn.Module):
    """A backbone with a linear layer that predicts the corners of a box.

    That of Park et al. ("Task-Agnostic Undesirable Feature Deactivation Using
    Out-of-Distribution Data", NeurIPS 2021), whose code puts the layer on the
    flattened feature map of a ResNet-50, since the place of an object is lost in a
    global average.

    Boxes are (x1, y1, x2, y2) in pixels of the inputs, corners included. Nothing
    keeps them inside the image or x1 below x2.

    Published code takes the layer's outputs for pixels: they begin near zero, tens to
    hundreds of pixels away from every box. Here the layer begins with zeros, and its
    outputs are deviations from the box in the centre that is half as high and half as
    wide as the image, `scale` pixels to a unit. Under gradient descent a step moves the
    predictions in proportion to the square of `scale`: 1 keeps the published learning
    rates' meaning, larger scales call for smaller rates.

    Attributes:
      backbone: a model with `feature_map` and `pool`, such as a `ResNet` or a
        `SmallCNN`; its head, if it has one, is neither used nor created.
      image_size: height and width of the inputs, or one number for both.
      flatten: whether the layer gets the flattened feature map, rather than the
        backbone's pooled features. The backbone's pooling, with its dense layers if it
        has any, is then neither used nor created.
      scale: pixels per unit of the layer's output, or None for the published form, with
        neither scale nor centre nor zeros.

    Raises:
      ValueError: a backbone without feature maps, an image size that is not one or two
        positive integers, a scale that is not positive, or inputs of another size.
    """

    backbone: nn.Module
    image_size: int | tuple[int, int]
    flatten: bool = True
    scale: float | None = 1.0

    def __post_init__(self) -> None:
        """Checks the arguments now rather than when the network is first applied."""
        for method in ("feature_map", "pool"):
            if not callable(getattr(type(self.backbone), method, None)):
                raise ValueError(
                    f"backbone: got {type(self.backbone).__name__}, expected a model "
                    "with methods 'feature_map' and 'pool'"
                )
        if len(self._size) != 2:
            raise ValueError(
                f"image_size: got {self.image_size}, expected one number or "
                "(height, width)"
            )
        for side in self._size:
            checks.at_least("image_size", side, 1)
        if self.scale is not None:
            checks.in_range("scale", self.scale, 0, low_open=True)
        super().__post_init__()

    @property
    def _size(self) -> tuple[int, int]:
        size = self.image_size
        return (size, size) if isinstance(size, int) else size

    def setup(self) -> None:
        """Creates the layers."""
        self.head = BoxHead(self._size, self.scale)

    def feature_map(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """The backbone's feature map (B, h, w, c) float32, before pooling.

        Args:
          inputs: (B, height, width, channels) floats.
          train: see the backbone.
          mask: (B,) bool, False on padding; see the backbone.

        Raises:
          ValueError: inputs of another rank, of integers, or of another size than
            `image_size`.
        """
        checks.rank("inputs", inputs, 4)
        if inputs.shape[1:3] != self._size:
            height, width = self._size
            raise ValueError(
                f"inputs: got shape {inputs.shape}, expected images of {height} by "
                f"{width} pixels"
            )
        backbone: Any = self.backbone
        return backbone.feature_map(inputs, train=train, mask=mask)

    def pool(self, feature_map: jax.Array) -> jax.Array:
        """What the head gets of a feature map (B, h, w, c).

        Returns:
          (B, h w c) float32, or what the backbone's `pool` gives without `flatten`.
        """
        if not self.flatten:
            backbone: Any = self.backbone
            return backbone.pool(feature_map)
        return feature_map.reshape(feature_map.shape[0], -1).astype(jnp.float32)

    def features(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """What the head gets, (B, d) float32; see `feature_map` and `pool`."""
        return self.pool(self.feature_map(inputs, train=train, mask=mask))

    def __call__(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """Boxes (B, 4) float32 in pixels; arguments as of `feature_map`."""
        return self.head(self.features(inputs, train=train, mask=mask))
