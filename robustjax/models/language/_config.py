"""The shape of a Llama model, and how Hugging Face writes it down."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from robustjax import checks


@dataclasses.dataclass(frozen=True)
class LlamaConfig:
    """The sizes of a Llama model (Touvron et al., "Llama 2", 2023).

    Attributes:
      vocab_size: tokens known, V.
      hidden_size: width of the residual stream, D.
      intermediate_size: width inside the gated linear unit.
      num_layers: L.
      num_heads: of queries.
      num_kv_heads: of keys and values; divides `num_heads` (grouped queries).
      head_dim: numbers per head, even.
      norm_epsilon: of RMSNorm.
      rope_theta: the base of the rotary angles.
      tied_head: whether logits are made by the embeddings of the tokens.
      context: tokens that the model was made for.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    norm_epsilon: float = 1e-5
    rope_theta: float = 10_000.0
    tied_head: bool = False
    context: int = 2048

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if field.type == "int":
                checks.at_least(field.name, getattr(self, field.name), 1)
        checks.in_range("norm_epsilon", self.norm_epsilon, 0)
        checks.in_range("rope_theta", self.rope_theta, 0, low_open=True)
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                f"num_kv_heads: got {self.num_kv_heads}, expected a divisor of the "
                f"{self.num_heads} heads"
            )
        if self.head_dim % 2:
            raise ValueError(f"head_dim: got {self.head_dim}, expected an even number")


SMOLLM2_135M = LlamaConfig(
    vocab_size=49_152,
    hidden_size=576,
    intermediate_size=1536,
    num_layers=30,
    num_heads=9,
    num_kv_heads=3,
    head_dim=64,
    rope_theta=100_000.0,
    tied_head=True,
    context=8192,
)
"""SmolLM2-135M and its instruction-tuned form."""

LLAMA_2_7B = LlamaConfig(
    vocab_size=32_000,
    hidden_size=4096,
    intermediate_size=11_008,
    num_layers=32,
    num_heads=32,
    num_kv_heads=32,
    head_dim=128,
    context=4096,
)
"""LLaMA-2-7B."""

# What would change the numbers if it were not as here, and is not built.
_ONLY: dict[str, Any] = {
    "model_type": "llama",
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
}


def config_from_record(record: Mapping[str, Any]) -> LlamaConfig:
    """Reads the content of a `config.json`.

    Raises:
      ValueError: another architecture, or a field that is missing or of a kind that
        would change the numbers (biases, scaled rotary angles).
    """
    for name, wanted in _ONLY.items():
        if record.get(name, wanted) != wanted:
            raise ValueError(
                f"config.json: got {name} {record[name]!r}, expected {wanted!r}"
            )
    if "model_type" not in record:
        raise ValueError("config.json: got no model_type, expected 'llama'")
    theta = _rope_theta(record)
    try:
        heads, width = record["num_attention_heads"], record["hidden_size"]
        return LlamaConfig(
            vocab_size=record["vocab_size"],
            hidden_size=width,
            intermediate_size=record["intermediate_size"],
            num_layers=record["num_hidden_layers"],
            num_heads=heads,
            num_kv_heads=record.get("num_key_value_heads") or heads,
            head_dim=record.get("head_dim") or width // heads,
            norm_epsilon=record.get("rms_norm_eps", 1e-6),
            rope_theta=theta,
            tied_head=record.get("tie_word_embeddings", False),
            context=record.get("max_position_embeddings", 2048),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"config.json: {type(error).__name__} at {error}, expected the fields of "
            "a Llama model"
        ) from None
    except ValueError as error:
        raise ValueError(f"config.json: {error}") from None


def _rope_theta(record: Mapping[str, Any]) -> float:
    """Of either spelling: transformers 5 has `rope_parameters`, 4 two fields."""
    rope = {
        **(record.get("rope_scaling") or {}),
        **(record.get("rope_parameters") or {}),
    }
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise ValueError(f"config.json: got rope_type {kind!r}, expected 'default'")
    return float(rope.get("rope_theta", record.get("rope_theta", 10_000.0)))


def record_from_config(config: LlamaConfig) -> dict[str, Any]:
    """What `config_from_record` reads, in transformers 4's spelling, which 5 reads."""
    return {
        **_ONLY,
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": config.tied_head,
        "max_position_embeddings": config.context,
        "dtype": "float32",
    }
