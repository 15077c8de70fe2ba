"""A network that normalises its inputs itself, for those who need its pixels."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax

from robustjax import data


class Normalized(nn.Module):
    """Another classifier, with the same variables, that takes pixels in [0, 1].

    An attack moves pixels, and contrastive views are made of them; neither leaves
    room for a normalisation before the network.

    Attributes:
      model: a Linen module whose outputs are `head(features(inputs))`.
      mean: one number per channel.
      deviation: the same, > 0.
      frozen: whether features are always those of prediction mode, and no gradient
        reaches them.
    """

    model: nn.Module
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    frozen: bool = False

    def setup(self) -> None:
        """Shares the classifier's variables, under their own names."""
        nn.share_scope(self, self.model)

    def _inner(self, inputs: jax.Array) -> tuple[Any, jax.Array]:
        """The classifier and what it gets."""
        return self.model, data.normalize(self.mean, self.deviation)(inputs)

    def features(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """The classifier's features (B, d) of pixels (B, H, W, C)."""
        model, inputs = self._inner(inputs)
        if self.frozen:
            return jax.lax.stop_gradient(model.features(inputs, train=False))
        return model.features(inputs, train=train, mask=mask)

    def head(self, features: jax.Array) -> jax.Array:
        """The classifier's logits (B, C) of its features (B, d)."""
        model: Any = self.model
        return model.head(features)

    def __call__(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """Logits (B, C) of pixels (B, H, W, C)."""
        return self.head(self.features(inputs, train=train, mask=mask))


class NormalizedMaps(Normalized):
    """The same of a classifier whose features are pooled from a map."""

    def feature_map(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """The classifier's feature map (B, h, w, c) of pixels (B, H, W, C)."""
        model, inputs = self._inner(inputs)
        return model.feature_map(inputs, train=train, mask=mask)

    def pool(self, feature_map: jax.Array) -> jax.Array:
        """The classifier's features (B, d) of its feature map."""
        model: Any = self.model
        return model.pool(feature_map)


def normalized(
    model: nn.Module, mean: list[float], deviation: list[float]
) -> Normalized:
    """The kind that fits a model."""
    has_map = callable(getattr(type(model), "feature_map", None))
    kind = NormalizedMaps if has_map else Normalized
    return kind(model, tuple(mean), tuple(deviation))


def frozen(network: Normalized) -> Normalized:
    """The same network of which only the head can learn."""
    return Normalized(network.model, network.mean, network.deviation, frozen=True)
