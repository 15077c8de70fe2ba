"""The nine-layer convolutional network of Co-teaching and JoCoR."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.models._convolution import IMPLEMENTATIONS, Conv, Implementation
from robustjax.models._initializers import torch_uniform
from robustjax.models._inputs import as_images
from robustjax.models._normalization import BatchNorm
from robustjax.models._pooled_classifier import PooledClassifier
from robustjax.models._pooling import max_pool2

# Channels, in units of the width.
_CHANNELS = (1, 1, 1, 2, 2, 2, 4, 2, 1)
# After which convolutions pools come, and from which on there is no padding.
_POOLED, _UNPADDED = (2, 5), 6
_SLOPE = 0.01


class NineLayerCNN(PooledClassifier):
    """Nine 3x3 convolutions in three groups (Han et al., "Co-teaching", 2018).

    BatchNorm and LeakyReLU (slope 0.01) follow every convolution; a 2x2 max pool and
    dropout of whole channels follow the first two groups, a global average the third,
    whose convolutions are not padded. Initialised as PyTorch does by default, but for
    zero biases.

    Attributes:
      num_classes: C.
      dropout: the share of channels that is dropped in training, from the stream
        "dropout".
      convolution: "native" or "patches", see `robustjax.models.conv2d`; both
        have the same parameters, and the same results up to rounding.
      width: channels of the first group, 128 in the paper.
      dtype: of the arithmetic up to the features; parameters, `batch_stats`,
        features and logits are float32.

    Raises:
      ValueError: an unknown convolution, a dropout outside [0, 1), or `num_classes`
        or `width` below one.
    """

    num_classes: int
    dropout: float = 0.25
    convolution: Implementation = "native"
    width: int = 128
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        """Checks the arguments now rather than when the network is first applied."""
        checks.at_least("num_classes", self.num_classes, 1)
        checks.in_range("dropout", self.dropout, 0, 1, high_open=True)
        checks.one_of("convolution", self.convolution, IMPLEMENTATIONS)
        checks.at_least("width", self.width, 1)
        super().__post_init__()

    def setup(self) -> None:
        """Creates the layers."""
        self.convolutions = [
            Conv(
                self.width * channels,
                (3, 3),
                padding="SAME" if i < _UNPADDED else "VALID",
                implementation=self.convolution,
                kernel_init=torch_uniform,
                name=f"conv{i + 1}",
            )
            for i, channels in enumerate(_CHANNELS)
        ]
        self.norms = [
            BatchNorm(dtype=self.dtype, name=f"norm{i + 1}")
            for i in range(len(_CHANNELS))
        ]
        self.drop = nn.Dropout(self.dropout, broadcast_dims=(1, 2))
        self.head = nn.Dense(self.num_classes, kernel_init=torch_uniform, name="head")

    def feature_map(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """The last convolution's activations, before pooling.

        Args:
          inputs: (B, H, W, channels) floats, H and W at least 28.
          train: whether to drop channels, to normalise by the batch and to update
            `batch_stats`, rather than normalise by `batch_stats`.
          mask: (B,) bool, False on padding, which `BatchNorm` then leaves out.

        Returns:
          (B, H // 4 - 6, W // 4 - 6, width) float32.

        Raises:
          ValueError: inputs of another rank, of integers, or too small.
        """
        x = as_images(inputs, self.dtype)
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms)):
            x = nn.leaky_relu(norm(convolution(x), train=train, mask=mask), _SLOPE)
            if i in _POOLED:
                x = self.drop(max_pool2(x), deterministic=not train)
        return x.astype(jnp.float32)
