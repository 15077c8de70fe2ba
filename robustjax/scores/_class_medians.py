"""Distance to the middle of the given class: the score of Moderate coreset.

Xia, Liu, Yu, Shen, Han, Liu, "Moderate Coreset: A Universal Method of Data Selection
for Real-world Data-efficient Deep Learning" (ICLR 2023).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from robustjax import arrays, checks


def class_medians(
    features: Any, labels: Any, *, num_classes: int | None = None
) -> np.ndarray:
    """Coordinate-wise median of the features of every given class.

    Args:
      features: (N, d) finite floats.
      labels: (N,) integers in 0 … C-1.
      num_classes: C; by default the largest label plus one.

    Returns:
      (C, d) float32, or float64 of features that float32 may not hold; NaN for a class
      without examples.

    Raises:
      ValueError: a wrong rank, NaN, lengths that differ, or labels that are none.
    """
    points, given = _check(features, labels, num_classes)
    count = int(given.max()) + 1 if num_classes is None else num_classes
    medians = np.full((count, points.shape[1]), np.nan, points.dtype)
    for label in np.unique(given):
        medians[label] = np.median(points[given == label], axis=0)
    return medians


def median_distances(features: Any, labels: Any) -> np.ndarray:
    """Euclidean distance of every example to the median of its given class.

    Low means typical of the class, high atypical; Moderate keeps the middle.

    Args:
      features: (N, d) finite floats.
      labels: (N,) integers from 0.

    Returns:
      (N,) float32, or float64 of features that float32 may not hold.

    Raises:
      ValueError: see `class_medians`.
    """
    points, given = _check(features, labels, None)
    medians = class_medians(points, given)
    distances = np.empty(len(given), points.dtype)
    for label in np.unique(given):
        rows = np.flatnonzero(given == label)
        # In double precision: squares of float32 numbers may overflow or vanish.
        for here in arrays.blocks(len(rows), points.shape[1]):
            away = points[rows[here]].astype(np.float64) - medians[label]
            distances[rows[here]] = _norms(away)
    return distances


def _norms(rows: np.ndarray) -> np.ndarray:
    scale = np.abs(rows).max(axis=1, initial=0)
    scale[scale == 0] = 1
    return scale * np.linalg.norm(rows / scale[:, None], axis=1)


def _check(
    features: Any, labels: Any, num_classes: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Finite features of at least float32, and int32 labels."""
    points = arrays.numbers("features", features, 2)
    checks.finite("features", points)
    checks.rank("labels", labels, 1)
    checks.same_length(features=points, labels=labels)
    wide = np.float64 if arrays.is_wide(points) else np.float32
    return points.astype(wide, copy=False), checks.labels("labels", labels, num_classes)
