"""Plain variants of `robustjax.scores` on data sets: copies, outliers, rare classes."""

from __future__ import annotations

import jax
import numpy as np

from robustjax import scores

from .graph_table import neighbors
from .scores_inputs import FEATURES, LABELS, PROBABILITIES
from .scores_references import joint
from .variants import Row

INDICES, _LENGTHS = neighbors(FEATURES)
# Exact in float16, in the same order.
DISTANCES = np.round(_LENGTHS * 16) / 16
_COPIES = FEATURES[np.array([0, 1, 2, 0, 4, 1, 6, 7, 0, 9, 10, 11])]


def local_outlier_factor(indices: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Definition by definition, one example after the other."""
    size, k = distances.shape
    density = []
    for row in range(size):
        reach = [max(distances[o, -1], d) for o, d in zip(indices[row], distances[row])]
        density.append(k / sum(reach))
    return np.array(
        [
            sum(density[o] / density[row] for o in indices[row]) / k
            for row in range(size)
        ]
    )


def robust_scores(raw: np.ndarray) -> np.ndarray:
    """Modified z-scores of logarithms."""
    logs = np.log(raw)
    away = np.abs(logs - np.median(logs))
    return (logs - np.median(logs)) / (1.4826 * np.median(away))


def exact_duplicates(rows: np.ndarray) -> list[int]:
    return np.array(
        [next(j for j in range(i + 1) if (rows[i] == rows[j]).all()) for i in range(12)]
    )


def near_duplicates(indices, distances, ratio):
    """Sets that grow until no pair joins two of them."""
    usual = np.median(distances[:, 0][distances[:, 0] > 0])
    first = np.arange(len(indices))
    for _ in first:
        for row, (others, lengths) in enumerate(zip(indices, distances)):
            for other, length in zip(others, lengths):
                if length <= ratio * usual:
                    first[row] = first[other] = min(first[row], first[other])
    return indices[:, 0], distances[:, 0] / usual, first


def noise_rate(labels, pred_probs):
    """Rows of the joint as large as their classes, less the diagonal."""
    counts = joint(labels, pred_probs)
    sizes = np.bincount(labels, minlength=3)
    kept = sizes * counts.diagonal() / counts.sum(axis=1)
    return 1 - kept.sum() / len(labels)


_LISTS = {"skips": ("duplicates",), "must_refuse": ("nan", "inf", "one_row", "empty")}

TABLE = {
    "mean_neighbor_distance": Row(
        lambda distances: scores.mean_neighbor_distance(distances),
        lambda distances: distances.mean(axis=1),
        {"distances": DISTANCES},
        must_refuse=("nan", "inf", "empty"),
    ),
    "local_outlier_factor": Row(
        lambda indices, distances: scores.local_outlier_factor(indices, distances),
        local_outlier_factor,
        {"distances": DISTANCES},
        {"indices": INDICES},
        **_LISTS,
    ),
    "find_outliers": Row(
        lambda distances: scores.find_outliers(distances).scores,
        lambda distances: robust_scores(distances.mean(axis=1)),
        {"distances": DISTANCES},
        atol=1e-5,
        must_refuse=("nan", "inf", "empty"),
        skips=("offset", "one_row"),  # No deviation is left but rounding.
    ),
    "exact_duplicates": Row(
        lambda rows: scores.exact_duplicates(rows),
        exact_duplicates,
        {"rows": _COPIES},
        must_refuse=("nan", "inf"),
        skips=("one_row", "empty", "duplicates"),
    ),
    "near_duplicates": Row(
        lambda indices, distances: scores.near_duplicates(
            indices, distances, ratio=1.1
        ),
        lambda indices, distances: near_duplicates(indices, distances, 1.1),
        {"distances": DISTANCES},
        {"indices": INDICES},
        **_LISTS,
    ),
    "row_order": Row(
        lambda indices, groups: (
            scores.row_order(
                indices, key=jax.random.key(0), groups=groups, permutations=3
            ).gaps
        ),
        lambda indices, groups: (
            np.abs(np.arange(12)[:, None] - indices).mean(axis=1) * 3 / 13
        ),
        {},
        {"indices": INDICES, "groups": LABELS},
        must_refuse=("empty",),
    ),
    "class_balance": Row(
        lambda labels: scores.class_balance(labels, 3, threshold=0.9),
        lambda labels: (
            np.bincount(labels, minlength=3),
            np.bincount(labels, minlength=3) * 3 / len(labels),
            np.bincount(labels, minlength=3) * 3 < 0.9 * len(labels),
        ),
        {},
        {"labels": LABELS},
        must_refuse=("empty",),
    ),
    "estimated_noise_rate": Row(
        lambda labels, pred_probs: scores.estimated_noise_rate(labels, pred_probs),
        noise_rate,
        {"pred_probs": PROBABILITIES},
        {"labels": LABELS},
        must_refuse=("offset", "up", "down", "nan", "inf", "empty"),
        atol=0.1,  # The joint's counts are whole numbers.
        unit=1.0,
    ),
}
