"""From a batch of rows to one loss per text, or to logits per token."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from robustjax.models import language

# Below this loss, the probability of everything else is that of rounding.
_LEAST_LOSS = 1e-6


class Weights(NamedTuple):
    """What a forward pass needs beside tokens.

    Attributes:
      config: sizes of the model.
      params: of the model.
      adapters: or None.
      scale: of the adapters.
    """

    config: language.LlamaConfig
    params: Any
    adapters: Any = None
    scale: float = 1.0

    def hidden(self, tokens: jax.Array, segments: jax.Array, **options: Any) -> Any:
        """See `language.hidden_states`."""
        return language.hidden_states(
            self.config,
            self.params,
            tokens,
            segments=segments,
            adapters=self.adapters,
            adapter_scale=self.scale,
            **options,
        )


def targets_of(rows: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(B, T) the token that comes next, and whether it is to be learned there.

    Args:
      rows: (B, 3, T) tokens, segments, answers.
    """
    tokens, segments, answers = rows[:, 0], rows[:, 1], rows[:, 2]

    def following(array: jax.Array) -> jax.Array:
        return jnp.pad(array[:, 1:], ((0, 0), (0, 1)))

    same = (following(segments) == segments) & (segments > 0)
    return following(tokens), same & (following(answers) > 0)


def text_losses(
    weights: Weights, rows: jax.Array, num_segments: int, **options: Any
) -> tuple[jax.Array, jax.Array]:
    """The summed loss and the number of answer tokens of every text of a batch.

    Args:
      weights: of the model.
      rows: (B, 3, T) tokens, segments, answers.
      num_segments: S, the most texts of a row.
      **options: of `language.hidden_states`.

    Returns:
      (B, S) float32 sums of negative log-likelihoods, and (B, S) float32 counts; 0 of
      a text that is not there.
    """
    hidden = weights.hidden(rows[:, 0], rows[:, 1], **options)
    targets, counted = targets_of(rows)
    found = language.log_likelihoods(weights.config, weights.params, hidden, targets)
    numbers = jnp.arange(1, num_segments + 1)
    inside = (rows[:, 1, :, None] == numbers[None, None]) & counted[..., None]
    sums = jnp.sum(jnp.where(inside, -found[..., None], 0.0), axis=1)
    return sums, jnp.sum(inside, axis=1, dtype=jnp.float32)


def token_logits(weights: Weights, rows: jax.Array, **options: Any) -> jax.Array:
    """(B, T, V) logits of the next token at every place."""
    hidden = weights.hidden(rows[:, 0], rows[:, 1], **options)
    return language.logits(weights.config, weights.params, hidden)


def sequence_logits(losses: jax.Array) -> jax.Array:
    """A text as an example of two classes: this answer, and any other.

    With p = exp(-loss), the geometric mean of the tokens' probabilities, the logits are
    (log p, log(1 - p)). The cross-entropy of class 0 then is the loss itself, and every
    loss transform of two classes can be put on it: GCE is (1 - p^q) / q, ELR remembers
    p, SOP takes from it what it thinks wrong.

    Args:
      losses: (...) mean negative log-likelihoods, at least 0.

    Returns:
      (..., 2) logits, whose softmax is (p, 1 - p).

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from robustjax.training import language
      >>> logits = language.sequence_logits(jnp.log(jnp.array([2.0, 4.0])))
      >>> [[round(p, 3) for p in row] for row in jax.nn.softmax(logits).tolist()]
      [[0.5, 0.5], [0.25, 0.75]]
    """
    some = jnp.maximum(losses, _LEAST_LOSS)
    near, far = jnp.minimum(some, 1.0), jnp.maximum(some, 0.5)
    other = jnp.where(some < 0.7, jnp.log(-jnp.expm1(-near)), jnp.log1p(-jnp.exp(-far)))
    return jnp.stack([-losses, other], axis=-1)
