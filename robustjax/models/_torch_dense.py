"""A dense layer that starts as PyTorch's does, biases included."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from robustjax.models._initializers import torch_uniform


class TorchDense(nn.Module):
    """`nn.Dense` with weights and biases uniform in ±1 / sqrt(inputs).

    Flax's own initialiser of a bias does not know how many inputs there are.

    Attributes:
      features: outputs.
      dtype: of the arithmetic; parameters are float32.
    """

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Maps (..., d) to (..., features)."""
        width = inputs.shape[-1]
        bound = width**-0.5

        def bias_init(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
            return jax.random.uniform(key, shape, jnp.float32, -bound, bound)

        kernel = self.param("kernel", torch_uniform, (width, self.features))
        bias = self.param("bias", bias_init, (self.features,))
        product = inputs.astype(self.dtype) @ kernel.astype(self.dtype)
        return product + jnp.broadcast_to(bias.astype(self.dtype), product.shape)
