"""First centres by recursive bisection: all parts of a level are split at once."""

from __future__ import annotations

import numpy as np

_ROUNDS = 4


def bisected_means(
    points: np.ndarray, clusters: int, capacity: int, rng: np.random.Generator
) -> np.ndarray:
    """Means of k parts of at most `capacity` points, found top down.

    A part that is to become several clusters is split in two by 2-means; each side
    gets clusters in proportion to its points. For two given centres, points sorted by
    d₀ − d₁ and cut once are the best split into two sides of given sizes, so that a
    side with too many points for its clusters is cut where it just fits.

    Args:
      points: (N, d) float32.
      clusters: k, with k <= N <= k × capacity.
      capacity: points of a cluster at most.
      rng: draws the first centres of each split.

    Returns:
      (k, d) float32; no part is empty.
    """
    size = len(points)
    order = rng.permutation(size)
    starts, shares = np.array([0]), np.array([clusters])
    while (shares > 1).any():
        lengths = np.diff(np.append(starts, size))
        part = np.repeat(np.arange(len(starts)), lengths)
        split = shares > 1
        here = points[order]
        # The order within a part is random at first, and by the split before later:
        # its ends are far apart.
        last = starts + lengths - 1
        one, other = here[starts], here[last]
        side_one = lengths // 2
        for _ in range(_ROUNDS):
            gap = one - other
            middle = np.einsum("pd,pd->p", gap, (one + other) / 2)
            lean = middle[part] - np.einsum("nd,nd->n", here, gap[part])
            lean[~split[part]] = 0
            arranged = np.lexsort((lean, part))
            order, here, lean = order[arranged], here[arranged], lean[arranged]
            natural = np.add.reduceat((lean < 0).astype(np.int64), starts)
            side_one = np.clip(natural, 1, np.maximum(lengths - 1, 1))
            cuts = np.stack([starts, starts + np.minimum(side_one, lengths - 1)], 1)
            single = lengths == 1
            cuts[single, 1] = cuts[single, 0]
            sums = np.add.reduceat(here, cuts.reshape(-1), axis=0).reshape(
                len(starts), 2, -1
            )
            one = sums[:, 0] / np.maximum(side_one, 1)[:, None]
            other = sums[:, 1] / np.maximum(lengths - side_one, 1)[:, None]
        side_one, first_shares = _fit(side_one, lengths, shares, capacity)
        new_starts, new_shares = [], []
        for start, cut, is_split, first, share in zip(
            starts, side_one, split, first_shares, shares
        ):
            new_starts.append(start)
            new_shares.append(first if is_split else share)
            if is_split:
                new_starts.append(start + cut)
                new_shares.append(share - first)
        starts, shares = np.array(new_starts), np.array(new_shares)
    lengths = np.diff(np.append(starts, size))
    return np.add.reduceat(points[order], starts, axis=0) / lengths[:, None]


def _fit(
    side: np.ndarray, lengths: np.ndarray, shares: np.ndarray, capacity: int
) -> tuple[np.ndarray, np.ndarray]:
    """Points and clusters of the first side: 1 … capacity points for each cluster."""
    first = np.rint(shares * side / lengths).astype(np.int64)
    first = np.clip(first, 1, np.maximum(shares - 1, 1))
    second = shares - first
    low = np.maximum(first, lengths - second * capacity)
    high = np.minimum(first * capacity, lengths - second)
    return np.clip(side, low, high), first
