"""An autoencoder of structure and style, small enough for 28 and 32 pixels.

Park et al., "Swapping Autoencoder for Deep Image Manipulation" (NeurIPS 2020), in the
form that BiaSwap (Kim, Lee, Choo, ICCV 2021) needs for small images. Images are
(B, H, W, 3) floats in [-1, 1].
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.models._equalized import (
    DownStack,
    EqualConv,
    EqualDense,
    ModulatedConv,
    StyledBlock,
    leaky,
    unit_length,
)


class SwapEncoder(nn.Module):
    """From an image to its structure, a small map, and its style, a vector.

    Attributes:
      widths: channels of the first layer and of every halved map; three for 28 and 32
        pixels, four or five for 64 to 128. The original has 32, 64, …
      structure: channels of the structure code.
      style: length of the style code; the original has 2,048.
      implementation: see `conv2d`.

    Raises:
      ValueError: fewer than two widths, or a number below one.
    """

    widths: Sequence[int] = (32, 64, 128)
    structure: int = 8
    style: int = 128
    implementation: str = "native"

    def __post_init__(self) -> None:
        """Checks the arguments now rather than when the network is first applied."""
        if len(self.widths) < 2:
            raise ValueError(f"widths: got {self.widths}, expected two numbers or more")
        checks.at_least("structure", self.structure, 1)
        checks.at_least("style", self.style, 1)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Codes of images.

        Args:
          images: (B, H, W, 3); every halving is rounded up, and at least 7 pixels must
            be left.

        Returns:
          (structure (B, h, w, structure), of length 1 at every position; style
          (B, style), of length 1).

        Raises:
          ValueError: images of another rank, or too small.
        """
        checks.rank("images", images, 4)
        x = DownStack(self.widths, self.implementation, name="down")(images)
        if min(x.shape[1:3]) < 7:
            raise ValueError(
                f"images: got {images.shape}, whose {len(self.widths) - 1} halvings "
                f"leave {x.shape[1:3]}, expected at least 7 pixels a side"
            )
        conv = functools.partial(EqualConv, implementation=self.implementation)
        spot = leaky(conv(self.widths[-1], 1, name="structure0")(x))
        structure = conv(self.structure, 1, name="structure1")(spot)
        for i in range(2):
            x = leaky(conv(self.widths[-1], stride=2, pad=False, name=f"style{i}")(x))
        style = EqualDense(self.style, name="style_dense")(jnp.mean(x, axis=(1, 2)))
        return unit_length(structure), unit_length(style)


class SwapGenerator(nn.Module):
    """From structure and style to an image.

    Attributes:
      widths: those of the encoder, in its order.
      implementation: see `conv2d`.

    Raises:
      ValueError: fewer than two widths.
    """

    widths: Sequence[int] = (32, 64, 128)
    implementation: str = "native"

    def __post_init__(self) -> None:
        """Checks the arguments now rather than when the network is first applied."""
        if len(self.widths) < 2:
            raise ValueError(f"widths: got {self.widths}, expected two numbers or more")
        super().__post_init__()

    @nn.compact
    def __call__(
        self, structure: jax.Array, style: jax.Array, key: jax.Array | None = None
    ) -> jax.Array:
        """Images (B, H, W, 3), not bounded; H is h doubled once per halving.

        Args:
          structure: (B, h, w, c).
          style: (B, S).
          key: of the noise; None for none, as in translations.
        """
        channels = structure.shape[-1]
        scale = EqualDense(channels, 1.0, name="scale")(style)
        shift = EqualDense(channels, name="shift")(style)
        x = structure * scale[:, None, None] + shift[:, None, None]
        plan = [(self.widths[-1], False)] * 2
        plan += [(width, True) for width in reversed(self.widths[:-1])]
        for i, (width, up) in enumerate(plan):
            noise = None if key is None else jax.random.fold_in(key, i)
            block = StyledBlock(width, up, self.implementation, name=f"block{i}")
            x = block(x, style, noise)
        to_rgb = ModulatedConv(
            3, 1, demodulate=False, implementation=self.implementation, name="to_rgb"
        )
        return to_rgb(x, style)


class ImageDiscriminator(nn.Module):
    """How real an image looks; residual, without statistics over the batch.

    Attributes:
      widths: channels of the first layer and of every halved map.
      implementation: see `conv2d`.
    """

    widths: Sequence[int] = (32, 64, 128, 128)
    implementation: str = "native"

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits (B,) of images (B, H, W, 3)."""
        x = DownStack(self.widths, self.implementation, name="down")(images)
        last = EqualConv(
            self.widths[-1], implementation=self.implementation, name="last_conv"
        )
        x = leaky(last(x))
        x = leaky(EqualDense(self.widths[-1], name="dense")(x.reshape(x.shape[0], -1)))
        return EqualDense(1, name="head")(x)[:, 0]


class PatchDiscriminator(nn.Module):
    """Whether patches are from the image that reference patches are from.

    Attributes:
      widths: channels of the first layer and of every halved map.
      hidden: units of both hidden layers behind the joined features.
      implementation: see `conv2d`.
    """

    widths: Sequence[int] = (32, 64, 128)
    hidden: int = 256
    implementation: str = "native"

    @nn.compact
    def __call__(self, reference: jax.Array, target: jax.Array) -> jax.Array:
        """Logits of every target patch.

        Args:
          reference: (B, K, p, p, 3) patches of one image each row.
          target: (B, L, p, p, 3) patches to be judged.

        Returns:
          (B, L).
        """
        batch, count = reference.shape[:2]
        both = jnp.concatenate([reference, target], axis=1)
        flat = both.reshape(-1, *both.shape[2:])
        x = DownStack(self.widths, self.implementation, name="down")(flat)
        last = EqualConv(
            self.widths[-1], implementation=self.implementation, name="last_conv"
        )
        x = leaky(last(x))
        x = x.reshape(batch, both.shape[1], -1)
        mean = jnp.mean(x[:, :count], axis=1, keepdims=True)
        own = x[:, count:]
        x = jnp.concatenate([jnp.broadcast_to(mean, own.shape), own], axis=-1)
        for i in range(2):
            x = leaky(EqualDense(self.hidden, name=f"dense{i}")(x))
        return EqualDense(1, name="head")(x)[..., 0]
