"""Whether rows stand in an order that has to do with what is in them."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from robustjax import checks
from robustjax.scores._outliers import check_neighbor_rows

# More pairs change the p-value less than the draw of permutations does.
_MOST_PAIRS = 200_000


class RowOrder(NamedTuple):
    """How near neighbours are in the order of rows.

    Attributes:
      gaps: (N,) float64 >= 0, the mean number of rows between an example and its
        neighbours, over that between two random rows: about 1 in a random order.
      ratio: the mean gap of pairs of neighbours, over that of the permuted rows.
      p_value: in (0, 1], how often permuted rows have a mean gap as small.
    """

    gaps: np.ndarray
    ratio: float
    p_value: float


def row_order(
    indices: Any,
    *,
    key: jax.Array,
    groups: Any = None,
    permutations: int = 499,
) -> RowOrder:
    """Tests whether rows are exchangeable, by their neighbours.

    A permutation test whose statistic is the mean gap of rows between an example and
    its k nearest neighbours, a sum of products of two distances as in Mantel, "The
    Detection of Disease Clustering and a Generalized Regression Approach" (Cancer
    Research 1967). Small where data drift, come in batches, or are sorted.

    Args:
      indices: (N, k) integers in 0 … N-1, such as those of `graph.nearest_neighbors`.
      key: of the permutations, and, of more than 200,000 pairs, of those that count.
      groups: (N,) integers; if given, rows are permuted within a group alone, so that
        an order of the groups does not matter.
      permutations: at least 1; the p-value is at least the inverse of one more.

    Raises:
      ValueError: indices that are no lists of neighbours, groups of another length, or
        no permutations.

    Example:
      >>> import jax, numpy as np
      >>> from robustjax import graph, scores
      >>> walk = np.arange(60.0)[:, None]
      >>> neighbors = graph.nearest_neighbors(walk, 2)
      >>> scores.row_order(neighbors.indices, key=jax.random.key(0)).p_value
      0.002
    """
    rows = check_neighbor_rows(indices)
    checks.at_least("permutations", permutations, 1)
    size, count = rows.shape
    if groups is None:
        groups = np.zeros(size, np.int32)
    groups = checks.labels("groups", groups, size)
    checks.same_length(indices=rows, groups=groups)
    places = np.arange(size)
    gaps = np.abs(places[:, None] - rows).mean(axis=1) / ((size + 1) / 3)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    left, right = np.repeat(places, count), rows.ravel()
    if len(left) > _MOST_PAIRS:
        drawn = rng.choice(len(left), _MOST_PAIRS, replace=False)
        left, right = left[drawn], right[drawn]
    observed = np.abs(left - right).mean()
    grouped = np.argsort(groups, kind="stable")
    permuted = np.empty(permutations)
    for draw in range(permutations):
        places[grouped] = np.lexsort((rng.random(size), groups))
        permuted[draw] = np.abs(places[left] - places[right]).mean()
    as_small = int((permuted <= observed).sum())
    usual = permuted.mean()
    return RowOrder(
        gaps,
        float(observed / usual) if usual else 1.0,
        (1 + as_small) / (1 + permutations),
    )
