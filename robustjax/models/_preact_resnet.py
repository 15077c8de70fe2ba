"""Pre-activation residual networks for small images."""

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
from robustjax.models._initializers import torch_uniform
from robustjax.models._inputs import as_images
from robustjax.models._normalization import BatchNorm
from robustjax.models._pooled_classifier import PooledClassifier
from robustjax.models._preactivation_block import PreactivationBlock
from robustjax.models._residual_stages import residual_stages

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


class PreActResNet(PooledClassifier):
    """The pre-activation ResNet of DivideMix, SOP+ and Prune4ReL.

    Source: He et al., "Identity Mappings in Deep Residual Networks" (ECCV 2016), in
    the form of those methods' code: the stem is a 3x3 convolution with BatchNorm and
    ReLU, and nothing follows the last block, so that features may be negative. (The
    original has BatchNorm and ReLU after the last block and none in the stem.)
    Initialised as PyTorch does by default, but for zero biases of the head.

    Attributes:
      depth: 18 or 34.
      num_classes: C; with None there is no head and logits are the pooled features.
      final_norm: whether BatchNorm and ReLU follow the last block.
      convolution: "native" or "patches", see `robustjax.models.conv2d`; both
        have the same parameters, and the same results up to rounding.
      width: channels of the first stage.
      dtype: of the arithmetic up to the features; parameters, `batch_stats`,
        features and logits are float32.

    Raises:
      ValueError: an unknown depth or convolution, or `num_classes` or `width` below
        one.
    """

    depth: int
    num_classes: int | None = None
    final_norm: bool = False
    convolution: Implementation = "native"
    width: int = 64
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        """Checks the arguments now rather than when the network is first applied."""
        if self.depth not in BLOCKS:
            known = ", ".join(map(str, BLOCKS))
            raise ValueError(f"depth: got {self.depth}, expected one of {known}")
        if self.num_classes is not None:
            checks.at_least("num_classes", self.num_classes, 1)
        checks.one_of("convolution", self.convolution, IMPLEMENTATIONS)
        checks.at_least("width", self.width, 1)
        super().__post_init__()

    def setup(self) -> None:
        """Creates the layers."""
        self.stem_conv = square_conv(
            self.width, 3, implementation=self.convolution, kernel_init=torch_uniform
        )
        self.stem_norm = BatchNorm(dtype=self.dtype)
        make_block = functools.partial(
            PreactivationBlock,
            kernel_init=torch_uniform,
            convolution=self.convolution,
            dtype=self.dtype,
        )
        self.blocks = residual_stages(make_block, BLOCKS[self.depth], self.width)
        if self.final_norm:
            self.last_norm = BatchNorm(dtype=self.dtype)
        if self.num_classes is not None:
            self.head = nn.Dense(self.num_classes, kernel_init=torch_uniform)

    def feature_map(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """The last block's result, before pooling.

        Args:
          inputs: (B, H, W, channels) floats.
          train: whether to normalise by the batch and update `batch_stats`, rather
            than normalise by `batch_stats`.
          mask: (B,) bool, False on padding, which `BatchNorm` then leaves out.

        Returns:
          (B, ceil(H / 8), ceil(W / 8), 8 width) float32; none is negative with
          `final_norm`, without it any may be.

        Raises:
          ValueError: inputs of another rank or of integers.
        """
        x = self.stem_conv(as_images(inputs, self.dtype))
        x = nn.relu(self.stem_norm(x, train=train, mask=mask))
        for block in self.blocks:
            x = block(x, train=train, mask=mask)
        if self.final_norm:
            x = nn.relu(self.last_norm(x, train=train, mask=mask))
        return x.astype(jnp.float32)
