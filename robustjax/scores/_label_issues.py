"""Which labels are wrong: confident learning's filters, on the host.

Northcutt, Jiang and Chuang (JAIR 2021), section 3.3, with the conventions of cleanlab
2's `find_label_issues`.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from robustjax import checks
from robustjax.scores._confident_learning import (
    SLACK,
    Readings,
    calibrate_joint,
    count_joint,
)
from robustjax.scores._label_quality import QUALITY_METHODS, QualityMethod
from robustjax.scores._largest import largest
from robustjax.scores._predictions import predictions, rows_of_classes

FilterBy = Literal[
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "predicted_neq_given",
    "low_normalized_margin",
    "low_self_confidence",
]
FILTERS: tuple[FilterBy, ...] = get_args(FilterBy)
"""Values of `filter_by` in `find_label_issues`."""

# Those that flag as many as the joint counts say, which `frac_noise` scales.
_BY_COUNTS = ("prune_by_noise_rate", "prune_by_class", "both")


def find_label_issues(
    labels: Any,
    pred_probs: Any,
    *,
    filter_by: FilterBy = "prune_by_noise_rate",
    frac_noise: float = 1.0,
    min_examples_per_class: int = 1,
    return_indices_ranked_by: QualityMethod | None = None,
) -> np.ndarray:
    """Flags labels that are likely wrong.

    With p the probabilities, y the label and J the calibrated `confident_joint`:

    - "prune_by_noise_rate": for all classes i, j, the J[i, j] examples of label i with
      the largest p_j - p_i;
    - "prune_by_class": for every class i, the examples of label i with the smallest
      p_i, as many as row i of J has off its diagonal;
    - "both": what both of these flag;
    - "confident_learning": the examples counted off the diagonal of J;
    - "predicted_neq_given": those whose most probable class is not the label;
    - "low_normalized_margin", "low_self_confidence": those of lowest score (see
      `label_quality_scores`), as many as "confident_learning" flags.

    Of the first five, none flags a label that is the most probable class, or within
    1e-6 of it. Among equal values the first rows are flagged. (cleanlab leaves that to
    its sorting, so its mask may differ among rows tied at the last place. It lets
    prunings keep fewer than `min_examples_per_class` in odd cases, and warns where
    these are errors or of no consequence here.)

    Args:
      labels: (N,) integers in 0 … C-1; of several processes each has all, or they
        hold parts of a JAX array.
      pred_probs: (N, C) floats, out of sample; rows sum to 1. Of rows of a file
        (`data.open_rows`), and of a JAX array that is divided among devices by rows,
        a block is in the host's memory at a time, beside some numbers per example.
        Of an array that several processes hold, each reads its own rows and sends the
        others some numbers per example; all call, and get the same answer, that of
        one process to the bit.
      filter_by: one of `FILTERS`.
      frac_noise: share in [0, 1] of the counts off the diagonal of J to prune, for
        the first three filters.
      min_examples_per_class: how many examples of each class the first three filters
        keep, >= 1; classes with fewer have none flagged.
      return_indices_ranked_by: one of `QUALITY_METHODS` to get indices, lowest score
        first, instead of a mask.

    Returns:
      (N,) bool, True where flagged; or the (M,) int64 rows that are flagged.

    Raises:
      ValueError: labels or probabilities that are none, lengths that differ, an
        unknown filter or score, numbers out of range, or `frac_noise` with a filter
        that does not use it; of several processes in all of them, also where their
        labels differ or one holds no part.

    Example:
      >>> import numpy as np
      >>> from robustjax import scores
      >>> labels = np.array([0, 0, 0, 1, 1, 1])
      >>> probabilities = 0.8 * np.eye(2)[labels] + 0.1
      >>> labels[2] = 1  # What the probabilities do not say.
      >>> scores.find_label_issues(labels, probabilities).tolist()
      [False, False, True, False, False, False]
      >>> scores.find_label_issues(
      ...     labels, probabilities, return_indices_ranked_by="self_confidence"
      ... ).tolist()
      [2]
    """
    checks.one_of("filter_by", filter_by, FILTERS)
    if return_indices_ranked_by is not None:
        checks.one_of(
            "return_indices_ranked_by", return_indices_ranked_by, QUALITY_METHODS
        )
    checks.in_range("frac_noise", frac_noise, 0, 1)
    if frac_noise != 1 and filter_by not in _BY_COUNTS:
        raise ValueError(
            f"frac_noise: got {frac_noise}, expected 1 with filter_by={filter_by!r}; "
            f"only {', '.join(_BY_COUNTS)} use it"
        )
    checks.at_least("min_examples_per_class", min_examples_per_class, 1)
    found = predictions(labels, pred_probs)
    given, readings = found.labels, found.readings()
    flagged = readings.best_other > readings.own + SLACK
    if filter_by in _BY_COUNTS:
        counts = count_joint(given, readings.guess, found.num_classes)
        joint = calibrate_joint(counts, given)
        prunings = _prunings(joint, min_examples_per_class, frac_noise)
        if filter_by != "prune_by_class":
            flagged = found.by_margin(readings, prunings.pairs, flagged)
        if filter_by != "prune_by_noise_rate":
            flagged &= _by_class(given, readings, prunings)
    elif filter_by != "predicted_neq_given":
        flagged &= (readings.guess >= 0) & (readings.guess != given)
    if filter_by.startswith("low_"):
        scores = found.quality(filter_by.removeprefix("low_"))
        flagged = largest(-scores, int(flagged.sum()))
    if return_indices_ranked_by is None:
        return flagged
    rows = np.flatnonzero(flagged)
    scores = found.quality(return_indices_ranked_by, rows)
    return rows[np.argsort(scores, kind="stable")]


class _Prunings(NamedTuple):
    """How many labels may be pruned.

    Attributes:
      pairs: (C, C) int64, labels i in favour of j; diagonal 0.
      classes: (C,) int64, labels i in favour of any class.
    """

    pairs: np.ndarray
    classes: np.ndarray


def _prunings(joint: np.ndarray, keep: int, share: float) -> _Prunings:
    """From calibrated counts, by cleanlab's rule.

    What a diagonal lacks to `keep` is taken evenly from the other counts of its row.
    Of these, a `share` is pruned, rounded down per pair and up per class.
    """
    totals, diagonal = joint.sum(axis=1), joint.diagonal()
    kept = np.maximum(diagonal, keep)
    entries = np.maximum(np.count_nonzero(joint, axis=1) - 1, 1)
    others = np.maximum(joint - ((kept - diagonal) / entries)[:, None], 0)
    np.fill_diagonal(others, 0)
    pairs = (others * share).astype(np.int64)
    kept = (kept + (others - others * share).sum(axis=1)).astype(np.int64)
    # Counts too small to give their part leave more than there is room for.
    room = np.maximum(totals - keep, 0)
    for row in np.flatnonzero(pairs.sum(axis=1) > room):
        order = np.argsort(pairs[row], kind="stable")
        within = np.minimum(np.cumsum(pairs[row, order]), room[row])
        pairs[row, order] = np.diff(within, prepend=0)
    return _Prunings(pairs, np.maximum(totals - kept, 0))


def _by_class(
    labels: np.ndarray, readings: Readings, prunings: _Prunings
) -> np.ndarray:
    """The least self-confident examples of each class."""
    flagged = np.zeros(len(labels), bool)
    for given, rows in rows_of_classes(labels, len(prunings.classes)):
        flagged[rows] = largest(-readings.own[rows], int(prunings.classes[given]))
    return flagged
