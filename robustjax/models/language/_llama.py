"""The forward pass of a Llama model: one scan over its stacked layers.

Compiling thirty equal layers one by one takes thirty times as long; stacked, a layer
is compiled once. The rotary angles follow Hugging Face's layout of the weights, in
which the two halves of a head are rotated against each other.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.models.language._config import LlamaConfig
from robustjax.models.language._lora import Adapters

Params = dict[str, Any]


class LanguageModel(NamedTuple):
    """A model and its weights.

    Attributes:
      config: its sizes.
      params: `embed` (V, D), `norm` (D,), `head` (D, V) unless it is tied, and
        `layers`, whose leaves lead with the layer axis: `q_proj`, `k_proj`, `v_proj`,
        `o_proj`, `gate_proj`, `up_proj`, `down_proj` (L, in, out) and
        `input_layernorm`, `post_attention_layernorm` (L, D).
    """

    config: LlamaConfig
    params: Params


def matrix_sizes(config: LlamaConfig) -> dict[str, tuple[int, int]]:
    """Name -> (in, out) of the seven matrices of a layer."""
    width, inner = config.hidden_size, config.intermediate_size
    queries = config.num_heads * config.head_dim
    keys = config.num_kv_heads * config.head_dim
    return {
        "q_proj": (width, queries),
        "k_proj": (width, keys),
        "v_proj": (width, keys),
        "o_proj": (queries, width),
        "gate_proj": (width, inner),
        "up_proj": (width, inner),
        "down_proj": (inner, width),
    }


LAYER_NORMS = ("input_layernorm", "post_attention_layernorm")


def init_language_model(
    config: LlamaConfig, key: jax.Array, *, scale: float = 0.02
) -> LanguageModel:
    """A model with random weights, normal with deviation `scale`."""
    sizes = matrix_sizes(config)
    names = ("embed", "head", *sizes)
    keys = dict(zip(names, jax.random.split(key, len(names))))
    width, layers = config.hidden_size, config.num_layers

    def normal(name: str, *shape: int) -> jax.Array:
        return scale * jax.random.normal(keys[name], shape, jnp.float32)

    params: Params = {
        "embed": normal("embed", config.vocab_size, width),
        "norm": jnp.ones(width),
        "layers": {
            **{name: normal(name, layers, *size) for name, size in sizes.items()},
            **{name: jnp.ones((layers, width)) for name in LAYER_NORMS},
        },
    }
    if not config.tied_head:
        params["head"] = normal("head", width, config.vocab_size)
    return LanguageModel(config, params)


def hidden_states(
    config: LlamaConfig,
    params: Params,
    tokens: jax.Array,
    *,
    segments: jax.Array | None = None,
    adapters: Adapters | None = None,
    adapter_scale: float = 1.0,
    residual_dropout: float = 0.0,
    key: jax.Array | None = None,
    dtype: Any = jnp.float32,
    remat: bool = False,
) -> jax.Array:
    """What the head turns into logits.

    A token sees those before it, and itself, of its own segment; positions begin anew
    in every segment.

    Args:
      config: sizes of the model.
      params: see `LanguageModel`.
      tokens: (B, T) integers in [0, V).
      segments: (B, T) integers that tell the texts of a row apart, each in one piece;
        0 is padding. By default a row is one text.
      adapters: of `init_adapters`, or None.
      adapter_scale: what their product is multiplied by, `Lora.scale`.
      residual_dropout: share of what the last layer adds that is dropped; it rises
        linearly from 0 in the first (Zhou et al., "LIMA", 2023).
      key: PRNG key, for dropout.
      dtype: in which the matrices are multiplied.
      remat: whether activations of a layer are computed again for its gradient
        instead of being kept.

    Returns:
      (B, T, D) of `dtype`; of padding, anything finite.

    Raises:
      ValueError: tokens that are not (B, T), segments of another shape, or dropout
        outside [0, 1) or without a key.
    """
    checks.in_range("residual_dropout", residual_dropout, 0, 1, high_open=True)
    if tokens.ndim != 2:
        raise ValueError(f"tokens: got shape {tokens.shape}, expected (B, T)")
    if segments is None:
        segments = jnp.ones(tokens.shape, jnp.int32)
    if segments.shape != tokens.shape:
        raise ValueError(
            f"segments: got shape {segments.shape}, expected {tokens.shape}"
        )
    if residual_dropout and key is None:
        raise ValueError("key: got None, expected a PRNG key for residual_dropout")
    angles = _rotary(config, positions_in(segments))
    mask = _visible(segments)
    layers = config.num_layers
    rates = jnp.linspace(0.0, residual_dropout, layers)
    keys = None if key is None else jax.random.split(key, layers)

    def layer(x: jax.Array, stacked: Any) -> tuple[jax.Array, None]:
        weights, factors, rate, layer_key = stacked

        def product(name: str, y: jax.Array) -> jax.Array:
            out = y @ weights[name].astype(dtype)
            if name in factors:
                down = y @ factors[name]["a"].astype(dtype)
                out = out + adapter_scale * (down @ factors[name]["b"].astype(dtype))
            return out

        def added(branch: jax.Array, number: int) -> jax.Array:
            if not residual_dropout:
                return branch
            keep = jax.random.bernoulli(
                jax.random.fold_in(layer_key, number), 1 - rate, branch.shape
            )
            return jnp.where(keep, branch / (1 - rate).astype(dtype), 0)

        y = _rms_norm(config, x, weights["input_layernorm"])
        x = x + added(_attention(config, product, y, angles, mask), 0)
        y = _rms_norm(config, x, weights["post_attention_layernorm"])
        gated = jax.nn.silu(product("gate_proj", y)) * product("up_proj", y)
        return x + added(product("down_proj", gated), 1), None

    body = jax.checkpoint(layer) if remat else layer
    x = params["embed"].astype(dtype)[tokens]
    x, _ = jax.lax.scan(body, x, (params["layers"], adapters or {}, rates, keys))
    return _rms_norm(config, x, params["norm"])


def positions_in(segments: jax.Array) -> jax.Array:
    """(B, T) the place of each token in its segment, from 0."""
    place = jnp.broadcast_to(jnp.arange(segments.shape[1]), segments.shape)
    first = jnp.concatenate(
        [
            jnp.ones_like(segments[:, :1], bool),
            segments[:, 1:] != segments[:, :-1],
        ],
        axis=1,
    )
    return place - jax.lax.cummax(jnp.where(first, place, 0), axis=1)


def _visible(segments: jax.Array) -> jax.Array:
    """(B, 1, T, T) bool: which tokens (last axis) each token may look at.

    Padding looks at padding: a row of nothing would be 0/0.
    """
    length = segments.shape[1]
    causal = jnp.tril(jnp.ones((length, length), bool))
    same = segments[:, :, None] == segments[:, None, :]
    return (same & causal[None])[:, None]


def _rms_norm(config: LlamaConfig, x: jax.Array, scale: jax.Array) -> jax.Array:
    wide = x.astype(jnp.float32)
    mean = jnp.mean(wide * wide, axis=-1, keepdims=True)
    normed = (wide * jax.lax.rsqrt(mean + config.norm_epsilon)).astype(x.dtype)
    return normed * scale.astype(x.dtype)[None, None]


def _rotary(config: LlamaConfig, positions: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(B, T, 1, head_dim / 2) cosines and sines."""
    half = config.head_dim // 2
    rates = config.rope_theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angles = positions.astype(jnp.float32)[..., None, None] * rates[None, None, None]
    return jnp.cos(angles), jnp.sin(angles)


def _rotated(x: jax.Array, angles: tuple[jax.Array, jax.Array]) -> jax.Array:
    cosines, sines = (part.astype(x.dtype) for part in angles)
    left, right = jnp.split(x, 2, axis=-1)
    return jnp.concatenate(
        [left * cosines - right * sines, right * cosines + left * sines], axis=-1
    )


def _attention(
    config: LlamaConfig,
    product: Any,
    y: jax.Array,
    angles: tuple[jax.Array, jax.Array],
    mask: jax.Array,
) -> jax.Array:
    batch, length, _ = y.shape

    def heads(name: str, count: int) -> jax.Array:
        return product(name, y).reshape(batch, length, count, config.head_dim)

    attended = jax.nn.dot_product_attention(
        _rotated(heads("q_proj", config.num_heads), angles),
        _rotated(heads("k_proj", config.num_kv_heads), angles),
        heads("v_proj", config.num_kv_heads),
        mask=mask,
    )
    return product("o_proj", attended.reshape(batch, length, -1))
