"""A small convolutional network for images of digits, of clothes, or of 32 pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.models._convolution import (
    IMPLEMENTATIONS,
    Conv,
    Implementation,
    Padding,
)
from robustjax.models._inputs import as_images
from robustjax.models._pooled_classifier import PooledClassifier
from robustjax.models._pooling import max_pool2

DOWNSAMPLING = ("max_pool", "stride")
POOLING = ("flatten", "average")


class SmallCNN(PooledClassifier):
    """Blocks of 3×3 convolutions that halve the image, then dense layers; all ReLU.

    The defaults (two convolutions, one pool, one hidden layer) are the network of
    many MNIST examples, and `padding="VALID"` is their padding. He-normal
    initialised.

    Attributes:
      num_classes: C.
      blocks: per block, the channels of its convolutions.
      downsampling: what halves the image at the end of a block: a 2×2 "max_pool", or
        a "stride" of 2 in the last convolution, a quarter of the work.
      pooling: what the dense layers get: the "flatten"ed feature map, or the "average"
        of each of its channels. With the average and without hidden layers the head
        supports class activation maps.
      hidden: widths of the dense hidden layers.
      padding: of the convolutions, see `conv2d`.
      convolution: "native" or "patches", see `conv2d`; both have the same
        parameters, and the same results up to rounding.
      dtype: of the arithmetic up to the features; parameters, features and logits
        are float32.

    Raises:
      ValueError: an unknown convolution, downsampling or pooling, an empty block, or
        no class.
    """

    num_classes: int
    blocks: Sequence[Sequence[int]] = ((32, 64),)
    hidden: Sequence[int] = (128,)
    padding: Padding = "SAME"
    downsampling: str = "max_pool"
    pooling: str = "flatten"
    convolution: Implementation = "native"
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        """Checks the arguments now rather than when the network is first applied."""
        checks.at_least("num_classes", self.num_classes, 1)
        if not all(self.blocks):
            raise ValueError(
                f"blocks: got {self.blocks}, expected a convolution in every block"
            )
        checks.one_of("convolution", self.convolution, IMPLEMENTATIONS)
        checks.one_of("downsampling", self.downsampling, DOWNSAMPLING)
        checks.one_of("pooling", self.pooling, POOLING)
        super().__post_init__()

    def setup(self) -> None:
        """Creates the layers."""
        init = nn.initializers.he_normal()
        last_stride = 2 if self.downsampling == "stride" else 1
        self.convolutions = [
            [
                Conv(
                    channels,
                    (3, 3),
                    strides=(last_stride if layer == len(widths) - 1 else 1,) * 2,
                    padding=self.padding,
                    implementation=self.convolution,
                    kernel_init=init,
                    name=f"block{block}_conv{layer}",
                )
                for layer, channels in enumerate(widths)
            ]
            for block, widths in enumerate(self.blocks)
        ]
        self.layers = [
            nn.Dense(width, kernel_init=init, dtype=self.dtype, name=f"hidden{i}")
            for i, width in enumerate(self.hidden)
        ]
        self.head = nn.Dense(self.num_classes, kernel_init=init, name="head")

    def stages(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> tuple[jax.Array, ...]:
        """The result of every block; the last is `feature_map`.

        Args:
          inputs: (B, H, W, channels) floats, large enough for all halvings.
          train: makes no difference.
          mask: makes no difference.

        Returns:
          Of every block (B, h, w, blocks[i][-1]) float32, none negative.

        Raises:
          ValueError: inputs of another rank, of integers, or too small.
        """
        del train, mask
        found = []
        x = as_images(inputs, self.dtype)
        for block in self.convolutions:
            for convolution in block[:-1]:
                x = nn.relu(convolution(x))
            x = block[-1](x)
            # The same as pooling after the ReLU, with a quarter of its work.
            x = nn.relu(max_pool2(x) if self.downsampling == "max_pool" else x)
            found.append(x.astype(jnp.float32))
        return tuple(found) or (x.astype(jnp.float32),)

    def feature_map(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """The last block's result, before the dense layers.

        Args:
          inputs: (B, H, W, channels) floats, large enough for all halvings.
          train: makes no difference.
          mask: makes no difference.

        Returns:
          (B, h, w, blocks[-1][-1]) float32, none negative.

        Raises:
          ValueError: inputs of another rank, of integers, or too small.
        """
        return self.stages(inputs, train=train, mask=mask)[-1]

    def pool(self, feature_map: jax.Array) -> jax.Array:
        """The last hidden layer's activations.

        Args:
          feature_map: (B, h, w, channels) floats.

        Returns:
          (B, hidden[-1]) float32; without hidden layers (B, h w channels) with the
          pooling "flatten", (B, channels) with "average".
        """
        x = feature_map
        if self.pooling == "average":
            x = jnp.mean(x.astype(jnp.float32), axis=(1, 2))
        x = x.reshape(x.shape[0], -1)
        for layer in self.layers:
            x = nn.relu(layer(x))
        return x.astype(jnp.float32)
