"""Which examples of a pool every repeat trains on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robustjax.methods.features import OOD, TARGET, UNUSED


def draw_roles(
    labels: np.ndarray,
    num_ood: int,
    counts: Sequence[int],
    *,
    repeats: int,
    seed: int,
    stratified: bool,
) -> dict[int, np.ndarray]:
    """N target and N OOD examples for every repeat and every N.

    Draws are nested: what a repeat has of few examples it has of more, too. They do
    not depend on the method.

    Args:
      labels: (T,) labels of the target examples, which come first in the pool.
      num_ood: O, the OOD examples behind them.
      counts: numbers of examples N; those above O take all OOD examples.
      repeats: R.
      seed: of the draws.
      stratified: whether classes get equally many target examples, up to one.

    Returns:
      N -> (R, T + O) int32 roles.

    Raises:
      ValueError: a class with fewer examples than its share, where stratified.
    """
    if stratified:
        sizes = np.bincount(labels)
        # All there are have their own shares.
        largest = max((c for c in counts if c < len(labels)), default=0)
        if sizes.min() * len(sizes) < largest:
            raise ValueError(
                f"stratified: got {largest} examples over {len(sizes)} classes, but "
                f"class {sizes.argmin()} has only {sizes.min()}"
            )
    roles = {
        count: np.full((repeats, len(labels) + num_ood), UNUSED, np.int32)
        for count in counts
    }
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, 30, repeat])
        targets = rng.permutation(len(labels))
        if stratified:
            targets = _in_turns(targets, labels[targets])
        others = len(labels) + rng.permutation(num_ood)
        for count in counts:
            roles[count][repeat, targets[:count]] = TARGET
            roles[count][repeat, others[:count]] = OOD
    return roles


def _in_turns(order: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Reorders so that every class gets its turn once before any gets it twice."""
    turn = np.empty(len(order), np.int64)
    for label in np.unique(labels):
        mine = labels == label
        turn[mine] = np.arange(mine.sum())
    return order[np.argsort(turn, kind="stable")]
