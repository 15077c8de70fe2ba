"""Labelled examples near those in question."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustjax import arrays, checks


def nearest_labeled(
    points: Any, rows: Any, labeled: Any, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest labelled examples of some rows, by Euclidean distance.

    Block by block: some rows against all others, where `graph.nearest_neighbors`
    would look at all against all.

    Args:
      points: (N, ...) numbers, of which a row's all count alike.
      rows: (Q,) integers.
      labeled: (N,) bool.
      k: at least 1.

    Returns:
      (Q, k') int64 rows, the nearest first and none its own neighbour, and (Q, k')
      float64 distances, where k' is k or what there is.

    Raises:
      ValueError: k below 1, or lengths that differ.
    """
    checks.at_least("k", k, 1)
    labeled = np.asarray(labeled, bool)
    rows = np.asarray(rows, np.int64)
    checks.same_length(points=points, labeled=labeled)
    flat = np.asarray(points).reshape(len(points), -1)
    pool = np.flatnonzero(labeled)
    # One more than is shown: the row itself may be among them.
    count = min(k + 1, len(pool))
    shown = max(0, min(k, len(pool) - int(labeled[rows].any())))
    found = np.empty((len(rows), shown), np.int64)
    distances = np.empty((len(rows), shown))
    if not shown or not len(rows):
        return found, distances
    # Far from the origin, single precision would have no digits left for distances.
    centre = flat[pool].mean(axis=0, dtype=np.float64)
    known = _centred(flat[pool], centre)
    half = np.sum(known**2, axis=1) / 2
    for here in arrays.blocks(len(rows), len(pool) + count * flat.shape[1]):
        queries = _centred(flat[rows[here]], centre)
        near = np.argpartition(half - queries @ known.T, count - 1, axis=1)[:, :count]
        exact = flat[pool[near]].astype(np.float64)
        exact -= flat[rows[here]].astype(np.float64)[:, None]
        squares = np.einsum("qcd,qcd->qc", exact, exact)
        squares[pool[near] == rows[here][:, None]] = np.inf
        order = np.argsort(squares, axis=1, kind="stable")[:, :shown]
        found[here] = pool[np.take_along_axis(near, order, axis=1)]
        distances[here] = np.sqrt(np.take_along_axis(squares, order, axis=1))
    return found, distances


def _centred(points: np.ndarray, centre: np.ndarray) -> np.ndarray:
    if points.dtype == np.float64:
        return (points - centre).astype(np.float32)
    found = points.astype(np.float32)
    found -= centre.astype(np.float32)
    return found
