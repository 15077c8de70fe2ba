"""Residual networks of depth 18, 34, 50 and 101, laid out as PyTorch's."""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.models.convolution import IMPLEMENTATIONS, Conv

STEMS = ("imagenet", "small")

Stem = Literal["imagenet", "small"]
Implementation = Literal["native", "patches"]


class Architecture(NamedTuple):
    """What a depth stands for.

    Attributes:
      blocks: residual blocks per stage.
      bottleneck: whether a block is 1x1, 3x3, 1x1 convolutions, the last with four
        times the channels, rather than two of 3x3.
    """

    blocks: tuple[int, int, int, int]
    bottleneck: bool

    @property
    def features(self) -> int:
        """The width of the pooled features."""
        return 2048 if self.bottleneck else 512


ARCHITECTURES = {
    18: Architecture((2, 2, 2, 2), bottleneck=False),
    34: Architecture((3, 4, 6, 3), bottleneck=False),
    50: Architecture((3, 4, 6, 3), bottleneck=True),
    101: Architecture((3, 4, 23, 3), bottleneck=True),
}

_EXPANSION = 4
_BatchNorm = functools.partial(nn.BatchNorm, momentum=0.9, epsilon=1e-5)
_kernel_init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
_head_init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def _conv(
    features: int, kernel: int, stride: int, implementation: str, name: str | None
) -> Conv:
    # PyTorch pads both sides alike; "SAME" would put the odd zero of a strided
    # convolution on one side and shift every feature map.
    edge = (kernel // 2, kernel // 2)
    return Conv(
        features,
        kernel_size=(kernel, kernel),
        strides=(stride, stride),
        padding=(edge, edge),
        use_bias=False,
        implementation=implementation,
        kernel_init=_kernel_init,
        name=name,
    )


class ResidualBlock(nn.Module):
    """Two (basic) or three (bottleneck) convolutions around a shortcut.

    Attributes:
      channels: of the inner convolutions.
      bottleneck: see `Architecture`.
      stride: of the first 3x3 convolution and of the shortcut.
      convolution: see `ResNet`.
    """

    channels: int
    bottleneck: bool
    stride: int = 1
    convolution: Implementation = "native"

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """Maps (B, H, W, C) to (B, ceil(H / stride), ceil(W / stride), C')."""
        c, s = self.channels, self.stride
        plan = [(c, 3, s), (c, 3, 1)]
        if self.bottleneck:
            plan = [(c, 1, 1), (c, 3, s), (_EXPANSION * c, 1, 1)]
        x = inputs
        for i, (features, kernel, stride) in enumerate(plan, 1):
            x = nn.relu(x) if i > 1 else x
            x = _conv(features, kernel, stride, self.convolution, f"conv{i}")(x)
            x = _BatchNorm(use_running_average=not train, name=f"norm{i}")(x)
        shortcut = inputs
        if s > 1 or inputs.shape[-1] != x.shape[-1]:
            project = _conv(x.shape[-1], 1, s, self.convolution, "shortcut_conv")
            norm = _BatchNorm(use_running_average=not train, name="shortcut_norm")
            shortcut = norm(project(inputs))
        return nn.relu(x + shortcut)


class ResNet(nn.Module):
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
      convolution: "native" or "patches", see `robustjax.models.convolution`; both
        have the same parameters, and the same results up to rounding.

    Raises:
      ValueError: an unknown depth, stem or convolution, or `num_classes` below one.
    """

    depth: int
    num_classes: int | None = None
    stem: Stem = "imagenet"
    convolution: Implementation = "native"

    def __post_init__(self) -> None:
        """Checks the arguments now rather than when the network is first applied."""
        if self.depth not in ARCHITECTURES:
            known = ", ".join(map(str, ARCHITECTURES))
            raise ValueError(f"depth: got {self.depth}, expected one of {known}")
        if self.num_classes is not None:
            checks.at_least("num_classes", self.num_classes, 1)
        checks.one_of("stem", self.stem, STEMS)
        checks.one_of("convolution", self.convolution, IMPLEMENTATIONS)
        super().__post_init__()

    def setup(self) -> None:
        """Creates the layers."""
        architecture = ARCHITECTURES[self.depth]
        kernel, stride = (7, 2) if self.stem == "imagenet" else (3, 1)
        self.stem_conv = _conv(64, kernel, stride, self.convolution, None)
        self.stem_norm = _BatchNorm()
        self.blocks = [
            ResidualBlock(
                channels=64 * 2**stage,
                bottleneck=architecture.bottleneck,
                stride=2 if stage > 0 and block == 0 else 1,
                convolution=self.convolution,
                name=f"stage{stage + 1}_block{block + 1}",
            )
            for stage, count in enumerate(architecture.blocks)
            for block in range(count)
        ]
        if self.num_classes is not None:
            self.head = nn.Dense(self.num_classes, kernel_init=_head_init)

    def features(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """Global averages of the last feature maps.

        Args:
          inputs: (B, H, W, channels) floats.
          train: whether to normalise by the batch and update `batch_stats`, rather
            than normalise by `batch_stats`.

        Returns:
          (B, 512) float32, or (B, 2048) from depth 50 on.

        Raises:
          ValueError: inputs of another rank or of integers.
        """
        checks.rank("inputs", inputs, 4)
        if not jnp.issubdtype(inputs.dtype, jnp.floating):
            raise ValueError(f"inputs: got {inputs.dtype}, expected floats")
        x = self.stem_norm(self.stem_conv(inputs), use_running_average=not train)
        x = nn.relu(x)
        if self.stem == "imagenet":
            # The padding counts as -inf, so it never wins.
            x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        for block in self.blocks:
            x = block(x, train=train)
        return jnp.mean(x.astype(jnp.float32), axis=(1, 2))

    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """Logits (B, C), or features where `num_classes` is None; see `features`."""
        x = self.features(inputs, train=train)
        return x if self.num_classes is None else self.head(x)
