"""What image networks accept."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from robustjax import checks


def as_images(inputs: jax.Array, dtype: Any) -> jax.Array:
    """Images in a network's compute dtype.

    Args:
      inputs: (B, H, W, channels) floats.
      dtype: of the result.

    Raises:
      ValueError: inputs of another rank or of integers.
    """
    checks.rank("inputs", inputs, 4)
    if not jnp.issubdtype(inputs.dtype, jnp.floating):
        raise ValueError(f"inputs: got {inputs.dtype}, expected floats")
    return jnp.asarray(inputs, dtype)
