"""Plain variants of what is said of activations."""

from __future__ import annotations

import numpy as np

from robustjax import scores

from . import scores_references as plain
from .scores_inputs import FEATURES, LABELS, LOGITS
from .variants import Row

TABLE = {
    "cross_class_cosine": Row(
        lambda features, labels: scores.cross_class_cosine(features, labels),
        plain.cross_class,
        {"features": FEATURES},
        {"labels": LABELS},
        must_refuse=("one_row", "empty"),
        atol=1e-5,
    ),
    "feature_correlations": Row(
        lambda features, class_scores: scores.feature_correlations(
            features, class_scores
        ),
        plain.correlations,
        {"features": FEATURES, "class_scores": LOGITS},
        must_refuse=("nan", "inf", "one_row", "empty"),
        atol=2e-6,
    ),
    "mean_activation_norm": Row(
        lambda features: scores.mean_activation_norm(features),
        lambda features: np.linalg.norm(features, axis=1).mean(),
        {"features": FEATURES},
        must_refuse=("empty",),
    ),
}
