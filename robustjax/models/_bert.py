"""BERT's encoder, whose token vectors sentence embeddings are means of.

Devlin, Chang, Lee, Toutanova, "BERT: Pre-training of Deep Bidirectional Transformers
for Language Understanding" (NAACL 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from robustjax import checks
from robustjax.models._state_dict_files import StateDict

_SIZES = {
    "vocab_size": "vocabulary",
    "max_position_embeddings": "positions",
    "type_vocab_size": "token_types",
    "hidden_size": "width",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "intermediate_size": "hidden",
}
# Of the configuration: what this network does, and no other.
_FIXED = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
}
_PLACES = {
    "words": "embeddings.word_embeddings",
    "places": "embeddings.position_embeddings",
    "types": "embeddings.token_type_embeddings",
    "norm": "embeddings.LayerNorm",
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attended": "attention.output.dense",
    "attended_norm": "attention.output.LayerNorm",
    "wide": "intermediate.dense",
    "narrow": "output.dense",
    "narrow_norm": "output.LayerNorm",
}
# Not needed for token vectors: a head of the pre-training, and a constant.
_LEFT = ("pooler.", "embeddings.position_ids", "cls.")


class BertEncoder(nn.Module):
    """Tokens to a vector each, without dropout: for inference.

    Attributes:
      vocabulary: number of tokens known.
      width: of the vectors.
      layers: of attention.
      heads: of each, a divisor of `width`.
      hidden: units of each layer's perceptron.
      positions: the longest text.
      token_types: kinds of segments; all tokens are of the first.
      epsilon: of the normalisations.
    """

    vocabulary: int = 30522
    width: int = 384
    layers: int = 6
    heads: int = 12
    hidden: int = 1536
    positions: int = 512
    token_types: int = 2
    epsilon: float = 1e-12

    @nn.compact
    def __call__(self, tokens: jax.Array, mask: jax.Array) -> jax.Array:
        """The last layer's vectors.

        Args:
          tokens: (B, T) integers, T at most `positions`.
          mask: (B, T) bool, False where a shorter text is padded.

        Returns:
          (B, T, width) float32; what stands where the mask is False means nothing.

        Raises:
          ValueError: texts longer than `positions`.
        """
        length = tokens.shape[1]
        if length > self.positions:
            raise ValueError(
                f"tokens: got {length} in a row, expected at most {self.positions}"
            )
        x = nn.Embed(self.vocabulary, self.width, name="words")(tokens)
        x += nn.Embed(self.positions, self.width, name="places")(
            jnp.arange(length)[None]
        )
        kinds = nn.Embed(self.token_types, self.width, name="types")
        x += kinds(jnp.zeros((1, 1), jnp.int32))
        x = self._norm("norm")(x)
        for number in range(self.layers):
            x = _BertLayer(
                self.width,
                self.heads,
                self.hidden,
                self.epsilon,
                name=f"layer_{number}",
            )(x, mask)
        return x

    def _norm(self, name: str) -> nn.LayerNorm:
        return nn.LayerNorm(epsilon=self.epsilon, use_fast_variance=False, name=name)


class _BertLayer(nn.Module):
    """Attention and a perceptron, each added and then normalised."""

    width: int
    heads: int
    hidden: int
    epsilon: float

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        def norm(name: str) -> nn.LayerNorm:
            return nn.LayerNorm(
                epsilon=self.epsilon, use_fast_variance=False, name=name
            )

        split = (*x.shape[:2], self.heads, self.width // self.heads)
        query, key, value = (
            nn.Dense(self.width, name=name)(x).reshape(split)
            for name in ("query", "key", "value")
        )
        mixed = jax.nn.dot_product_attention(
            query, key, value, mask=mask[:, None, None, :]
        )
        mixed = nn.Dense(self.width, name="attended")(mixed.reshape(x.shape))
        x = norm("attended_norm")(x + mixed)
        wide = nn.gelu(nn.Dense(self.hidden, name="wide")(x), approximate=False)
        return norm("narrow_norm")(x + nn.Dense(self.width, name="narrow")(wide))


def bert_of_config(config: Mapping[str, Any]) -> BertEncoder:
    """The network that a `config.json` of transformers describes.

    Args:
      config: as read.

    Raises:
      ValueError: another architecture, or a size that is missing.
    """
    for name, expected in _FIXED.items():
        found = config.get(name, expected if name != "model_type" else None)
        if found != expected:
            raise ValueError(f"config: {name} is {found!r}, expected {expected!r}")
    sizes: dict[str, Any] = {}
    for name, field in _SIZES.items():
        size = config.get(name)
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"config: {name} is {size!r}, expected a positive integer")
        sizes[field] = size
    if sizes["width"] % sizes["heads"]:
        raise ValueError(
            f"config: num_attention_heads is {sizes['heads']}, expected a divisor of "
            f"hidden_size, {sizes['width']}"
        )
    return BertEncoder(**sizes, epsilon=float(config.get("layer_norm_eps", 1e-12)))


def convert_bert(state: StateDict, model: BertEncoder) -> dict[str, Any]:
    """Turns a state dict of transformers' `BertModel` into variables of `model`.

    A prefix "bert." that all keys share is taken off; the pooler, which token vectors
    do not need, is left.

    Args:
      state: name -> array.
      model: says which arrays are needed.

    Returns:
      {"params": …} of float32 NumPy arrays.

    Raises:
      ValueError: keys that are missing or not known, or arrays of another shape.
    """
    cut = all(name.startswith(("bert.", "cls.")) for name in state)
    rest = {name.removeprefix("bert.") if cut else name: x for name, x in state.items()}
    shapes = jax.eval_shape(
        model.init,
        jax.random.key(0),
        jax.ShapeDtypeStruct((1, 1), jnp.int32),
        jax.ShapeDtypeStruct((1, 1), jnp.bool_),
    )
    params = {}
    for path, leaf in traverse_util.flatten_dict(shapes["params"]).items():
        name = _name(path)
        if name not in rest:
            raise ValueError(f"state: {name!r} is missing")
        array = np.asarray(rest.pop(name), np.float32)
        array = array.T if path[-1] == "kernel" else array
        if array.shape != leaf.shape:
            raise ValueError(
                f"state: {name!r} has shape {array.shape}, expected {leaf.shape}"
            )
        checks.finite(f"state: {name}", array)
        params[path] = array
    unknown = sorted(name for name in rest if not name.startswith(_LEFT))
    if unknown:
        raise ValueError(f"state: {unknown[0]!r} is not known ({len(unknown)} such)")
    return {"params": traverse_util.unflatten_dict(params)}


def _name(path: tuple[str, ...]) -> str:
    *outer, module, leaf = path
    place = _PLACES[module]
    if outer:
        place = f"encoder.layer.{outer[0].removeprefix('layer_')}.{place}"
    return f"{place}.{'bias' if leaf == 'bias' else 'weight'}"
