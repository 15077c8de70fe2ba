"""A Llama of three tiny layers, and texts for it."""

from __future__ import annotations

import functools

import jax
import numpy as np

from robustjax.models import language

CONFIG = language.LlamaConfig(
    vocab_size=32,
    hidden_size=16,
    intermediate_size=24,
    num_layers=3,
    num_heads=4,
    num_kv_heads=2,
    head_dim=4,
    rope_theta=1_000.0,
    tied_head=True,
    context=64,
)


@functools.cache
def model() -> language.LanguageModel:
    """The same random weights for all tests."""
    return language.init_language_model(CONFIG, jax.random.key(0), scale=0.3)


@functools.partial(jax.jit, static_argnums=0)
def logits(config, params, tokens, segments=None, adapters=None, scale=1.0):
    hidden = language.hidden_states(
        config,
        params,
        tokens,
        segments=segments,
        adapters=adapters,
        adapter_scale=scale,
    )
    return language.logits(config, params, hidden)


def tokens(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(0, CONFIG.vocab_size, shape).astype(np.int32)
