"""What a subset is worth, before and after training on it."""

from __future__ import annotations

import numpy as np

BINS = 15


def share(what: np.ndarray, among: np.ndarray) -> float:
    """The share of truths among the chosen ones; NaN where none is chosen."""
    return float(what[among].mean()) if among.any() else float("nan")


def subset_measures(
    indices: np.ndarray,
    neighborhood: np.ndarray,
    is_noisy: np.ndarray,
    is_foreign: np.ndarray,
    temperature: float,
) -> dict[str, float]:
    """Measures of a subset that need no training.

    Args:
      indices: (M,) what was kept.
      neighborhood: (N,) reduced neighbourhood confidence of all examples.
      is_noisy: (N,) bool, whether the given label is wrong.
      is_foreign: (N,) bool, whether it is because no label would be right.
      temperature: of the objective.

    Returns:
      noisy_share: share of wrong labels among the kept ones (%Noisy).
      foreign_share: share of foreign ones; only if there are any.
      objective: the value of Eq. 5.8, the sum of `tanh(neighborhood / temperature)`
        over all examples.
      neighborhood: its mean over all examples.
    """
    level = neighborhood.astype(np.float64)
    foreign = {"foreign_share": float(is_foreign[indices].mean())}
    return {
        "noisy_share": float(is_noisy[indices].mean()),
        **(foreign if is_foreign.any() else {}),
        "objective": float(np.tanh(level / temperature).sum()),
        "neighborhood": float(level.mean()),
    }


def relabeling_measures(
    predicted: np.ndarray,
    true: np.ndarray,
    is_noisy: np.ndarray,
    is_foreign: np.ndarray,
    indices: np.ndarray,
) -> dict[str, float]:
    """Measures of what the re-labelling model says in the end of what has a class.

    Args:
      predicted: (N,) classes, on images as they are.
      true: (N,) true classes; foreign examples have none, whatever stands there.
      is_noisy: (N,) bool, whether the given label is wrong.
      is_foreign: (N,) bool, whether no label would be right.
      indices: (M,) what was kept.

    Returns:
      correct_share: share of the kept examples with a class and a wrong label that are
        predicted as their true class (%Correct); NaN if there are none.
      relabel_accuracy: share of all examples with a class that are.
    """
    right = predicted == true
    return {
        "correct_share": share(right[indices], (is_noisy & ~is_foreign)[indices]),
        "relabel_accuracy": share(right, ~is_foreign),
    }


def binned_accuracy(
    neighborhood: np.ndarray, right: np.ndarray, seed: int, bins: int = BINS
) -> tuple[list[float], list[float]]:
    """Re-labelling accuracy by neighbourhood confidence (thesis, Fig. 5.2).

    The examples are sorted by neighbourhood confidence and cut into bins of equal
    size. Equal confidences, such as the zeros of examples without a kept neighbour,
    are in random order.

    Args:
      neighborhood: (N,) floats.
      right: (N,) bool, whether an example is predicted as its true class.
      seed: of that order.
      bins: their number, at most N.

    Returns:
      Mean confidence and accuracy of every bin, lowest first.
    """
    ties = np.random.default_rng(seed).permutation(len(right))
    order = np.lexsort((ties, neighborhood))
    parts = np.array_split(order, min(bins, len(order)))
    level = neighborhood.astype(np.float64)
    return (
        [float(level[part].mean()) for part in parts],
        [float(right[part].mean()) for part in parts],
    )
