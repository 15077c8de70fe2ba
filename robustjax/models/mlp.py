"""Multi-layer perceptrons on flat inputs."""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax


class MLP(nn.Module):
    """Fully connected layers with ReLU between them, He-normal initialised.

    The classifier of Kim (ECCV 2022) is four such layers on frozen features; the
    paper gives neither widths nor initialisation.

    Attributes:
      num_classes: C.
      hidden: widths of the hidden layers.
    """

    num_classes: int
    hidden: Sequence[int] = (1024, 512, 256)

    def setup(self) -> None:
        """Creates the layers."""
        init = nn.initializers.he_normal()
        self.layers = [
            nn.Dense(width, kernel_init=init, name=f"hidden{i}")
            for i, width in enumerate(self.hidden)
        ]
        self.head = nn.Dense(self.num_classes, kernel_init=init, name="head")

    def features(self, inputs: jax.Array) -> jax.Array:
        """The last hidden layer's activations, (B, hidden[-1])."""
        x = inputs.reshape(inputs.shape[0], -1)
        for layer in self.layers:
            x = nn.relu(layer(x))
        return x

    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """Logits (B, C) of inputs (B, ...); `train` makes no difference."""
        del train
        return self.head(self.features(inputs))
