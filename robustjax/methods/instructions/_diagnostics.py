"""What instruction data and a selection from it are like."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from robustjax import arrays, checks
from robustjax.selection._greedy import check_features

_BLOCK_NUMBERS = 4_000_000


def answer_ranks(embeddings: Any, rows: Any, answers: Any) -> np.ndarray:
    """How many records are nearer to a record than another answer to it is, plus one.

    1 says that no other record is nearer: by embeddings, the other answer, maybe a
    hallucinated one, cannot be told from the record's own. Where the embedded text
    holds the question, that is close to forced; embed answers alone as a control, and
    compare hallucinated answers with others of the same model.

    Args:
      embeddings: (N, d) of the records.
      rows: (M,) the record that each answer belongs to.
      answers: (M, d) embeddings of those records with the other answer.

    Returns:
      (M,) int64 ranks, 1 … N, by Euclidean distance; equal distances do not count.

    Raises:
      ValueError: shapes that do not fit, rows out of range.
    """
    points = check_features("embeddings", embeddings).astype(np.float64)
    others = check_features("answers", answers).astype(np.float64)
    rows = checks.labels("rows", rows, len(points))
    checks.same_length(rows=rows, answers=others)
    _same_width(points, others, "answers")
    ranks = np.empty(len(rows), np.int64)
    # Differences: for a few hundred answers exactness is worth more than a product.
    step = max(1, _BLOCK_NUMBERS // points.shape[1])
    for i, (row, other) in enumerate(zip(rows.tolist(), others)):
        limit = float(np.sum((points[row] - other) ** 2))
        nearer = 0
        for start in range(0, len(points), step):
            block = points[start : start + step] - points[row]
            square = np.einsum("nd,nd->n", block, block)
            if start <= row < start + step:
                square[row - start] = np.inf
            nearer += int((square < limit).sum())
        ranks[i] = 1 + nearer
    return ranks


class NonRankable(NamedTuple):
    """Shares of pairs that a rating cannot rank.

    Attributes:
      by_cluster: of the pairs within a cluster, its mean over clusters.
      pooled: of all such pairs.
      chance: of two records at random, with replacement: sum of squared shares of the
        ratings, which a coarse scale makes large by itself.
      clusters: how many were large enough.
    """

    by_cluster: float
    pooled: float
    chance: float
    clusters: int


def non_rankable(ratings: Any, clusters: Any, *, larger_than: int = 5) -> NonRankable:
    """How often two records of a cluster have equal ratings.

    Args:
      ratings: (N,) finite numbers.
      clusters: (N,) integers, the cluster of every record.
      larger_than: smaller clusters do not count.

    Raises:
      ValueError: lengths that differ, no cluster that large.
    """
    values = arrays.numbers("ratings", ratings, 1)
    checks.finite("ratings", values)
    groups = arrays.numbers("clusters", clusters, 1)
    checks.same_length(ratings=values, clusters=groups)
    checks.at_least("larger_than", larger_than, 1)
    _, counts = np.unique(values, return_counts=True)
    shares, equal, pairs = [], 0, 0
    for group in np.unique(groups):
        inside = values[groups == group]
        if inside.size <= larger_than:
            continue
        _, same = np.unique(inside, return_counts=True)
        here = int((same * (same - 1) // 2).sum())
        all_pairs = inside.size * (inside.size - 1) // 2
        shares.append(here / all_pairs)
        equal, pairs = equal + here, pairs + all_pairs
    if not shares:
        raise ValueError(
            f"larger_than: got {larger_than}, and no cluster has more records than that"
        )
    chance = float(((counts / values.size) ** 2).sum())
    return NonRankable(float(np.mean(shares)), equal / pairs, chance, len(shares))


def covering_radius(embeddings: Any, chosen: Any) -> float:
    """The largest distance of any record to the nearest chosen one.

    Args:
      embeddings: (N, d).
      chosen: (M,) indices.

    Raises:
      ValueError: nothing chosen, or indices out of range.
    """
    points = check_features("embeddings", embeddings).astype(np.float64)
    picked = points[checks.labels("chosen", chosen, len(points))]
    checks.at_least("number of chosen", len(picked), 1)
    nearest = np.full(len(points), np.inf)
    half = np.sum(picked**2, axis=1) / 2
    step = max(1, _BLOCK_NUMBERS // len(picked))
    for start in range(0, len(points), step):
        block = points[start : start + step]
        place = (half - block @ picked.T).argmin(axis=1)
        # The nearest by the expanded square, its distance from differences.
        nearest[start : start + step] = np.linalg.norm(block - picked[place], axis=1)
    return float(nearest.max())


class ShareKept(NamedTuple):
    """How many wrong answers a selection kept.

    Attributes:
      kept: of the wrong records, the share that is kept.
      among_kept: of the kept records, the share that is wrong.
      expected: both, for a random selection of that size: the share of the records
        that are kept, and the share of records that are wrong.
      p_fewer: the probability that a random selection of that size keeps as few.
    """

    kept: float
    among_kept: float
    expected: tuple[float, float]
    p_fewer: float


def share_kept(chosen: Any, wrong: Any) -> ShareKept:
    """Wrong answers in a selection, with an exact test against a random one.

    Args:
      chosen: (M,) distinct indices.
      wrong: (N,) bool.

    Raises:
      ValueError: no wrong record, nothing chosen, an index twice or out of range.
    """
    mask = np.asarray(wrong)
    if mask.dtype != bool or mask.ndim != 1 or not mask.any():
        raise ValueError("wrong: expected (N,) bool with at least one True")
    rows = checks.labels("chosen", chosen, len(mask))
    if not rows.size or np.unique(rows).size < rows.size:
        raise ValueError("chosen: expected one or more distinct indices")
    total, both = int(mask.sum()), int(mask[rows].sum())
    # A third of what it takes to import this library.
    from scipy import stats

    p = stats.hypergeom.cdf(both, len(mask), total, rows.size)
    return ShareKept(
        both / total,
        both / rows.size,
        (rows.size / len(mask), total / len(mask)),
        float(p),
    )


def _same_width(points: np.ndarray, others: np.ndarray, name: str) -> None:
    if points.shape[1] != others.shape[1]:
        raise ValueError(
            f"{name}: got {others.shape[1]} numbers in a row, expected "
            f"{points.shape[1]}, those of the embeddings"
        )
