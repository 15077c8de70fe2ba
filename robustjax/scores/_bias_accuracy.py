"""Accuracy by target and bias attribute, and its means.

Nam, Cha, Ahn, Lee, Shin, "Learning from Failure: Training Debiased Classifier from
Biased Classifier" (NeurIPS 2020). All means are over *cells*, the pairs of target and
bias, not over examples. With as many values as classes, value k going with class k,

    unbiased = aligned / C + (1 - 1 / C) conflicting.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from robustjax import arrays, checks


def cell_accuracies(
    predictions: Any, labels: Any, bias: Any, num_classes: int
) -> np.ndarray:
    """The share of right predictions for every pair of target and bias attribute.

    Args:
      predictions: (N,) integers, predicted classes.
      labels: (N,) integers, targets.
      bias: (N,) integers, attributes.
      num_classes: C, of classes and of attribute values.

    Returns:
      (C, C) float64 by (target, bias); NaN where there is no example, which the means
      refuse.

    Raises:
      ValueError: lengths that differ, or values outside 0 … C-1.
    """
    checks.at_least("num_classes", num_classes, 1)
    predicted, target, attribute = (
        checks.labels(name, values, num_classes)
        for name, values in (
            ("predictions", predictions),
            ("labels", labels),
            ("bias", bias),
        )
    )
    checks.same_length(predictions=predicted, labels=target, bias=attribute)
    cell = target.astype(np.int64) * num_classes + attribute
    size = num_classes * num_classes
    count = np.bincount(cell, minlength=size)
    right = np.bincount(cell[predicted == target], minlength=size)
    shares = np.full(size, np.nan)
    np.divide(right, count, out=shares, where=count > 0)
    return shares.reshape(num_classes, num_classes)


def unbiased_accuracy(cells: Any) -> float:
    """The mean over all cells.

    Args:
      cells: (C, C) of `cell_accuracies`.

    Raises:
      ValueError: another shape, or a cell without examples.
    """
    shares = _check(cells)
    return _mean(shares, np.ones(shares.shape, bool), "unbiased")


def aligned_accuracy(cells: Any) -> float:
    """The mean over the C cells whose attribute goes with their class.

    Args:
      cells: (C, C) of `cell_accuracies`.

    Raises:
      ValueError: another shape, or one of these cells without examples.
    """
    shares = _check(cells)
    return _mean(shares, np.eye(len(shares), dtype=bool), "aligned")


def conflicting_accuracy(cells: Any) -> float:
    """The mean over the C (C - 1) cells whose attribute goes with another class.

    Args:
      cells: (C, C) of `cell_accuracies`.

    Raises:
      ValueError: another shape, or one of these cells without examples.
    """
    shares = _check(cells)
    return _mean(shares, ~np.eye(len(shares), dtype=bool), "conflicting")


def worst_cell_accuracy(cells: Any) -> float:
    """The smallest accuracy of any cell (Sagawa et al., ICLR 2020).

    Args:
      cells: (C, C) of `cell_accuracies`.

    Raises:
      ValueError: another shape, or a cell without examples.
    """
    shares = _check(cells)
    _need_examples(shares, np.ones(shares.shape, bool), "worst")
    return float(shares.min())


def _check(cells: Any) -> np.ndarray:
    shares = arrays.numbers("cells", cells, 2)
    if shares.shape[0] != shares.shape[1] or len(shares) < 2:
        raise ValueError(
            f"cells: got shape {shares.shape}, expected (C, C) of at least two classes"
        )
    shares = shares.astype(np.float64)
    known = shares[~np.isnan(shares)]
    if known.size:
        checks.in_range("cells", (known.min(), known.max()), 0, 1)
    return shares


def _mean(shares: np.ndarray, wanted: np.ndarray, what: str) -> float:
    _need_examples(shares, wanted, what)
    return float(shares[wanted].mean())


def _need_examples(shares: np.ndarray, wanted: np.ndarray, what: str) -> None:
    empty = np.argwhere(wanted & np.isnan(shares))
    if empty.size:
        target, bias = empty[0].tolist()
        raise ValueError(
            f"cells: {len(empty)} of {int(wanted.sum())} have no example (first: "
            f"target {target}, bias {bias}), so that the {what} accuracy is not "
            "defined; expected at least one in each"
        )
