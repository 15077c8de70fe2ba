"""Unlabelled pools with examples of foreign classes, built from labelled data sets.

IN examples belong to one of k wanted classes, OOD examples to none. The noise ratio
is the share of OOD examples in the pool. Everything works on labels alone, so that
images stay where they are: a pool is a list of rows.

Park et al., "Meta-Query-Net: Resolving Purity-Informativeness Dilemma in Open-set
Active Learning" (NeurIPS 2022). The paper says that the noise ratio decides how many
OOD classes there are; its authors' code draws from all of them, as is done here.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from robustjax import checks


class OpenSetPool(NamedTuple):
    """A pool by its rows.

    Attributes:
      rows: (N,) int64, where the examples come from, in random order, so that ties
        broken by position favour nothing.
      labels: (N,) int32 true labels: 0 … k-1, and k for OOD.
      num_classes: k.
    """

    rows: np.ndarray
    labels: np.ndarray
    num_classes: int

    @property
    def noise_ratio(self) -> float:
        """The share of OOD examples."""
        return float(np.mean(self.labels == self.num_classes))


def draw_classes(key: jax.Array, num_classes: int, count: int) -> tuple[int, ...]:
    """Draws which classes are IN, ascending.

    Args:
      key: PRNG key.
      num_classes: of the data set.
      count: k.

    Raises:
      ValueError: a count outside 1 … num_classes.
    """
    checks.at_least("count", count, 1)
    if count > num_classes:
        raise ValueError(f"count: got {count}, expected at most {num_classes} classes")
    order = np.asarray(jax.random.permutation(key, num_classes))
    return tuple(sorted(order[:count].tolist()))


def open_set_labels(labels: Any, in_classes: Sequence[int]) -> np.ndarray:
    """Renames IN classes to 0 … k-1 in ascending order, and all others to k.

    Args:
      labels: (N,) integers.
      in_classes: k distinct classes.

    Returns:
      (N,) int32.

    Raises:
      ValueError: no class, a repeated one, or one without examples.
    """
    given = checks.labels("labels", labels)
    if not len(in_classes):
        raise ValueError("in_classes: got none, expected at least one class")
    classes = sorted(checks.labels("in_classes", in_classes).tolist())
    if len(set(classes)) < len(classes):
        raise ValueError(f"in_classes: got {classes}, expected each class once")
    empty = [c for c in classes if not np.any(given == c)]
    if empty:
        raise ValueError(f"in_classes: class {empty[0]} has no example")
    found = np.full(len(given), len(classes), np.int32)
    for new, old in enumerate(classes):
        found[given == old] = new
    return found


def num_ood(num_in: int, noise_ratio: float) -> int:
    """How many OOD examples go with so many IN examples, rounded.

    Args:
      num_in: IN examples.
      noise_ratio: in [0, 1).

    Raises:
      ValueError: a ratio outside [0, 1).
    """
    checks.in_range("noise_ratio", noise_ratio, 0, 1, high_open=True)
    return round(num_in * noise_ratio / (1 - noise_ratio))


def split_dataset(
    key: jax.Array,
    labels: Any,
    in_classes: Sequence[int],
    noise_ratio: float,
    *,
    num_in: int | None = None,
) -> OpenSetPool:
    """Some classes of a data set are wanted, the others are OOD.

    OOD examples are drawn uniformly from all other classes.

    Args:
      key: PRNG key.
      labels: (M,) integers, of the data set.
      in_classes: the wanted classes.
      noise_ratio: share of OOD examples, in [0, 1).
      num_in: IN examples, drawn uniformly; by default all there are.

    Raises:
      ValueError: bad classes or ratio, or more examples wanted than there are.
    """
    known = open_set_labels(labels, in_classes)
    k = len(in_classes)
    outside = np.flatnonzero(known == k)
    return _compose(key, known, [outside], k, noise_ratio, num_in)


def cross_dataset(
    key: jax.Array,
    labels: Any,
    num_classes: int,
    ood_sizes: Sequence[int],
    noise_ratio: float,
    *,
    num_in: int | None = None,
) -> OpenSetPool:
    """A whole data set is wanted, others are OOD in equal shares.

    Args:
      key: PRNG key.
      labels: (M,) integers in 0 … k-1, of the wanted data set.
      num_classes: k.
      ood_sizes: how many examples each of the others has.
      noise_ratio: share of OOD examples, in [0, 1).
      num_in: IN examples, drawn uniformly; by default all.

    Returns:
      A pool whose rows count through all data sets, one behind the other, the wanted
      one first. The paper mixes LSUN and Places365 without saying how; shares differ
      by one example at most here.

    Raises:
      ValueError: labels out of range, a bad ratio, no other data set, or one that is
        too small for its share.
    """
    known = checks.labels("labels", labels, num_classes)
    if not len(ood_sizes):
        raise ValueError("ood_sizes: got none, expected at least one OOD data set")
    starts = len(known) + np.concatenate([[0], np.cumsum(ood_sizes)])
    sources = [np.arange(a, b) for a, b in itertools.pairwise(starts)]
    return _compose(key, known, sources, num_classes, noise_ratio, num_in)


def _compose(
    key: jax.Array,
    labels: np.ndarray,
    sources: Sequence[np.ndarray],
    num_classes: int,
    noise_ratio: float,
    num_in: int | None,
) -> OpenSetPool:
    """Draws IN rows, and OOD rows in equal shares, and mixes them."""
    in_key, order_key, *ood_keys = jax.random.split(key, 2 + len(sources))
    inside = np.flatnonzero(labels < num_classes)
    num_in = len(inside) if num_in is None else num_in
    checks.at_least("num_in", num_in, 1)
    if num_in > len(inside):
        raise ValueError(
            f"num_in: got {num_in}, expected at most the {len(inside)} IN examples"
        )
    wanted = num_ood(num_in, noise_ratio)
    parts = [_some(in_key, inside, num_in)]
    for number, (source, source_key) in enumerate(zip(sources, ood_keys)):
        # The first sources get one more where it does not divide.
        share = (wanted + len(sources) - 1 - number) // len(sources)
        if share > len(source):
            raise ValueError(
                f"noise_ratio: got {noise_ratio:g} with {num_in} IN examples, which "
                f"takes {share} OOD examples of a source that has {len(source)}; "
                "lower it, or num_in"
            )
        parts.append(_some(source_key, source, share))
    rows = np.concatenate(parts)
    known = np.full(len(rows), num_classes, np.int32)
    known[:num_in] = labels[parts[0]]
    order = np.asarray(jax.random.permutation(order_key, len(rows)))
    return OpenSetPool(rows[order].astype(np.int64), known[order], num_classes)


def _some(key: jax.Array, rows: np.ndarray, count: int) -> np.ndarray:
    """A uniform draw without replacement."""
    order = np.asarray(jax.random.permutation(key, len(rows)))
    return rows[order[:count]]


def draw_initial(
    key: jax.Array,
    labels: np.ndarray,
    num_classes: int,
    count: int,
    *,
    exact_shares: bool = False,
) -> np.ndarray:
    """Draws the examples that are labelled before the first round.

    Args:
      key: PRNG key.
      labels: (N,) true labels of a pool, k for OOD.
      num_classes: k.
      count: examples.
      exact_shares: draw IN and OOD examples in the pool's own shares, rounded, as the
        authors' code does; else uniformly, as the paper says, so that the shares are
        right on average only.

    Returns:
      (count,) int64 rows of the pool.

    Raises:
      ValueError: a count outside 0 … N.
    """
    known = checks.labels("labels", labels, num_classes + 1)
    checks.at_least("initial", count, 0)
    if count > len(known):
        raise ValueError(
            f"initial: got {count}, expected at most the pool of {len(known)} examples"
        )
    order = np.asarray(jax.random.permutation(key, len(known)), np.int64)
    if not exact_shares:
        return order[:count]
    is_ood = known[order] == num_classes
    outside = min(round(count * float(is_ood.mean())), count)
    # The first of each kind in the order, and in that order.
    rank = np.where(is_ood, np.cumsum(is_ood), np.cumsum(~is_ood))
    return order[rank <= np.where(is_ood, outside, count - outside)]
