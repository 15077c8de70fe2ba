"""What is measured in weakly supervised localisation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.features.observation import (
    Found,
    Measurement,
    Observer,
    norm_measures,
    squares,
)
from experiments.studies.features.programs import Network
from experiments.studies.features.setup import Data
from robustjax import scores

FIXED_THRESHOLD = 0.2


class Localization(Measurement):
    """GT-known Loc of a classifier's activation maps, and its accuracy.

    "max_box_accuracy" is at the threshold that is best on the test set,
    "fixed_box_accuracy" at `FIXED_THRESHOLD` of the maximum.
    """

    def __init__(self, study: Data, network: Network):
        """Takes what all methods share."""
        self._study = study
        size = study.target.test.inputs.shape[1:3]
        of_class = study.config.activation_map == "class"

        def look(params: Any, found: Found, labels: jax.Array) -> Found:
            if of_class:
                kernel = params["head"]["kernel"]
                maps = scores.class_activation_map(found["feature_map"], kernel, labels)
            else:
                maps = scores.activation_map(found["feature_map"])
            return {
                "maps": scores.normalize_map(scores.resize_map(maps, size)),
                "outputs": found["outputs"],
                "squares": squares(found),
            }

        self._observe = Observer(network.model, network.preprocess, look)

    def __call__(self, params: Any, model_state: Any) -> dict[str, float]:
        """Measures of one repeat."""
        target = self._study.target
        test = target.test
        assert target.test_boxes is not None
        found = self._observe(params, model_state, test.inputs, test.labels)
        outside = self._observe(params, model_state, self._study.ood.test)
        right = scores.max_box_accuracy(
            found["maps"], jnp.asarray(target.test_boxes), fixed=FIXED_THRESHOLD
        )
        predicted = np.argmax(found["outputs"], axis=1)
        return {
            "max_box_accuracy": right.best,
            "best_threshold": right.best_threshold,
            "fixed_box_accuracy": right.fixed,
            "test_accuracy": float((predicted == test.labels).mean()),
            **norm_measures(found["squares"], outside["squares"]),
        }
