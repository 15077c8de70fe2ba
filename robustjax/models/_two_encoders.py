"""DFA's network: one encoder for what is intrinsic to a class, one for its bias.

Lee, Kim, Lee, Lee, Choo, "Learning Debiased Representation via Disentangled Feature
Augmentation", NeurIPS 2021.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.models._torch_dense import TorchDense


class TwoEncoderClassifier(nn.Module):
    """Two encoders of one architecture, and two heads on both their features.

    The features are joined as [intrinsic; bias] for both heads. No gradient goes from a
    head into the other's encoder, whatever the loss.

    Published: Colored MNIST `MLP(10, (100, 100, 16))` as the encoder, its inputs
    divided by 255 once more (see `MLP`); corrupted CIFAR-10 and bFFHQ
    `ResNet(18)`, which is ImageNet's form, not pre-trained.

    Attributes:
      encoder: a network with a method `features`, (B, ...) -> (B, d); used twice, with
        parameters of their own.
      num_classes: C.

    Raises:
      ValueError: no class, or an encoder without `features`.
    """

    encoder: nn.Module
    num_classes: int

    def __post_init__(self) -> None:
        """Checks the arguments now rather than when the network is first applied."""
        checks.at_least("num_classes", self.num_classes, 1)
        if not callable(getattr(type(self.encoder), "features", None)):
            raise ValueError(
                f"encoder: got {type(self.encoder).__name__}, expected a network with "
                "a method 'features'"
            )
        super().__post_init__()

    def setup(self) -> None:
        """Creates the encoders and the heads."""
        self.intrinsic_encoder = self.encoder.clone()
        self.bias_encoder = self.encoder.clone()
        self.intrinsic_head = TorchDense(self.num_classes)
        self.bias_head = TorchDense(self.num_classes)

    def encode(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Both encoders' features.

        Args:
          inputs: (B, ...) floats.
          train: as of the encoder.
          mask: (B,) bool, False on padding.

        Returns:
          (intrinsic, bias), (B, d) float32 each.
        """
        return (
            self.intrinsic_encoder.features(inputs, train=train, mask=mask),
            self.bias_encoder.features(inputs, train=train, mask=mask),
        )

    def intrinsic_logits(self, intrinsic: jax.Array, bias: jax.Array) -> jax.Array:
        """Logits (B, C) of the classifier proper; no gradient goes into `bias`."""
        bias = jax.lax.stop_gradient(bias)
        return self.intrinsic_head(jnp.concatenate([intrinsic, bias], axis=-1))

    def bias_logits(self, intrinsic: jax.Array, bias: jax.Array) -> jax.Array:
        """Logits (B, C) of the biased one; no gradient goes into `intrinsic`."""
        intrinsic = jax.lax.stop_gradient(intrinsic)
        return self.bias_head(jnp.concatenate([intrinsic, bias], axis=-1))

    def both_logits(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Logits (B, C) of the classifier proper and of the biased one."""
        features = self.encode(inputs, train=train, mask=mask)
        return self.intrinsic_logits(*features), self.bias_logits(*features)

    def __call__(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """Logits (B, C) float32 of the classifier proper."""
        # What is not needed of both is not compiled; but both have parameters.
        return self.both_logits(inputs, train=train, mask=mask)[0]
