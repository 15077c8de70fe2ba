"""Examples that lie far from all others, by the distances to their neighbours.

Every score is larger for what is more outlying. Distances have no unit that would mean
the same on two data sets, so what counts as an outlier is decided by their logarithms,
less the median and over the median absolute deviation of all examples.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from robustjax import arrays, checks

# Makes the median absolute deviation of a normal distribution its standard deviation,
# and likewise the mean one (Iglewicz and Hoaglin, 1993).
_MEDIAN_FACTOR, _MEAN_FACTOR = 1.4826, 1.253314
# Deviations below are rounding: float32 distances have seven digits.
_SMALLEST_DEVIATION = 1e-6


class Outliers(NamedTuple):
    """How far every example lies from the others.

    Attributes:
      scores: (N,) float64, robust z-scores: 0 for the median example.
      is_outlier: (N,) bool, which lie beyond the threshold.
    """

    scores: np.ndarray
    is_outlier: np.ndarray


def _check_distances(distances: Any) -> np.ndarray:
    """(N, k) float64; raises `ValueError` for what are no distances."""
    found = arrays.numbers("distances", distances, 2).astype(np.float64)
    if 0 in found.shape:
        raise ValueError(f"distances: got shape {found.shape}, expected some")
    checks.finite("distances", found)
    if (found < 0).any():
        raise ValueError(f"distances: got {found.min():g}, expected none below 0")
    return found


def check_neighbor_rows(indices: Any) -> np.ndarray:
    """(N, k) int64 rows; raises `ValueError` for what are none."""
    rows = arrays.numbers("indices", indices, 2)
    if rows.dtype.kind not in "iu":
        raise ValueError(f"indices: got {rows.dtype}, expected integers")
    if 0 in rows.shape:
        raise ValueError(f"indices: got shape {rows.shape}, expected some")
    if rows.min() < 0 or rows.max() >= len(rows):
        wrong = rows.min() if rows.min() < 0 else rows.max()
        raise ValueError(f"indices: got {wrong}, expected 0 … {len(rows) - 1}")
    own = np.flatnonzero((rows == np.arange(len(rows))[:, None]).any(axis=1))
    if own.size:
        # At a distance of 0, it would be the nearest of all.
        raise ValueError(
            f"indices: row {own[0]} is among its own neighbours ({own.size} of "
            f"{len(rows)} are), expected other rows"
        )
    return rows.astype(np.int64)


def check_neighbors(indices: Any, distances: Any) -> tuple[np.ndarray, np.ndarray]:
    """(N, k) int64 and float64 neighbours, nearest first.

    Raises:
      ValueError: arrays that are no lists of neighbours.
    """
    found = _check_distances(distances)
    rows = check_neighbor_rows(indices)
    if rows.shape != found.shape:
        raise ValueError(
            f"indices: got shape {rows.shape}, expected that of the distances "
            f"{found.shape}"
        )
    if (np.diff(found, axis=1) < 0).any():
        raise ValueError("distances: got some that fall, expected the nearest first")
    return rows, found


def mean_neighbor_distance(distances: Any) -> np.ndarray:
    """The mean distance to the k nearest neighbours.

    Angiulli and Pizzuti, "Fast Outlier Detection in High Dimensional Spaces" (PKDD
    2002), whose weight is the sum of these distances.

    Args:
      distances: (N, k) numbers >= 0, such as those of `graph.nearest_neighbors`.

    Returns:
      (N,) float64 >= 0.

    Raises:
      ValueError: no neighbours, a wrong rank, NaN, infinity or a negative distance.
    """
    return _check_distances(distances).mean(axis=1)


def local_outlier_factor(indices: Any, distances: Any) -> np.ndarray:
    """How much thinner the data are around an example than around its neighbours.

    Breunig, Kriegel, Ng, Sander, "LOF: Identifying Density-Based Local Outliers"
    (SIGMOD 2000), Definitions 5 to 7, on the k nearest neighbours (ties beyond the
    k-th are left out). About 1 inside a cluster of any density.

    Args:
      indices: (N, k) integers in 0 … N-1, nearest first, such as those of
        `graph.nearest_neighbors`.
      distances: (N, k) numbers >= 0, likewise.

    Returns:
      (N,) float64 > 0. Copies of more than k examples have an infinite density; their
      factor is 1, and infinity is that of what else has such a neighbour.

    Raises:
      ValueError: arrays that are no lists of neighbours.
    """
    rows, found = check_neighbors(indices, distances)
    reach = np.maximum(found, found[rows, -1]).mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = reach * (1 / reach[rows]).mean(axis=1)
    # No reach at all: as dense as anything can be, and so are the neighbours.
    return np.where(reach == 0, 1.0, factor)


def find_outliers(distances: Any, *, threshold: float = 2.24) -> Outliers:
    """Finds examples that are far from all others.

    The logarithms of `mean_neighbor_distance` become modified z-scores (Iglewicz and
    Hoaglin, "How to Detect and Handle Outliers", 1993): less their median, over 1.4826
    times the median absolute deviation; where that is 0, over 1.2533 times the mean
    one. 2.24, the root of the 97.5 % quantile of chi-squared with one degree of
    freedom, is the threshold of the MAD-median rule (Wilcox, "Introduction to Robust
    Estimation and Hypothesis Testing"); theirs, 3.5, overlooks what is far in direction
    alone, where distances are bounded.

    Args:
      distances: (N, k) numbers >= 0, to the neighbours of every example.
      threshold: z-scores above it are outliers, > 0.

    Returns:
      `Outliers`. Examples among more than k copies of their own score minus infinity.

    Raises:
      ValueError: no distances, NaN, infinity or a negative one, or a threshold out of
        range.

    Example:
      >>> import numpy as np
      >>> from robustjax import graph, scores
      >>> points = np.append(np.arange(20.0), 60.0)[:, None]
      >>> found = scores.find_outliers(graph.nearest_neighbors(points, 3).distances)
      >>> np.flatnonzero(found.is_outlier).tolist()
      [20]
    """
    checks.in_range("threshold", threshold, 0, low_open=True)
    with np.errstate(divide="ignore"):
        scored = _modified_z_scores(np.log(mean_neighbor_distance(distances)))
    return Outliers(scored, scored > threshold)


def _modified_z_scores(values: np.ndarray) -> np.ndarray:
    """(N,) of (N,), of which infinity takes no part in the scale."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return np.zeros_like(values)
    middle = np.median(finite)
    away = np.abs(finite - middle)
    scale = _MEDIAN_FACTOR * np.median(away)
    if scale < _SMALLEST_DEVIATION:
        scale = _MEAN_FACTOR * away.mean()
    return (values - middle) / max(scale, _SMALLEST_DEVIATION)
