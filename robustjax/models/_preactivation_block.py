"""The residual block of pre-activation and wide residual networks."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from robustjax.models._convolution import Implementation, square_conv
from robustjax.models._normalization import BatchNorm


def rectify(inputs: jax.Array, negative_slope: float) -> jax.Array:
    """ReLU, or leaky ReLU with a positive slope on the negative side."""
    # The derivatives at zero differ: none of a ReLU, one of a leaky ReLU.
    if negative_slope == 0:
        return nn.relu(inputs)
    return nn.leaky_relu(inputs, negative_slope)


class PreactivationBlock(nn.Module):
    """Two times BatchNorm, ReLU and a 3x3 convolution, added to a shortcut.

    Source: He et al., "Identity Mappings in Deep Residual Networks" (ECCV 2016).
    The shortcut is the input itself, or a 1x1 convolution of the activated input
    where the shape changes.

    Attributes:
      channels: of both convolutions.
      kernel_init: initialiser of the kernels.
      stride: of the first convolution and of the shortcut.
      dropout: the share of values that is dropped before the second convolution in
        training, from the stream "dropout".
      negative_slope: of the leaky ReLU, 0 for a ReLU.
      norm_decay: how much of BatchNorm's running averages a step keeps.
      convolution: "native" or "patches", see `robustjax.models.conv2d`.
      dtype: of the arithmetic.
    """

    channels: int
    kernel_init: Any
    stride: int = 1
    dropout: float = 0.0
    negative_slope: float = 0.0
    norm_decay: float = 0.9
    convolution: Implementation = "native"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """Maps (B, H, W, C) to (B, ceil(H / stride), ceil(W / stride), channels)."""

        def conv(x: jax.Array, kernel: int, stride: int, name: str) -> jax.Array:
            return square_conv(
                self.channels,
                kernel,
                stride,
                implementation=self.convolution,
                kernel_init=self.kernel_init,
                name=name,
            )(x)

        def activated(x: jax.Array, name: str) -> jax.Array:
            norm = BatchNorm(momentum=self.norm_decay, dtype=self.dtype, name=name)
            return rectify(norm(x, train=train, mask=mask), self.negative_slope)

        x = activated(inputs, "norm1")
        shortcut = inputs
        if self.stride > 1 or inputs.shape[-1] != self.channels:
            shortcut = conv(x, 1, self.stride, "shortcut_conv")
        x = activated(conv(x, 3, self.stride, "conv1"), "norm2")
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return conv(x, 3, 1, "conv2") + shortcut
