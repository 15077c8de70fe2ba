"""The convolutional network that PGD trains on Colored MNIST.

Ahn, Kim, Yun, "Mitigating Dataset Bias by Using Per-sample Gradient", ICLR 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.models._convolution import IMPLEMENTATIONS, Conv, Implementation
from robustjax.models._inputs import as_images
from robustjax.models._normalization import BatchNorm
from robustjax.models._pooled_classifier import PooledClassifier


class FourByFourCNN(PooledClassifier):
    """Three 4x4 convolutions without padding, average pooling between them.

    As the authors' code has it, the first two are followed by BatchNorm, then ReLU,
    the last by ReLU, then BatchNorm; dropout after each. On 28 pixels the last map has
    a single position.

    Attributes:
      num_classes: C.
      widths: channels of the three convolutions.
      dropout: after every convolution, from the stream "dropout".
      convolution: "native" or "patches", see `conv2d`.
      dtype: of the arithmetic up to the features; parameters, `batch_stats`,
        features and logits are float32.

    Raises:
      ValueError: not three widths, an unknown convolution, or a number out of range.
    """

    num_classes: int
    widths: Sequence[int] = (8, 32, 64)
    dropout: float = 0.5
    convolution: Implementation = "native"
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        """Checks the arguments now rather than when the network is first applied."""
        checks.at_least("num_classes", self.num_classes, 1)
        if len(self.widths) != 3:
            raise ValueError(f"widths: got {self.widths}, expected three numbers")
        checks.in_range("dropout", self.dropout, 0, 1, high_open=True)
        checks.one_of("convolution", self.convolution, IMPLEMENTATIONS)
        super().__post_init__()

    def setup(self) -> None:
        """Creates the layers."""
        self.convolutions = [
            Conv(
                channels,
                (4, 4),
                padding="VALID",
                implementation=self.convolution,
                name=f"conv{i}",
            )
            for i, channels in enumerate(self.widths)
        ]
        self.norms = [
            BatchNorm(dtype=self.dtype, name=f"norm{i}")
            for i in range(len(self.widths))
        ]
        self.drop = nn.Dropout(self.dropout)
        self.head = nn.Dense(self.num_classes)

    def feature_map(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """The last convolution's result, before pooling.

        Args:
          inputs: (B, H, W, channels) floats of at least 25 pixels a side.
          train: whether to normalise by the batch and to drop units.
          mask: (B,) bool, False on padding, which `BatchNorm` then leaves out.

        Returns:
          (B, h, w, widths[-1]) float32.

        Raises:
          ValueError: inputs of another rank, of integers, or too small.
        """
        x = as_images(inputs, self.dtype)
        if min(x.shape[1:3]) < 25:
            raise ValueError(f"inputs: got {x.shape}, expected at least 25 x 25 pixels")
        last = len(self.widths) - 1
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.norms)):
            x = convolution(x)
            if i == last:
                x = norm(nn.relu(x), train=train, mask=mask)
            else:
                x = nn.relu(norm(x, train=train, mask=mask))
            x = self.drop(x, deterministic=not train)
            if i < last:
                x = nn.avg_pool(x, (2, 2), (2, 2))
        return x.astype(jnp.float32)
