"""From hidden states to logits, or to the log-likelihood of given tokens."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from robustjax.models.language._config import LlamaConfig

# Tokens whose logits are in memory at one time: of 49,152 tokens 200 MB.
_TOKENS_AT_ONCE = 1024


def logits(config: LlamaConfig, params: Any, hidden: jax.Array) -> jax.Array:
    """Logits of the next token.

    Args:
      config: sizes of the model.
      params: of the model.
      hidden: (..., D) from `hidden_states`.

    Returns:
      (..., V) float32.
    """
    matrix = params["embed"].T if config.tied_head else params["head"]
    return jnp.matmul(
        hidden, matrix.astype(hidden.dtype), preferred_element_type=jnp.float32
    )


def log_likelihoods(
    config: LlamaConfig, params: Any, hidden: jax.Array, targets: jax.Array
) -> jax.Array:
    """The log-probability of a token at every place, without all logits at once.

    Blocks of tokens are computed one after the other, and again for the gradient.

    Args:
      config: sizes of the model.
      params: of the model.
      hidden: (B, T, D) from `hidden_states`.
      targets: (B, T) integers in [0, V).

    Returns:
      (B, T) float32, at most 0; NaN where a target is out of range.
    """
    batch, length, _ = hidden.shape
    per_block = max(1, min(length, _TOKENS_AT_ONCE // batch))
    padding = -length % per_block

    def blocks(array: jax.Array) -> jax.Array:
        widths = [(0, 0), (0, padding)] + [(0, 0)] * (array.ndim - 2)
        array = jnp.pad(array, widths)
        parts = array.reshape(batch, -1, per_block, *array.shape[2:])
        return jnp.moveaxis(parts, 1, 0)

    @jax.checkpoint
    def one(part: tuple[jax.Array, jax.Array]) -> jax.Array:
        states, wanted = part
        scores = logits(config, params, states)
        # A negative index counts from the end; one beyond it gives NaN.
        wanted = jnp.where(wanted < 0, config.vocab_size, wanted)
        picked = jnp.take_along_axis(scores, wanted[..., None], axis=-1)[..., 0]
        return picked - jax.nn.logsumexp(scores, axis=-1)

    found = jax.lax.map(one, (blocks(hidden), blocks(targets)))
    return jnp.moveaxis(found, 0, 1).reshape(batch, -1)[:, :length]
