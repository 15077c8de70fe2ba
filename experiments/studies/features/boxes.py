"""What is measured in bounding-box regression."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from experiments.studies.features.observation import (
    Measurement,
    Observer,
    norm_measures,
    squares,
)
from experiments.studies.features.programs import Network
from experiments.studies.features.setup import Data
from robustjax import losses


class Boxes(Measurement):
    """Mean intersection over union on the test set, and sizes of features."""

    def __init__(self, study: Data, network: Network):
        """Takes what all methods share."""
        self._study = study
        self._observe = Observer(
            network.model,
            network.preprocess,
            lambda params, found, labels: {
                "outputs": found["outputs"],
                "squares": squares(found),
            },
        )

    def __call__(self, params: Any, model_state: Any) -> dict[str, float]:
        """Measures of one repeat."""
        target = self._study.target
        assert target.test_boxes is not None
        found = self._observe(params, model_state, target.test.inputs)
        outside = self._observe(params, model_state, self._study.ood.test)
        overlap = losses.box_iou(
            jnp.asarray(found["outputs"]), jnp.asarray(target.test_boxes)
        )
        return {
            "test_iou": float(overlap.mean()),
            **norm_measures(found["squares"], outside["squares"]),
        }
