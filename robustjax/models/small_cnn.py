"""A small convolutional network for images of digits, of clothes, or of 32 pixels."""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.models.convolution import IMPLEMENTATIONS, Conv, Implementation, Padding
from robustjax.models.pooling import max_pool2


class SmallCNN(nn.Module):
    """Blocks of 3×3 convolutions and a 2×2 max pool, then dense layers; all ReLU.

    The defaults (two convolutions, one pool, one hidden layer) are the network of
    many MNIST examples, and `padding="VALID"` is their padding. He-normal
    initialised.

    Attributes:
      num_classes: C.
      blocks: per block, the channels of its convolutions; a pool ends every block.
      hidden: widths of the dense hidden layers.
      padding: of the convolutions, see `conv2d`.
      convolution: "native" or "patches", see `conv2d`; both have the same
        parameters, and the same results up to rounding.

    Raises:
      ValueError: an unknown convolution, an empty block, or no class.
    """

    num_classes: int
    blocks: Sequence[Sequence[int]] = ((32, 64),)
    hidden: Sequence[int] = (128,)
    padding: Padding = "SAME"
    convolution: Implementation = "native"

    def __post_init__(self) -> None:
        """Checks the arguments now rather than when the network is first applied."""
        checks.at_least("num_classes", self.num_classes, 1)
        if not all(self.blocks):
            raise ValueError(
                f"blocks: got {self.blocks}, expected a convolution in every block"
            )
        checks.one_of("convolution", self.convolution, IMPLEMENTATIONS)
        super().__post_init__()

    def setup(self) -> None:
        """Creates the layers."""
        init = nn.initializers.he_normal()
        self.convolutions = [
            [
                Conv(
                    channels,
                    (3, 3),
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
            nn.Dense(width, kernel_init=init, name=f"hidden{i}")
            for i, width in enumerate(self.hidden)
        ]
        self.head = nn.Dense(self.num_classes, kernel_init=init, name="head")

    def features(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """The last hidden layer's activations.

        Args:
          inputs: (B, H, W, channels) floats, large enough for all pools.
          train: makes no difference.

        Returns:
          (B, hidden[-1]), or the flat feature maps if there is no hidden layer.

        Raises:
          ValueError: inputs of another rank, of integers, or too small.
        """
        del train
        checks.rank("inputs", inputs, 4)
        if not jnp.issubdtype(inputs.dtype, jnp.floating):
            raise ValueError(f"inputs: got {inputs.dtype}, expected floats")
        x = inputs
        for block in self.convolutions:
            for convolution in block[:-1]:
                x = nn.relu(convolution(x))
            # The same as pooling after the ReLU, with a quarter of its work.
            x = nn.relu(max_pool2(block[-1](x)))
        x = x.reshape(x.shape[0], -1)
        for layer in self.layers:
            x = nn.relu(layer(x))
        return x

    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """Logits (B, C) of inputs (B, H, W, channels); see `features`."""
        return self.head(self.features(inputs, train=train))
