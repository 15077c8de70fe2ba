"""Low-rank adapters beside frozen matrices (Hu et al., "LoRA", ICLR 2022)."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from robustjax import checks

Adapters = dict[str, dict[str, jax.Array]]

MATRICES = (
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
)


@dataclasses.dataclass(frozen=True)
class Lora:
    """Which matrices get an adapter, and of what rank.

    Attributes:
      rank: r, of the product that is added.
      alpha: the product is multiplied by `alpha / rank`.
      targets: names of matrices; by default those of queries and values, as published.
    """

    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ("q_proj", "v_proj")

    def __post_init__(self) -> None:
        checks.at_least("rank", self.rank, 1)
        checks.in_range("alpha", self.alpha, 0, low_open=True)
        if not self.targets:
            raise ValueError("targets: got none, expected at least one matrix")
        for target in self.targets:
            checks.one_of("targets", target, MATRICES)

    @property
    def scale(self) -> float:
        """What the product is multiplied by."""
        return self.alpha / self.rank


def init_adapters(params: Any, lora: Lora, key: jax.Array) -> Adapters:
    """Adapters that change nothing yet: `a` is random, `b` zero (§4.1).

    Args:
      params: of a model.
      lora: which and of what rank.
      key: PRNG key.

    Returns:
      Name -> `a` (L, in, r), normal with deviation 1 / r, and `b` (L, r, out).

    Raises:
      ValueError: a rank above what a matrix has.
    """
    adapters = {}
    targets = sorted(set(lora.targets))
    for name, one_key in zip(targets, jax.random.split(key, len(targets))):
        layers, inner, outer = params["layers"][name].shape
        if lora.rank > min(inner, outer):
            raise ValueError(
                f"rank: got {lora.rank}, expected at most {min(inner, outer)}, the "
                f"rank of {name}"
            )
        shape = layers, inner, lora.rank
        adapters[name] = {
            "a": jax.random.normal(one_key, shape, jnp.float32) / lora.rank,
            "b": jnp.zeros((layers, lora.rank, outer), jnp.float32),
        }
    return adapters


def merge_adapters(params: Any, adapters: Adapters, lora: Lora) -> Any:
    """Weights that give what the old ones and the adapters give together.

    Args:
      params: of a model; stays as it is.
      adapters: trained.
      lora: what they were made by.
    """
    layers = dict(params["layers"])
    for name, factors in adapters.items():
        product = jnp.einsum("lir,lro->lio", factors["a"], factors["b"])
        layers[name] = layers[name] + (lora.scale * product).astype(layers[name].dtype)
    return {**params, "layers": layers}
