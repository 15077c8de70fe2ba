"""What is measured in classification."""

from __future__ import annotations

import io
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.features.observation import (
    Measurement,
    Observer,
    norm_measures,
    squares,
)
from experiments.studies.features.programs import Network
from experiments.studies.features.setup import Data
from robustjax import scores

DETECTION_SCORES = {
    "msp": scores.max_softmax_uncertainty,
    "energy": scores.energy_uncertainty,
}


class Classification(Measurement):
    """Accuracy, sizes and angles of activations, and OOD detection.

    "class_cosine" is the mean cosine of the activations of test examples with
    different labels (Table 3.1 of the thesis); "ood_correlation" and
    "test_correlation" are the means over features of `scores.feature_correlations`,
    over held-out OOD images with the probabilities given to them, and over test images
    with their labels: how undesirable features are (definition 3.2.1), and how far they
    go with the class of what has one (as in 3.2.2, without leaving out the undesirable
    ones); "msp_..." and "energy_..." are the `scores.DetectionMetrics` of the
    images to detect against all test images.
    """

    def __init__(self, study: Data, network: Network):
        """Takes what all methods share."""
        self._study = study
        self._observe = Observer(
            network.model,
            network.preprocess,
            lambda params, found, labels: {
                "features": found["features"],
                "outputs": found["outputs"],
                "squares": squares(found),
            },
        )

    def __call__(self, params: Any, model_state: Any) -> dict[str, float]:
        """Measures of one repeat."""
        test, ood = self._study.target.test, self._study.ood
        found = self._observe(params, model_state, test.inputs)
        outside = self._observe(params, model_state, ood.test)
        cosine = scores.cross_class_cosine(
            jnp.asarray(found["features"]), test.labels, num_classes=test.num_classes
        )
        measures = {
            "test_accuracy": float((found["outputs"].argmax(1) == test.labels).mean()),
            "class_cosine": float(cosine),
            "ood_correlation": _correlation(
                outside, np.asarray(jax.nn.softmax(outside["outputs"]))
            ),
            "test_correlation": _correlation(
                found, np.eye(test.num_classes)[test.labels]
            ),
            **norm_measures(found["squares"], outside["squares"]),
        }
        if ood.detection is not None:
            unknown = self._observe(params, model_state, ood.detection)["outputs"]
            for name, score in DETECTION_SCORES.items():
                metrics = scores.ood_detection_metrics(
                    score(jnp.asarray(found["outputs"])), score(jnp.asarray(unknown))
                )
                for key, value in metrics._asdict().items():
                    measures[f"{name}_{key}"] = value
        return measures

    def decided(
        self, params: Any, model_state: Any, images: np.ndarray, labels: np.ndarray
    ) -> dict[str, np.ndarray]:
        """The predicted class, and the probability of the label (of the middle part).

        See `Measurement.decided`.
        """
        height, width = self._study.target.test.inputs.shape[1:3]
        top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
        images = images[:, top : top + height, left : left + width]
        logits = self._observe(params, model_state, images)["outputs"]
        shares = np.asarray(jax.nn.softmax(logits.astype(np.float32), axis=-1))
        own = np.take_along_axis(shares, labels[:, None], axis=1)[:, 0]
        return {"predicted": shares.argmax(axis=1), "given_probability": own}

    def activations(self, params: Any, model_state: Any) -> bytes:
        """Activations of test and of OOD images, see `pictures.ACTIVATIONS`."""
        config, test = self._study.config, self._study.target.test
        rng = np.random.default_rng([config.seed, 40])
        count = min(config.picture_examples, len(test))
        rows = np.sort(rng.choice(len(test), count, replace=False))
        ood = self._study.ood.test[: max(1, count // 4)]
        inside = self._observe(params, model_state, test.inputs[rows])["features"]
        outside = self._observe(params, model_state, ood)["features"]
        content = io.BytesIO()
        np.savez(
            content,
            features=np.concatenate([inside, outside]),
            labels=np.concatenate([test.labels[rows], np.full(len(ood), -1)]),
            class_names=np.array(test.class_names),
        )
        return content.getvalue()


def _correlation(found: dict[str, np.ndarray], class_scores: np.ndarray) -> float:
    """Mean over features of the largest correlation with a class; NaN of a broken one.

    One image has no correlation; activations that overflowed have none either.
    """
    features = found["features"].reshape(len(class_scores), -1)
    if len(features) < 2 or not (
        np.isfinite(features).all() and np.isfinite(class_scores).all()
    ):
        return float("nan")
    return float(scores.feature_correlations(features, class_scores).mean())
