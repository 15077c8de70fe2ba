"""Data sets with issues that somebody put there, and how much of them was found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping

import numpy as np

KINDS = ("labels", "exact duplicates", "near duplicates", "outliers", "rare class")

# Shares of all examples, fixed before anything was run.
_WRONG, _EACH = 0.08, 0.02
# What is left of the rare class, of an even share.
_RARE = 0.06
# Noise on a near duplicate, in deviations of the column.
_JITTER = 0.05


@dataclasses.dataclass(frozen=True)
class Planted:
    """A data set with issues.

    Attributes:
      inputs: (N, d) numbers.
      labels: (N,) given ones.
      planted: kind -> rows that have it.
    """

    inputs: np.ndarray
    labels: np.ndarray
    planted: Mapping[str, frozenset[int]]


def plant(
    inputs: np.ndarray,
    labels: np.ndarray,
    seed: int,
    *,
    rare: int | None,
    finish: Callable[[np.ndarray], np.ndarray] = lambda rows: rows,
) -> Planted:
    """Makes one class rare, labels wrong, adds copies, near copies and outliers.

    An outlier has every number from another example, so that its columns are as usual
    and it as a whole is not. Wrong labels are neither from nor to the rare class.

    Args:
      inputs: (n, d).
      labels: (n,) true ones.
      seed: of everything that is drawn.
      rare: the class that is made rare, None for none.
      finish: makes rows what can be stored, such as whole numbers.
    """
    rng = np.random.default_rng(seed)
    classes = np.unique(labels)
    kept = np.arange(len(labels))
    if rare is not None:
        few = round(_RARE * len(labels) / len(classes))
        cut = rng.permutation(np.flatnonzero(labels == rare))[few:]
        kept = np.setdiff1d(kept, cut)
    inputs, true = inputs[kept].astype(np.float64), labels[kept]
    size, each = len(kept), round(_EACH * len(kept))
    given = true.copy()
    usual = classes[classes != rare]
    wrong = rng.choice(np.flatnonzero(true != rare), round(_WRONG * size), False)
    for row in wrong:
        given[row] = rng.choice(usual[usual != true[row]])
    # Apart from each other, and from wrong labels: every plant is of one kind.
    free = np.setdiff1d(np.flatnonzero(true != rare), wrong)
    exact, near = rng.choice(free, (2, each), replace=False)
    jitter = _JITTER * inputs.std(axis=0) * rng.normal(size=(each, inputs.shape[1]))
    mixed = np.stack([rng.permutation(column)[:each] for column in inputs.T], axis=1)
    parts = [inputs, inputs[exact], inputs[near] + jitter, mixed]
    more = [given, given[exact], given[near], rng.choice(usual, each)]
    rows, all_labels = finish(np.concatenate(parts)), np.concatenate(more)
    begin = size + each * np.arange(4)
    added = [range(begin[i], begin[i + 1]) for i in range(3)]
    copies = {*exact.tolist(), *added[0]}
    planted = {
        "labels": wrong,
        "exact duplicates": [*copies],
        "near duplicates": [*copies, *near, *added[1]],
        "outliers": added[2],
        "rare class": np.flatnonzero(all_labels == rare),
    }
    # What was added would stand at the end.
    order = rng.permutation(len(rows))
    place = np.argsort(order)
    return Planted(
        rows[order],
        all_labels[order],
        {
            kind: frozenset(place[np.asarray(rows, np.int64)].tolist())
            for kind, rows in planted.items()
        },
    )


def drifting(found: Planted, seed: int) -> Planted:
    """The same rows in an order: by their mean, as far as noise as strong leaves it.

    Rows that are planted are no longer told.
    """
    mean = found.inputs.mean(axis=1)
    noise = np.random.default_rng(seed).normal(size=len(mean)) * mean.std()
    order = np.argsort(mean + noise, kind="stable")
    return Planted(found.inputs[order], found.labels[order], {})


def quality(found: Collection[int], planted: Collection[int]) -> dict[str, float]:
    """How many were found, and how many of what was found were planted.

    Args:
      found: rows that were flagged.
      planted: rows that should be.

    Returns:
      `precision` and `recall` (NaN where nothing was found or planted), `found`,
      `planted`.
    """
    right = len(set(found) & set(planted))
    return {
        "precision": right / len(found) if found else float("nan"),
        "recall": right / len(planted) if planted else float("nan"),
        "found": len(found),
        "planted": len(planted),
    }
