"""How much each feature goes with a class, over examples."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustjax import arrays, checks


def feature_correlations(features: Any, class_scores: Any) -> np.ndarray:
    """The largest absolute correlation of every feature with the score of a class.

    Over images that belong to no class, with the network's own probabilities as
    scores, features with high values are *undesirable*: they move a decision that they
    have nothing to do with (Park et al., "Task-Agnostic Undesirable Feature
    Deactivation Using Out-of-Distribution Data", NeurIPS 2021, definition 1; definition
    3.2.1 of the thesis). Those images have no labels and single examples no
    correlation, which is therefore Pearson's, over all examples. Over images with
    labels, one row of zeros and a one each as scores, high values are what is wanted
    of a *desirable* feature, which definition 2 (3.2.2) also asks not to be
    undesirable: leave those out yourself.

    Lengths do not count: a feature that is all but silent may still go with a class. By
    chance alone the largest of C correlations of N examples is about
    `sqrt(2 log(C) / N)`.

    Args:
      features: (N, d) activations, N >= 2, finite.
      class_scores: (N, C) a column per class, finite: probabilities, logits, or
        one-hot labels.

    Returns:
      (d,) float64 in [0, 1]; 0 for a feature or a class that is the same in all
      examples.

    Raises:
      ValueError: arrays of another rank, of lengths that differ or below 2, or numbers
        that are not finite.
    """
    columns = []
    for name, values in (("features", features), ("class_scores", class_scores)):
        array = arrays.numbers(name, values, 2).astype(np.float64)
        if len(array) < 2 or not array.shape[1]:
            raise ValueError(
                f"{name}: got shape {array.shape}, expected two examples or more and "
                "a column or more"
            )
        checks.finite(name, array)
        columns.append(_standardized(array))
    checks.same_length(features=columns[0], class_scores=columns[1])
    correlations = np.abs(columns[0].T @ columns[1]).max(axis=1)
    return np.minimum(correlations, 1.0)


def _standardized(columns: np.ndarray) -> np.ndarray:
    """Columns without their mean, of length 1; what does not vary is zero."""
    lowest, highest = columns.min(axis=0), columns.max(axis=0)
    # By the range, so that squares neither overflow nor vanish; halves cannot overflow.
    reach = highest / 2 - lowest / 2
    varies = reach > 0
    reach = np.where(varies, reach, 1.0)
    columns = np.where(varies, (columns / 2 - lowest / 2) / reach, 0.0)
    columns -= columns.mean(axis=0)
    lengths = np.sqrt((columns**2).sum(axis=0))
    return columns / np.where(varies, lengths, 1.0)
