"""What classifiers that pool a feature map share."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp


class PooledClassifier(nn.Module):
    """From a feature map to logits.

    A subclass has `feature_map(inputs, train, mask)`, an attribute `num_classes` and,
    unless that is None, a submodule `head`.
    """

    def pool(self, feature_map: jax.Array) -> jax.Array:
        """Global averages (B, d) float32 of a feature map (B, h, w, d)."""
        return jnp.mean(feature_map.astype(jnp.float32), axis=(1, 2))

    def features(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """The pooled feature map (B, d) float32; see `feature_map` and `pool`."""
        return self.pool(self.feature_map(inputs, train=train, mask=mask))

    def __call__(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """Logits (B, C), or features where `num_classes` is None; see `features`."""
        x = self.features(inputs, train=train, mask=mask)
        return x if self.num_classes is None else self.head(x)
