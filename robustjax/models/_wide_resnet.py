"""Wide residual networks for small images."""

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
from robustjax.models._initializers import he_fan_out, torch_uniform
from robustjax.models._inputs import as_images
from robustjax.models._normalization import BatchNorm
from robustjax.models._pooled_classifier import PooledClassifier
from robustjax.models._preactivation_block import PreactivationBlock, rectify
from robustjax.models._residual_stages import residual_stages


class WideResNet(PooledClassifier):
    """WRN-depth-factor of Zagoruyko and Komodakis (BMVC 2016).

    A 3x3 convolution, three stages of pre-activation blocks with 16, 32 and 64 times
    the factor in channels, BatchNorm, ReLU, global average. He-normal initialised by
    fan-out; the head uniformly, with zero biases. The network of MixMatch is
    WRN-28-2 with a leaky ReLU and slower running averages, see the attributes.

    Attributes:
      depth: 6 n + 4 for n blocks per stage, such as 28 or 40.
      factor: k, the widening factor, such as 10 or 2.
      num_classes: C; with None there is no head and logits are the pooled features.
      dropout: the share of values that is dropped between a block's convolutions in
        training, from the stream "dropout"; the paper has 0 or 0.3.
      convolution: "native" or "patches", see `robustjax.models.conv2d`; both
        have the same parameters, and the same results up to rounding.
      width: channels of the stem, 16 in the paper.
      negative_slope: of the leaky ReLU, 0 for a ReLU; MixMatch has 0.1.
      norm_decay: how much of BatchNorm's running averages a step keeps; MixMatch
        has 0.999, with which they need some thousand steps.
      dtype: of the arithmetic up to the features; parameters, `batch_stats`,
        features and logits are float32.

    Raises:
      ValueError: a depth of another form, an unknown convolution, a dropout, slope
        or decay outside [0, 1), or `factor`, `num_classes` or `width` below one.
    """

    depth: int
    factor: int
    num_classes: int | None = None
    dropout: float = 0.0
    convolution: Implementation = "native"
    width: int = 16
    negative_slope: float = 0.0
    norm_decay: float = 0.9
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        """Checks the arguments now rather than when the network is first applied."""
        if self.depth < 10 or self.depth % 6 != 4:
            raise ValueError(
                f"depth: got {self.depth}, expected 6 n + 4 for n >= 1 blocks per stage"
            )
        checks.at_least("factor", self.factor, 1)
        if self.num_classes is not None:
            checks.at_least("num_classes", self.num_classes, 1)
        for name in ("dropout", "negative_slope", "norm_decay"):
            checks.in_range(name, getattr(self, name), 0, 1, high_open=True)
        checks.one_of("convolution", self.convolution, IMPLEMENTATIONS)
        checks.at_least("width", self.width, 1)
        super().__post_init__()

    def setup(self) -> None:
        """Creates the layers."""
        self.stem_conv = square_conv(
            self.width, 3, implementation=self.convolution, kernel_init=he_fan_out
        )
        blocks = (self.depth - 4) // 6
        make_block = functools.partial(
            PreactivationBlock,
            kernel_init=he_fan_out,
            dropout=self.dropout,
            negative_slope=self.negative_slope,
            norm_decay=self.norm_decay,
            convolution=self.convolution,
            dtype=self.dtype,
        )
        self.blocks = residual_stages(
            make_block, (blocks,) * 3, self.width * self.factor
        )
        self.last_norm = BatchNorm(momentum=self.norm_decay, dtype=self.dtype)
        if self.num_classes is not None:
            self.head = nn.Dense(self.num_classes, kernel_init=torch_uniform)

    def feature_map(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """The activations behind the last block, before pooling.

        Args:
          inputs: (B, H, W, channels) floats.
          train: whether to drop values, to normalise by the batch and to update
            `batch_stats`, rather than normalise by `batch_stats`.
          mask: (B,) bool, False on padding, which `BatchNorm` then leaves out.

        Returns:
          (B, ceil(H / 4), ceil(W / 4), 4 width factor) float32.

        Raises:
          ValueError: inputs of another rank or of integers.
        """
        x = self.stem_conv(as_images(inputs, self.dtype))
        for block in self.blocks:
            x = block(x, train=train, mask=mask)
        x = rectify(self.last_norm(x, train=train, mask=mask), self.negative_slope)
        return x.astype(jnp.float32)
