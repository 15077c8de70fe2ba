"""Greedy maximisation of set functions, in plain NumPy, for `selection_table`."""

from __future__ import annotations

import numpy as np

from .scores_references import unit


def kernel_of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines, shifted into [0, 1]."""
    return (1 + unit(a) @ unit(b).T) / 2


def _greedy(value, size, budget):
    """Gains of the greedy selection for a function of sets, ties to the first."""
    picks, gains = [], []
    for _ in range(budget):
        left = [i for i in range(size) if i not in picks]
        each = np.array([value([*picks, i]) for i in left]) - value(picks)
        picks.append(left[int(each.argmax())])
        gains.append(each.max())
    return np.array(gains)


def location(pool, private, budget, query=None):
    """Gains of facility location away from a private set, like a query set."""
    kernel = kernel_of(pool, pool)
    low = kernel_of(pool, private).max(axis=1)
    high = np.full(len(pool), np.inf)
    if query is not None:
        high = np.maximum(kernel_of(pool, query).max(axis=1), low)

    def value(chosen):
        best = kernel[:, chosen].max(axis=1, initial=0)
        return (np.clip(best, low, high) - low).sum()

    return _greedy(value, len(pool), budget)


def query_location(pool, query, budget):
    """Gains of FLQMI."""
    kernel = kernel_of(query, pool)

    def value(chosen):
        like = kernel[:, chosen].max(axis=0).sum() if chosen else 0.0
        return kernel[:, chosen].max(axis=1, initial=0).sum() + like

    return _greedy(value, len(pool), budget)


def log_det(pool, query, private, budget):
    """Gains of the log-determinant's conditional mutual information."""
    everything = np.concatenate([pool / np.abs(pool).max(), query, private])
    kernel = kernel_of(everything, everything) + np.eye(len(everything))
    asked = [len(pool) + i for i in range(3)]
    hidden = [len(pool) + 3 + i for i in range(2)]

    def f(rows):
        return np.linalg.slogdet(kernel[np.ix_(rows, rows)])[1] if rows else 0.0

    def value(chosen):
        return (
            f(chosen + hidden)
            + f(asked + hidden)
            - f(chosen + asked + hidden)
            - f(hidden)
        )

    return _greedy(value, len(pool), budget)
