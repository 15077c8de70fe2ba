"""The residual networks of CIFAR, with shortcuts that have no parameters."""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.models._convolution import (
    IMPLEMENTATIONS,
    Implementation,
    square_conv,
)
from robustjax.models._inputs import as_images
from robustjax.models._normalization import BatchNorm
from robustjax.models._pooled_classifier import PooledClassifier
from robustjax.models._residual_stages import residual_stages

_he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class PaddedShortcutBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut that subsamples and pads with zeros.

    Attributes:
      channels: of both convolutions, at least as many as the inputs'.
      stride: of the first convolution and the shortcut.
      convolution: see `CifarResNet`.
      dtype: see `CifarResNet`.
    """

    channels: int
    stride: int = 1
    convolution: Implementation = "native"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """Maps (B, H, W, C) to (B, ceil(H / stride), ceil(W / stride), channels)."""
        x = inputs
        for i, stride in ((1, self.stride), (2, 1)):
            x = square_conv(
                self.channels,
                3,
                stride,
                implementation=self.convolution,
                kernel_init=_he_normal,
                name=f"conv{i}",
            )(nn.relu(x) if i > 1 else x)
            norm = BatchNorm(dtype=self.dtype, name=f"norm{i}")
            x = norm(x, train=train, mask=mask)
        shortcut = inputs[:, :: self.stride, :: self.stride]
        more = self.channels - inputs.shape[-1]
        shortcut = jnp.pad(
            shortcut, ((0, 0), (0, 0), (0, 0), (more // 2, more - more // 2))
        )
        return nn.relu(x + shortcut)


class CifarResNet(PooledClassifier):
    """The residual network of 6n + 2 layers of He et al. (CVPR 2016) for CIFAR-10.

    Source: "Deep Residual Learning for Image Recognition", section 4.2, with its
    option A: where the size of the maps changes, the shortcut takes every second pixel
    and pads the channels with zeros, half on either side. LfF's network for corrupted
    CIFAR-10 is the one with depth 20, 0.27 million parameters. Weights are He-normal
    by fan-in, the head's too; biases are zero.

    Attributes:
      depth: 6 n + 2: 20, 32, 44, …; 8 is the least.
      num_classes: C; with None there is no head and logits are the pooled features.
      width: channels of the first stage, 16 in the paper; doubled twice.
      convolution: "native" or "patches", see `conv2d`.
      dtype: of the arithmetic up to the features; parameters, `batch_stats`,
        features and logits are float32.

    Raises:
      ValueError: another depth, an unknown convolution, or a number below one.
    """

    depth: int = 20
    num_classes: int | None = None
    width: int = 16
    convolution: Implementation = "native"
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        """Checks the arguments now rather than when the network is first applied."""
        if self.depth < 8 or self.depth % 6 != 2:
            raise ValueError(f"depth: got {self.depth}, expected 6 n + 2 with n >= 1")
        if self.num_classes is not None:
            checks.at_least("num_classes", self.num_classes, 1)
        checks.at_least("width", self.width, 1)
        checks.one_of("convolution", self.convolution, IMPLEMENTATIONS)
        super().__post_init__()

    def setup(self) -> None:
        """Creates the layers."""
        options: dict[str, Any] = {"implementation": self.convolution}
        self.stem_conv = square_conv(
            self.width, 3, 1, kernel_init=_he_normal, **options
        )
        self.stem_norm = BatchNorm(dtype=self.dtype)
        make_block = functools.partial(
            PaddedShortcutBlock, convolution=self.convolution, dtype=self.dtype
        )
        counts = [(self.depth - 2) // 6] * 3
        self.blocks = residual_stages(make_block, counts, self.width)
        if self.num_classes is not None:
            self.head = nn.Dense(self.num_classes, kernel_init=_he_normal)

    def feature_map(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """The last block's activations, before pooling.

        Args:
          inputs: (B, H, W, channels) floats.
          train: whether to normalise by the batch and update `batch_stats`, rather
            than normalise by `batch_stats`.
          mask: (B,) bool, False on padding, which `BatchNorm` then leaves out.

        Returns:
          (B, ceil(H / 4), ceil(W / 4), 4 width) float32, none negative.

        Raises:
          ValueError: inputs of another rank or of integers.
        """
        x = self.stem_conv(as_images(inputs, self.dtype))
        x = nn.relu(self.stem_norm(x, train=train, mask=mask))
        for block in self.blocks:
            x = block(x, train=train, mask=mask)
        return x.astype(jnp.float32)
