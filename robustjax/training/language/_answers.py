"""What a model says of texts: losses of answers, log-likelihoods of the next token."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks
from robustjax.models import language
from robustjax.training.language._rows import TokenRows
from robustjax.training.language._text_losses import Weights, text_losses

# Rows are cut to the longest of their batch, up to a multiple of this: programs are
# compiled for few lengths, and no batch is computed at the length of the longest text.
_LENGTH_STEP = 64


class AnswerLosses(NamedTuple):
    """Held-out likelihood, by the number of a text.

    Attributes:
      loss: (N,) mean negative log-likelihood of the answer's tokens, in nats.
      tokens: (N,) int64, how many there are.
    """

    loss: np.ndarray
    tokens: np.ndarray

    @property
    def per_token(self) -> float:
        """The mean over all tokens of all answers."""
        return float(np.sum(self.loss * self.tokens) / np.sum(self.tokens))

    @property
    def per_text(self) -> float:
        """The mean over texts."""
        return float(np.mean(self.loss))


def answer_losses(
    model: language.LanguageModel,
    rows: TokenRows,
    *,
    batch_size: int = 8,
    dtype: Any = jnp.float32,
) -> AnswerLosses:
    """The loss of every text's answer.

    Args:
      model: with merged adapters.
      rows: of `padded_rows` or `packed_rows`.
      batch_size: rows that go through the model together.
      dtype: in which matrices are multiplied.

    Raises:
      ValueError: tokens that the model does not know.
    """
    check_tokens(model.config, rows.tokens)
    segments = rows.texts.shape[1]
    used = np.count_nonzero(rows.segments, axis=1)
    sums = np.zeros(rows.num_texts)
    counts = np.zeros(rows.num_texts)
    stacked = rows.stacked
    for members, length in _batches(used, batch_size, rows.tokens.shape[1]):
        part = _padded(stacked[members, :, :length], batch_size)
        found = _losses(model.config, model.params, part, segments, jnp.dtype(dtype))
        texts = rows.texts[members]
        for total, values in zip((sums, counts), found):
            total[texts[texts >= 0]] = np.asarray(values)[: len(members)][texts >= 0]
    return AnswerLosses(sums / counts, counts.astype(np.int64))


def next_token_log_likelihoods(
    model: language.LanguageModel,
    prompts: Sequence[Sequence[int]],
    candidates: Sequence[int],
    *,
    batch_size: int = 8,
    dtype: Any = jnp.float32,
) -> np.ndarray:
    """The log-probability of each of some tokens as the next one.

    Args:
      model: with merged adapters.
      prompts: N of them, as tokens.
      candidates: C tokens.
      batch_size: prompts that go through the model together.
      dtype: in which matrices are multiplied.

    Returns:
      (N, C) float32.

    Raises:
      ValueError: no prompt, an empty one or one beyond the model's context, or tokens
        that the model does not know.
    """
    checks.at_least("number of prompts", len(prompts), 1)
    sizes = np.array([len(prompt) for prompt in prompts])
    for number in np.flatnonzero((sizes < 1) | (sizes > model.config.context))[:1]:
        raise ValueError(
            f"prompts: number {number} has {sizes[number]} tokens, expected 1 … "
            f"{model.config.context}"
        )
    # Before a cast, which makes other tokens of what is beyond 32 bits.
    check_tokens(model.config, np.asarray(candidates))
    wanted = np.asarray(candidates, np.int32)
    check_tokens(model.config, np.concatenate([np.asarray(p) for p in prompts]))
    found = np.zeros((len(prompts), len(wanted)), np.float32)
    for members, length in _batches(sizes, batch_size, int(sizes.max())):
        tokens = np.zeros((batch_size, length), np.int32)
        segments = np.zeros((batch_size, length), np.int32)
        last = np.zeros(batch_size, np.int32)
        for place, number in enumerate(members):
            tokens[place, : sizes[number]] = prompts[number]
            segments[place, : sizes[number]] = 1
            last[place] = sizes[number] - 1
        values = _next(
            model.config, model.params, tokens, segments, last, wanted, jnp.dtype(dtype)
        )
        found[members] = np.asarray(values)[: len(members)]
    return found


def check_tokens(config: language.LlamaConfig, tokens: np.ndarray) -> None:
    """Raises `ValueError` for tokens that the model does not know."""
    if tokens.dtype.kind not in "iu":
        raise ValueError(f"tokens: got {tokens.dtype.name}, expected integers")
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0 or high >= config.vocab_size:
        raise ValueError(
            f"tokens: got {low if low < 0 else high}, expected 0 … "
            f"{config.vocab_size - 1}, by the model's vocabulary"
        )


def _batches(
    sizes: np.ndarray, batch_size: int, longest: int
) -> Iterator[tuple[np.ndarray, int]]:
    """(numbers of rows, length to cut them to), the longest first."""
    checks.at_least("batch_size", batch_size, 1)
    order = np.argsort(-sizes, kind="stable")
    for begin in range(0, len(order), batch_size):
        members = order[begin : begin + batch_size]
        length = -(-int(sizes[members[0]]) // _LENGTH_STEP) * _LENGTH_STEP
        yield members, min(length, longest)


def _padded(stacked: np.ndarray, batch_size: int) -> np.ndarray:
    missing = batch_size - len(stacked)
    return np.pad(stacked, ((0, missing), (0, 0), (0, 0)))


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _losses(
    config: language.LlamaConfig, params: Any, rows: Any, segments: int, dtype: Any
) -> tuple[jax.Array, jax.Array]:
    return text_losses(Weights(config, params), rows, segments, dtype=dtype)


@functools.partial(jax.jit, static_argnums=(0, 6))
def _next(
    config: language.LlamaConfig,
    params: Any,
    tokens: Any,
    segments: Any,
    last: Any,
    wanted: Any,
    dtype: Any,
) -> jax.Array:
    hidden = language.hidden_states(
        config, params, tokens, segments=segments, dtype=dtype
    )
    final = jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]
    logs = jax.nn.log_softmax(language.logits(config, params, final))
    return logs[:, wanted]
