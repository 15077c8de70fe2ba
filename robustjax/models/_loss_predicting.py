"""A classifier beside a module that predicts its losses."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax

from robustjax import checks
from robustjax.models._mqnet import LossPredictor


class LossPredictingClassifier(nn.Module):
    """A classifier with the loss-prediction module of Yoo and Kweon (CVPR 2019).

    Source: "Learning Loss for Active Learning". One pass through the classifier gives
    its stages; the last of them gives logits, all of them together the predicted loss.
    `features`, `head` and the call are those of the classifier.

    Attributes:
      classifier: a network with `stages(inputs, *, train, mask) -> tuple of feature
        maps`, of which the last one, through `pool` if there is such a method, gives
        the features, and with `head`; such as `ResNet`, `SmallCNN` or `MLP`.
      width: see `LossPredictor`.
      detach: whether no gradient goes from the predicted loss into the classifier, as
        in the last 40 % of the published training. The parameters are the same.

    Raises:
      ValueError: a classifier without `stages`, or a width below one.
    """

    classifier: Any
    width: int = 128
    detach: bool = False

    def __post_init__(self) -> None:
        """Checks the arguments now rather than when the network is first applied."""
        for method in ("stages", "features"):
            if not callable(getattr(type(self.classifier), method, None)):
                raise ValueError(
                    f"classifier: got {type(self.classifier).__name__}, expected a "
                    f"network with {method!r}, such as ResNet, SmallCNN or MLP"
                )
        checks.at_least("width", self.width, 1)
        super().__post_init__()

    def setup(self) -> None:
        """Creates the loss-prediction module."""
        self.predictor = LossPredictor(self.width)

    def stages(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> tuple[jax.Array, ...]:
        """The classifier's feature maps, each (B, ..., c) float32."""
        return self.classifier.stages(inputs, train=train, mask=mask)

    def pool(self, feature_map: jax.Array) -> jax.Array:
        """The features (B, d) float32 of the last stage."""
        if callable(getattr(type(self.classifier), "pool", None)):
            return self.classifier.pool(feature_map)
        return feature_map

    def head(self, features: jax.Array) -> jax.Array:
        """The logits (B, C) float32 of features (B, d)."""
        return self.classifier.head(features)

    def predicted_loss(self, stages: tuple[jax.Array, ...]) -> jax.Array:
        """Predicted losses (B,) float32 from the stages, up to their scale."""
        return self.predictor(stages, detach=self.detach)

    def features(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """The classifier's features (B, d) float32."""
        return self.pool(self.stages(inputs, train=train, mask=mask)[-1])

    def __call__(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """Logits (B, C) float32 of inputs (B, ...)."""
        stages = self.stages(inputs, train=train, mask=mask)
        if self.is_initializing():
            self.predicted_loss(stages)
        return self.head(self.pool(stages[-1]))
