"""Examples that occur twice: the very same numbers, or nearly."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from robustjax import arrays, checks
from robustjax.scores._outliers import check_neighbors


class NearDuplicates(NamedTuple):
    """How near the nearest other example is, and who belongs together.

    Attributes:
      nearest: (N,) int32, the nearest other example.
      ratios: (N,) float64 >= 0, the distance to it over the median of these distances
        of all examples that have no copy.
      first: (N,) int32, the first example of the set that an example belongs to; its
        own row where nothing is near enough.
    """

    nearest: np.ndarray
    ratios: np.ndarray
    first: np.ndarray


def exact_duplicates(rows: Any) -> np.ndarray:
    """For every example the first one that has exactly the same numbers.

    Args:
      rows: (N, ...) finite numbers; 0 and -0 are equal. 128-bit digests are compared.

    Returns:
      (N,) int32; `i` itself for what does not repeat an earlier example.

    Raises:
      ValueError: NaN or infinity, a scalar, or what are no numbers.

    Example:
      >>> from robustjax import scores
      >>> scores.exact_duplicates([[1, 2], [3, 4], [1, 2]]).tolist()
      [0, 1, 0]
    """
    given = arrays.numbers("rows", rows)
    if given.ndim == 0:
        raise ValueError("rows: got shape (), expected (N, ...)")
    checks.finite("rows", given)
    found = np.empty(len(given), np.int32)
    first: dict[bytes, int] = {}
    for place, row in enumerate(given):
        # What is added makes 0 of -0.
        digest = hashlib.blake2b((row + 0).tobytes(), digest_size=16)
        found[place] = first.setdefault(digest.digest(), place)
    return found


def near_duplicates(
    indices: Any, distances: Any, *, ratio: float = 0.2
) -> NearDuplicates:
    """Finds sets of examples that are much nearer to each other than is usual.

    Two examples belong together if one is among the k nearest neighbours of the other
    at most `ratio` times as far as the nearest neighbour of the median example that has
    no copy, and so do those between which there is a chain of such pairs. (On the
    digits of scikit-learn and 3,000 images of MNIST, the nearest pairs have 0.32 and
    0.25.)

    Args:
      indices: (N, k) integers in 0 … N-1, nearest first, such as those of
        `graph.nearest_neighbors`.
      distances: (N, k) numbers >= 0, proportional to lengths: of the cosine metric's
        `1 - cos`, take `sqrt(2 (1 - cos))`.
      ratio: of distances, >= 0. Copies have 0.

    Returns:
      `NearDuplicates`.

    Raises:
      ValueError: arrays that are no lists of neighbours, or a ratio out of range.

    Example:
      >>> import numpy as np
      >>> from robustjax import graph, scores
      >>> points = np.array([[0.0], [1.0], [2.5], [2.6], [4.0]])
      >>> found = scores.near_duplicates(*graph.nearest_neighbors(points, 2))
      >>> found.first.tolist()
      [0, 1, 2, 2, 4]
    """
    checks.in_range("ratio", ratio, 0)
    rows, found = check_neighbors(indices, distances)
    size, count = rows.shape
    apart = found[:, 0][found[:, 0] > 0]
    usual = float(np.median(apart)) if apart.size else 1.0
    near = found <= ratio * usual
    left = np.repeat(np.arange(size), count)[near.ravel()]
    pairs = sparse.coo_array(
        (np.ones(len(left)), (left, rows[near])), shape=(size, size)
    )
    _, component = sparse.csgraph.connected_components(pairs, directed=False)
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    return NearDuplicates(
        nearest=rows[:, 0].astype(np.int32),
        ratios=found[:, 0] / usual,
        first=first[inverse].astype(np.int32),
    )
