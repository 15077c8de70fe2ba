"""Residual networks of depth 18, 34, 50 and 101, laid out as PyTorch's."""

from __future__ import annotations

import functools
import itertools
from typing import Any, Literal, NamedTuple

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
from robustjax.models._residual_stages import residual_stages

STEMS = ("imagenet", "small")

Stem = Literal["imagenet", "small"]


class Architecture(NamedTuple):
    """What a depth stands for.

    Attributes:
      blocks: residual blocks per stage.
      bottleneck: whether a block is 1x1, 3x3, 1x1 convolutions, the last with four
        times the channels, rather than two of 3x3.
    """

    blocks: tuple[int, int, int, int]
    bottleneck: bool


ARCHITECTURES = {
    18: Architecture((2, 2, 2, 2), bottleneck=False),
    34: Architecture((3, 4, 6, 3), bottleneck=False),
    50: Architecture((3, 4, 6, 3), bottleneck=True),
    101: Architecture((3, 4, 23, 3), bottleneck=True),
}

_EXPANSION = 4


class ResidualBlock(nn.Module):
    """Two (basic) or three (bottleneck) convolutions around a shortcut.

    Attributes:
      channels: of the inner convolutions.
      bottleneck: see `Architecture`.
      stride: of the first 3x3 convolution and of the shortcut.
      convolution: see `ResNet`.
      dtype: see `ResNet`.
    """

    channels: int
    bottleneck: bool
    stride: int = 1
    convolution: Implementation = "native"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """Maps (B, H, W, C) to (B, ceil(H / stride), ceil(W / stride), C')."""

        def conv(
            x: jax.Array, features: int, kernel: int, stride: int, name: str
        ) -> jax.Array:
            return square_conv(
                features,
                kernel,
                stride,
                implementation=self.convolution,
                kernel_init=he_fan_out,
                name=name,
            )(x)

        def norm(x: jax.Array, name: str) -> jax.Array:
            return BatchNorm(dtype=self.dtype, name=name)(x, train=train, mask=mask)

        c, s = self.channels, self.stride
        plan = [(c, 3, s), (c, 3, 1)]
        if self.bottleneck:
            plan = [(c, 1, 1), (c, 3, s), (_EXPANSION * c, 1, 1)]
        x = inputs
        for i, (features, kernel, stride) in enumerate(plan, 1):
            x = nn.relu(x) if i > 1 else x
            x = norm(conv(x, features, kernel, stride, f"conv{i}"), f"norm{i}")
        shortcut = inputs
        if s > 1 or inputs.shape[-1] != x.shape[-1]:
            shortcut = conv(inputs, x.shape[-1], 1, s, "shortcut_conv")
            shortcut = norm(shortcut, "shortcut_norm")
        return nn.relu(x + shortcut)


class ResNet(PooledClassifier):
    """The residual network of He et al. (CVPR 2016), in its v1.5 form.

    Source: "Deep Residual Learning for Image Recognition". v1.5 is what PyTorch's
    published weights are for: the stride of a bottleneck sits in its 3x3
    convolution, not in the first 1x1 as in the paper. Initialisation is PyTorch's
    too (He-normal by fan-out; uniform for the head, but zero biases). In training
    the running variance averages the biased batch variances, as Flax has it, where
    PyTorch averages the unbiased ones.

    Attributes:
      depth: 18, 34, 50 or 101.
      num_classes: C; with None there is no head and logits are the pooled features.
      stem: "imagenet" for a 7x7 convolution of stride 2 and 3x3 max pooling of
        stride 2; "small" for a 3x3 convolution of stride 1 without pooling, the
        habit for images of 32 pixels.
      convolution: "native" or "patches", see `robustjax.models.conv2d`; both
        have the same parameters, and the same results up to rounding.
      width: channels of the first stage, 64 in the paper.
      head_bias: whether the head has biases; the CIFAR networks of TAUFE have none.
      dtype: of the arithmetic up to the features; parameters, `batch_stats`,
        features and logits are float32.

    Raises:
      ValueError: an unknown depth, stem or convolution, or `num_classes` or `width`
        below one.
    """

    depth: int
    num_classes: int | None = None
    stem: Stem = "imagenet"
    convolution: Implementation = "native"
    width: int = 64
    head_bias: bool = True
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        """Checks the arguments now rather than when the network is first applied."""
        if self.depth not in ARCHITECTURES:
            known = ", ".join(map(str, ARCHITECTURES))
            raise ValueError(f"depth: got {self.depth}, expected one of {known}")
        if self.num_classes is not None:
            checks.at_least("num_classes", self.num_classes, 1)
        checks.at_least("width", self.width, 1)
        checks.one_of("stem", self.stem, STEMS)
        checks.one_of("convolution", self.convolution, IMPLEMENTATIONS)
        super().__post_init__()

    def setup(self) -> None:
        """Creates the layers."""
        architecture = ARCHITECTURES[self.depth]
        kernel, stride = (7, 2) if self.stem == "imagenet" else (3, 1)
        self.stem_conv = square_conv(
            self.width,
            kernel,
            stride,
            implementation=self.convolution,
            kernel_init=he_fan_out,
        )
        self.stem_norm = BatchNorm(dtype=self.dtype)
        make_block = functools.partial(
            ResidualBlock,
            bottleneck=architecture.bottleneck,
            convolution=self.convolution,
            dtype=self.dtype,
        )
        self.blocks = residual_stages(make_block, architecture.blocks, self.width)
        if self.num_classes is not None:
            self.head = nn.Dense(
                self.num_classes, use_bias=self.head_bias, kernel_init=torch_uniform
            )

    def stages(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> tuple[jax.Array, ...]:
        """The activations behind each of the four stages; the last is `feature_map`.

        Args:
          inputs: (B, H, W, channels) floats.
          train: whether to normalise by the batch and update `batch_stats`, rather
            than normalise by `batch_stats`.
          mask: (B,) bool, False on padding, which `BatchNorm` then leaves out.

        Returns:
          Four (B, h, w, channels) float32, none negative; every stage halves h and w
          (rounded up) and has twice the channels of the one before.

        Raises:
          ValueError: inputs of another rank or of integers.
        """
        x = self.stem_conv(as_images(inputs, self.dtype))
        x = nn.relu(self.stem_norm(x, train=train, mask=mask))
        if self.stem == "imagenet":
            # The padding counts as -inf, so it never wins.
            x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        found, blocks = [], iter(self.blocks)
        for count in ARCHITECTURES[self.depth].blocks:
            for block in itertools.islice(blocks, count):
                x = block(x, train=train, mask=mask)
            found.append(x.astype(jnp.float32))
        return tuple(found)

    def feature_map(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """The last block's activations, before pooling.

        Args:
          inputs: (B, H, W, channels) floats.
          train: see `stages`.
          mask: see `stages`.

        Returns:
          (B, h, w, 8 width) float32, or 32 width channels from depth 50 on; none is
          negative. h and w are H and W over 32 with the stem "imagenet", over 8 with
          "small", rounded up.

        Raises:
          ValueError: inputs of another rank or of integers.
        """
        return self.stages(inputs, train=train, mask=mask)[-1]
