"""Confident learning: the joint counts of given and true labels.

Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset
Labels" (JAIR 2021), with the conventions of cleanlab 2. All of it runs on the host, in
the precision of the probabilities.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from robustjax import arrays, checks
from robustjax.scores._given_labels import (
    check_given,
    class_major_blocks,
    own_probability,
)

ABSENT_CLASS = 2.0
"""The threshold of a class without labels, which no probability reaches."""

SLACK = 1e-6
"""A probability this far below a threshold, or another, still counts as level."""

# No threshold is so low that a probability of zero would reach it.
_LOWEST_THRESHOLD = 2 * SLACK


def class_thresholds(labels: Any, pred_probs: Any) -> np.ndarray:
    """Mean probability of each class over the examples labeled so (eq. 2).

    Args:
      labels: (N,) integers in 0 … C-1.
      pred_probs: (N, C) floats, out of sample; rows sum to 1.

    Returns:
      (C,) float64, at least 2e-6; `ABSENT_CLASS` where no example has the label.

    Raises:
      ValueError: labels or probabilities that are none, or lengths that differ.
    """
    given, probabilities = check_given(labels, pred_probs)
    own = own_probability(given, probabilities)
    return thresholds_of(given, own, probabilities.shape[1])


def thresholds_of(labels: np.ndarray, own: np.ndarray, num_classes: int) -> np.ndarray:
    """As `class_thresholds`, of checked labels and their (N,) own probabilities."""
    counts = np.bincount(labels, minlength=num_classes)
    sums = np.bincount(labels, own, num_classes)
    absent = np.full(num_classes, ABSENT_CLASS)
    means = np.divide(sums, counts, out=absent, where=counts > 0)
    return np.maximum(means, _LOWEST_THRESHOLD)


def confident_joint(
    labels: Any, pred_probs: Any, thresholds: Any = None, calibrate: bool = True
) -> np.ndarray:
    """Counts how often each given label is confidently each true one (eq. 1).

    An example counts for the class whose threshold its probability reaches; if it
    reaches several, for its most probable class of all (so does cleanlab; the paper
    takes the most probable of those reached); if none, not at all. Every class counts
    at least one correct label.

    Args:
      labels: (N,) integers in 0 … C-1.
      pred_probs: (N, C) floats, out of sample; rows sum to 1.
      thresholds: (C,); by default `class_thresholds`.
      calibrate: whether to scale row i to the number of labels i, rounded.

    Returns:
      (C, C) int64, rows given, columns true.

    Raises:
      ValueError: labels, probabilities or thresholds that are none, or lengths that
        differ.
    """
    given, probabilities = check_given(labels, pred_probs)
    classes = probabilities.shape[1]
    if thresholds is not None:
        thresholds = arrays.numbers("thresholds", thresholds).reshape(-1)
        thresholds = thresholds.astype(np.float64)
        if thresholds.size != classes or not np.isfinite(thresholds).all():
            raise ValueError(
                f"thresholds: got {thresholds}, expected {classes} finite numbers, one "
                "per class"
            )
    readings = read_predictions(given, probabilities, thresholds)
    counts = count_joint(given, readings.guess, classes)
    return calibrate_joint(counts, given) if calibrate else counts


class Readings(NamedTuple):
    """What confident learning reads off the predictions.

    Attributes:
      own: (N,) probability of the given label.
      best_other: (N,) largest probability of another class.
      guess: (N,) int32, the class that the example confidently has, -1 for none.
    """

    own: np.ndarray
    best_other: np.ndarray
    guess: np.ndarray


def read_predictions(
    labels: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray | None = None
) -> Readings:
    """Goes through the predictions once.

    Args:
      labels: (N,) checked labels.
      probabilities: (N, C), checked.
      thresholds: (C,); by default `class_thresholds`.
    """
    own = own_probability(labels, probabilities)
    if thresholds is None:
        thresholds = thresholds_of(labels, own, probabilities.shape[1])
    bars = (thresholds - SLACK)[:, None]
    best_other = np.empty_like(own)
    guesses = np.empty(len(labels), np.int32)
    for rows, block in class_major_blocks(probabilities):
        given, column = labels[rows], np.arange(block.shape[1])
        block[given, column] = -np.inf
        other = np.max(block, axis=0, out=best_other[rows])
        block[given, column] = own[rows]
        # Most labels are the most probable class; only the rest need a search.
        beaten = np.flatnonzero(other >= own[rows])
        guess = given.copy()
        guess[beaten] = block[:, beaten].argmax(axis=0)
        reached = block >= bars
        # Whoever reaches its most probable class's threshold is done, too.
        unsure = np.flatnonzero(~reached[guess, column])
        few = reached[:, unsure]
        number = few.sum(axis=0)
        guess[unsure] = np.where(number == 1, few.argmax(axis=0), guess[unsure])
        guess[unsure[number == 0]] = -1
        guesses[rows] = guess
    return Readings(own, best_other, guesses)


def count_joint(
    labels: np.ndarray, guesses: np.ndarray, num_classes: int
) -> np.ndarray:
    """(C, C) counts of labels and confident guesses, the diagonal at least 1."""
    # A column for no guess comes first, which is quicker than leaving these out.
    columns = num_classes + 1
    pairs = labels.astype(np.int64) * columns + guesses + 1
    counts = np.bincount(pairs, minlength=num_classes * columns)
    counts = counts.reshape(num_classes, columns)[:, 1:].copy()
    np.fill_diagonal(counts, np.maximum(counts.diagonal(), 1))
    return counts


def calibrate_joint(counts: Any, labels: Any) -> np.ndarray:
    """Scales row i of joint counts to the number of labels i (eq. 3).

    Args:
      counts: (C, C) non-negative, rows given, columns true.
      labels: (N,) integers in 0 … C-1.

    Returns:
      (C, C) int64; rows sum to the numbers of labels. The rounded counts of a row
      are those nearest to the exact ones that have this sum; among equally near ones
      the first is changed (by cleanlab, whichever its sorting brings forward).

    Raises:
      ValueError: counts of another shape or negative, labels out of range.
    """
    counts = arrays.numbers("confident_joint", counts, 2).astype(np.float64)
    checks.finite("confident_joint", counts)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or (counts < 0).any():
        raise ValueError(
            f"confident_joint: got shape {counts.shape}, smallest entry "
            f"{counts.min(initial=0):g}, expected (C, C) non-negative counts"
        )
    classes = len(counts)
    given = checks.labels("labels", labels, classes)
    totals = np.bincount(given, minlength=classes)
    rows = counts.sum(axis=1)
    empty = np.flatnonzero((rows == 0) & (totals > 0))
    if empty.size:
        raise ValueError(
            f"confident_joint: row {empty[0]} has no count, but {totals[empty[0]]} "
            "labels are to be spread over it"
        )
    exact = counts / np.where(rows > 0, rows, 1)[:, None] * totals[:, None]
    whole = np.rint(exact)
    for row in np.flatnonzero(whole.sum(axis=1) != totals):
        missing = int(totals[row] - whole[row].sum())
        sign = np.sign(missing)
        order = np.argsort(sign * (whole[row] - exact[row]), kind="stable")
        whole[row, order[: abs(missing)]] += sign
    return whole.astype(np.int64)


def estimate_joint(
    labels: Any, pred_probs: Any, confident_joint: Any = None
) -> np.ndarray:
    """The joint distribution of given and true labels (eq. 3).

    Args:
      labels: (N,) integers in 0 … C-1.
      pred_probs: (N, C) floats, out of sample; rows sum to 1.
      confident_joint: (C, C) counts to use, which will be calibrated; by default those
        of the function of that name.

    Returns:
      (C, C) float64 with sum 1, rows given, columns true; row sums are the shares of
      the given labels.

    Raises:
      ValueError: labels, probabilities or counts that are none, or do not fit.
    """
    given, probabilities = check_given(labels, pred_probs)
    classes = probabilities.shape[1]
    if confident_joint is None:
        guesses = read_predictions(given, probabilities).guess
        confident_joint = count_joint(given, guesses, classes)
    elif np.shape(confident_joint) != (classes, classes):
        raise ValueError(
            f"confident_joint: got shape {np.shape(confident_joint)}, expected "
            f"{(classes, classes)}"
        )
    return calibrate_joint(confident_joint, given) / len(given)


def estimated_noise_rate(labels: Any, pred_probs: Any) -> float:
    """The share of labels that are likely wrong: the joint off its diagonal (eq. 3).

    Args:
      labels: (N,) integers in 0 … C-1.
      pred_probs: (N, C) floats, out of sample; rows sum to 1.

    Returns:
      A number in [0, 1].

    Raises:
      ValueError: labels or probabilities that are none, or do not fit.
    """
    return float(1 - np.trace(estimate_joint(labels, pred_probs)))
