"""Multi-layer perceptrons on flat inputs."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.models._torch_dense import TorchDense

INITIALIZATIONS = ("he_normal", "torch")


class MLP(nn.Module):
    """Fully connected layers with ReLU between them.

    The classifier of Kim (ECCV 2022) is four such layers on frozen features; the
    paper gives neither widths nor initialisation. Those of Colored MNIST are
    `MLP(10, (100, 100, 100))` (LfF; Nam et al., NeurIPS 2020) and
    `MLP(10, (100, 100, 16))` (DFA; Lee et al., NeurIPS 2021), both with
    `input_scale=1 / 255` and `initialization="torch"`: their code divides by 255 what
    lies in [0, 1] already, so that biases rule the first steps.

    Attributes:
      num_classes: C.
      hidden: widths of the hidden layers.
      dropout: the share of every hidden layer that is dropped in training, from the
        stream "dropout".
      dtype: of the hidden layers' arithmetic; parameters, features and logits are
        float32.
      input_scale: what inputs are multiplied by, > 0.
      initialization: "he_normal", with zero biases, or "torch", PyTorch's own.

    Raises:
      ValueError: a number outside its range, or an unknown initialisation.
    """

    num_classes: int
    hidden: Sequence[int] = (1024, 512, 256)
    dropout: float = 0.0
    dtype: Any = jnp.float32
    input_scale: float = 1.0
    initialization: Literal["he_normal", "torch"] = "he_normal"

    def __post_init__(self) -> None:
        """Checks the arguments now rather than when the network is first applied."""
        checks.in_range("dropout", self.dropout, 0, 1, high_open=True)
        checks.in_range("input_scale", self.input_scale, 0, low_open=True)
        checks.one_of("initialization", self.initialization, INITIALIZATIONS)
        super().__post_init__()

    def setup(self) -> None:
        """Creates the layers."""
        dense = functools.partial(nn.Dense, kernel_init=nn.initializers.he_normal())
        if self.initialization == "torch":
            dense = TorchDense  # type: ignore[assignment]
        self.layers = [
            dense(width, dtype=self.dtype, name=f"hidden{i}")
            for i, width in enumerate(self.hidden)
        ]
        self.drop = nn.Dropout(self.dropout)
        self.head = dense(self.num_classes, dtype=jnp.float32, name="head")

    def stages(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> tuple[jax.Array, ...]:
        """The activations of every hidden layer; the last are the features.

        Args:
          inputs: (B, ...) floats.
          train: whether to drop units.
          mask: makes no difference.

        Returns:
          Of every hidden layer (B, hidden[i]) float32; without hidden layers the flat
          inputs alone.

        Raises:
          ValueError: inputs of integers.
        """
        del mask
        if not jnp.issubdtype(inputs.dtype, jnp.floating):
            # 8-bit images would come in as 0 … 255.
            raise ValueError(f"inputs: got {inputs.dtype}, expected floats")
        x = inputs.reshape(inputs.shape[0], -1).astype(self.dtype)
        if self.input_scale != 1:
            x = x * jnp.asarray(self.input_scale, x.dtype)
        found = []
        for layer in self.layers:
            x = self.drop(nn.relu(layer(x)), deterministic=not train)
            found.append(x.astype(jnp.float32))
        return tuple(found) or (x.astype(jnp.float32),)

    def features(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """The last hidden layer's activations.

        Args:
          inputs: (B, ...) floats.
          train: whether to drop units.
          mask: makes no difference.

        Returns:
          (B, hidden[-1]) float32.
        """
        return self.stages(inputs, train=train, mask=mask)[-1]

    def __call__(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """Logits (B, C) float32 of inputs (B, ...); see `features`."""
        return self.head(self.features(inputs, train=train, mask=mask))
