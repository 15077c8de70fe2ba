"""Classes that hardly occur."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from robustjax import checks


class ClassBalance(NamedTuple):
    """How often every class occurs.

    Attributes:
      counts: (C,) int64.
      relative: (C,) float64, the counts over N / C: 1 where all classes have as many.
      is_rare: (C,) bool, which are below the threshold.
    """

    counts: np.ndarray
    relative: np.ndarray
    is_rare: np.ndarray


def class_balance(
    labels: Any, num_classes: int | None = None, *, threshold: float = 0.1
) -> ClassBalance:
    """Counts classes, and tells which are rare.

    Args:
      labels: (N,) integers in 0 … C-1.
      num_classes: C; by default the largest label plus one.
      threshold: in [0, 1]; a class is rare if it has less than this share of N / C.

    Raises:
      ValueError: labels that are none, or a threshold out of range.

    Example:
      >>> from robustjax import scores
      >>> scores.class_balance([0] * 40 + [1], threshold=0.1).is_rare.tolist()
      [False, True]
    """
    checks.in_range("threshold", threshold, 0, 1)
    given = checks.labels("labels", labels, num_classes)
    counts = np.bincount(given, minlength=num_classes or 0)
    relative = counts * len(counts) / len(given)
    return ClassBalance(counts, relative, relative < threshold)
