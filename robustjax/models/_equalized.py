"""Layers of image-to-image networks whose weights all start at the same size.

Karras et al., "Progressive Growing of GANs" (ICLR 2018) for the equalised learning
rate, "Analyzing and Improving the Image Quality of StyleGAN" (CVPR 2020) for the
residual blocks and the modulated convolution.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from robustjax.models._convolution import conv2d

_NORMAL = nn.initializers.normal(1.0)
_GAIN = math.sqrt(2.0)
_TINY = 1e-8


def leaky(x: jax.Array) -> jax.Array:
    """Leaky ReLU of slope 0.2, scaled to keep the variance."""
    return nn.leaky_relu(x, 0.2) * _GAIN


def unit_length(x: jax.Array) -> jax.Array:
    """Vectors along the last axis, of length 1."""
    return x * jax.lax.rsqrt(jnp.sum(x**2, axis=-1, keepdims=True) + _TINY)


def reflected(x: jax.Array, before: int, after: int) -> jax.Array:
    """(B, H, W, C) padded by its mirror image on all sides."""
    pads = ((0, 0), (before, after), (before, after), (0, 0))
    return jnp.pad(x, pads, mode="reflect")


def blurred(x: jax.Array) -> jax.Array:
    """(B, H, W, C) smoothed by [1, 2, 1] / 4 along both axes, of unchanged size."""
    x = reflected(x, 1, 1)
    x = (x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]) / 4
    return (x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]) / 4


def doubled(x: jax.Array) -> jax.Array:
    """(B, H, W, C) as (B, 2 H, 2 W, C), bilinearly."""
    shape = (x.shape[0], 2 * x.shape[1], 2 * x.shape[2], x.shape[3])
    return jax.image.resize(x, shape, "bilinear")


class EqualDense(nn.Module):
    """A dense layer of weights N(0, 1), which are scaled when they are used.

    Attributes:
      features: outputs.
      bias: what biases start with.
    """

    features: int
    bias: float = 0.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (..., d) to (..., features)."""
        width = x.shape[-1]
        kernel = self.param("kernel", _NORMAL, (width, self.features))
        start = nn.initializers.constant(self.bias)
        bias = self.param("bias", start, (self.features,))
        product = x @ (kernel * width**-0.5)
        return product + jnp.broadcast_to(bias, product.shape)


class EqualConv(nn.Module):
    """A square convolution of weights N(0, 1), which are scaled when they are used.

    Attributes:
      features: channels of the result.
      kernel: its side.
      stride: along both axes; above 1 the input is blurred before.
      pad: whether the input is mirrored at its border, so that the size stays (or is
        divided by the stride, rounded up).
      implementation: see `conv2d`.
    """

    features: int
    kernel: int = 3
    stride: int = 1
    pad: bool = True
    implementation: str = "native"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolves (B, H, W, C) to (B, H', W', features)."""
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", _NORMAL, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        scale = (self.kernel**2 * x.shape[-1]) ** -0.5
        if self.stride > 1:
            x = blurred(x)
        if self.pad and self.kernel > 1:
            x = reflected(x, self.kernel // 2, self.kernel // 2)
        x = conv2d(
            x,
            kernel * scale,
            strides=(self.stride,) * 2,
            padding="VALID",
            implementation=self.implementation,
        )
        return x + jnp.broadcast_to(bias, x.shape)


class ModulatedConv(nn.Module):
    """A convolution whose input channels a style scales, image by image.

    Attributes:
      features: channels of the result.
      kernel: its side.
      demodulate: whether every result's channel is brought back to unit variance.
      implementation: see `conv2d`.
    """

    features: int
    kernel: int = 3
    demodulate: bool = True
    implementation: str = "native"

    @nn.compact
    def __call__(self, x: jax.Array, style: jax.Array) -> jax.Array:
        """Convolves (B, H, W, C) under a style (B, S) to (B, H, W, features)."""
        channels = x.shape[-1]
        scale = EqualDense(channels, 1.0, name="scale")(style)
        shape = (self.kernel, self.kernel, channels, self.features)
        kernel = self.param("kernel", _NORMAL, shape)
        kernel = kernel * (self.kernel**2 * channels) ** -0.5
        if self.kernel > 1:
            x = reflected(x, self.kernel // 2, self.kernel // 2)
        # Scaling the input is scaling the kernel, without a kernel per image.
        x = conv2d(
            x * scale[:, None, None],
            kernel,
            padding="VALID",
            implementation=self.implementation,
        )
        if self.demodulate:
            power = jnp.sum(kernel**2, axis=(0, 1))
            x = x * jax.lax.rsqrt(scale**2 @ power + _TINY)[:, None, None]
        return x


class DownBlock(nn.Module):
    """A residual block that halves the image (rounded up).

    Attributes:
      features: channels of the result.
      implementation: see `conv2d`.
    """

    features: int
    implementation: str = "native"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (B, H, W, C) to (B, ceil(H / 2), ceil(W / 2), features)."""
        conv = functools.partial(EqualConv, implementation=self.implementation)
        y = leaky(conv(x.shape[-1], name="conv0")(x))
        y = leaky(conv(self.features, stride=2, name="conv1")(y))
        skip = conv(self.features, 1, 2, name="skip")(x)
        return (y + skip) / _GAIN


class StyledBlock(nn.Module):
    """A residual block of two modulated convolutions with noise.

    Attributes:
      features: channels of the result.
      up: whether the image is doubled.
      implementation: see `conv2d`.
    """

    features: int
    up: bool = False
    implementation: str = "native"

    @nn.compact
    def __call__(
        self, x: jax.Array, style: jax.Array, key: jax.Array | None
    ) -> jax.Array:
        """Maps (B, H, W, C) to (B, H', W', features).

        Args:
          x: features.
          style: (B, S).
          key: of the noise; None for none.
        """
        skip = x
        if self.up:
            x, skip = doubled(x), doubled(x)
        modulated = functools.partial(ModulatedConv, implementation=self.implementation)
        for i in range(2):
            x = modulated(self.features, name=f"conv{i}")(x, style)
            strength = self.param(f"noise{i}", nn.initializers.zeros, ())
            if key is not None:
                shape = (*x.shape[:3], 1)
                noise = jax.random.normal(jax.random.fold_in(key, i), shape)
                x = x + strength * noise
            bias = self.param(f"bias{i}", nn.initializers.zeros, (self.features,))
            x = leaky(x + jnp.broadcast_to(bias, x.shape))
        if skip.shape[-1] != self.features:
            own = EqualConv(
                self.features, 1, implementation=self.implementation, name="skip"
            )
            skip = own(skip)
        return (x + skip) / _GAIN


class DownStack(nn.Module):
    """From an image to a small map: a 1x1 convolution, then halvings.

    Attributes:
      widths: channels after the 1x1 convolution and after every halving.
      implementation: see `conv2d`.
    """

    widths: Sequence[int]
    implementation: str = "native"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (B, H, W, 3) to (B, h, w, widths[-1])."""
        first = EqualConv(
            self.widths[0], 1, implementation=self.implementation, name="from_rgb"
        )
        x = leaky(first(x))
        for i, width in enumerate(self.widths[1:]):
            x = DownBlock(width, self.implementation, name=f"block{i}")(x)
        return x
