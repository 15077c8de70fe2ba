"""One record of every cluster: chosen by a teacher, a rating, or chance.

Clusters of embeddings carry diversity, and what is chosen inside each carries quality.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import jax
import numpy as np

from robustjax import checks, selection
from robustjax.data import Record
from robustjax.methods.instructions._baselines import token_counts
from robustjax.methods.instructions._pool import (
    InstructionPool,
    InstructionSelection,
    generator,
    make,
    seed_of,
)
from robustjax.methods.instructions._ranker import Ranker, Ranking

_OUTCOMES = ("ranked", "all_dropped", "malformed", "singleton")


def instruction_groups(
    pool: InstructionPool, clusters: int, max_size: int, *, key: jax.Array
) -> list[np.ndarray]:
    """Rows of the records of every cluster that is not empty, ascending.

    Args:
      pool: records with embeddings.
      clusters: k.
      max_size: r, with k × r >= N.
      key: PRNG key.

    Raises:
      ValueError: as `selection.size_constrained_kmeans` does.
    """
    found = selection.size_constrained_kmeans(
        pool.need_embeddings(), clusters, max_size, key=key
    )
    order = np.argsort(found.assignments, kind="stable")
    bounds = np.cumsum(found.sizes)[:-1]
    return [rows for rows in np.split(order, bounds) if rows.size]


def fp_instruction(
    pool: InstructionPool,
    budget: int,
    *,
    key: jax.Array,
    ranker: Ranker,
    max_size: int = 10,
    fallback: Literal["skip", "rating"] = "skip",
    groups: Sequence[np.ndarray] | None = None,
) -> InstructionSelection:
    """The record that a teacher ranks first, of every cluster.

    FP-Instruction: clusters of limited size, a ranking by factuality and clarity
    inside each, and the first of each ranking; what the teacher drops as wrong is not
    kept. As printed, the algorithm's loop overwrites its set; here it is the union.

    Args:
      pool: records with embeddings.
      budget: k, the number of clusters; at most so many records are kept. Published:
        10,000 of 52,002.
      key: of the clusters and of what the ranker draws.
      ranker: the teacher.
      max_size: r, records of a cluster at most; published: 10.
      fallback: what becomes of a cluster whose ranking is malformed: no record of it
        is kept, or the one with the highest rating, of equal ones one that is drawn.
      groups: rows of every cluster, where `instruction_groups` has made them before;
        `max_size` is then without meaning.

    Raises:
      ValueError: too little room (k × r < N), no embeddings, no ratings to fall back
        on, or a ranker that does not keep to its protocol.
    """
    checks.one_of("fallback", fallback, ("skip", "rating"))
    ratings = pool.need_ratings() if fallback == "rating" else None
    cluster_key, ranking_key = jax.random.split(key)
    groups = _groups(pool, budget, max_size, cluster_key, groups)
    records: list[Sequence[Record]] = [
        [pool.records[row] for row in rows.tolist()] for rows in groups
    ]
    rankings = ranker.rank(records, seed_of(ranking_key))
    if len(rankings) != len(groups):
        raise ValueError(
            f"ranker: got {len(rankings)} rankings for {len(groups)} groups"
        )
    # Ratings are coarse: the first of equal ones would favour the order of the file.
    draws = generator(jax.random.fold_in(ranking_key, 1))
    orders, reasons = [], [""] * len(pool.records)
    for rows, ranking in zip(groups, rankings):
        _check(ranking, len(rows))
        order = rows[list(ranking.order)]
        for row, reason in zip(rows.tolist(), _reasons(ranking, len(rows))):
            reasons[row] = reason
        if ranking.outcome == "malformed" and ratings is not None:
            drawn = draws.permutation(len(rows))
            order = rows[np.lexsort((drawn, -ratings[rows]))[:1]]
            reasons[int(order[0])] = "highest rating where the ranking is malformed"
        orders.append(order)
    return _first_of_each(pool, groups, orders, reasons)


def cluster_random(
    pool: InstructionPool,
    budget: int,
    *,
    key: jax.Array,
    max_size: int = 10,
    groups: Sequence[np.ndarray] | None = None,
) -> InstructionSelection:
    """A random record of every cluster: what clustering alone is worth.

    Args:
      pool: records with embeddings.
      budget: k, the number of clusters.
      key: of the clusters and the draws.
      max_size: r.
      groups: rows of every cluster, where `instruction_groups` has made them before;
        `max_size` is then without meaning.

    Raises:
      ValueError: too little room (k × r < N), no embeddings.
    """
    cluster_key, draw_key = jax.random.split(key)
    groups = _groups(pool, budget, max_size, cluster_key, groups)
    draws = generator(draw_key)
    orders = [draws.permutation(rows) for rows in groups]
    reasons = ["not drawn in its cluster"] * len(pool.records)
    for order in orders:
        reasons[int(order[0])] = f"drawn of {len(order)}"
    return _first_of_each(pool, groups, orders, reasons)


def cluster_score(
    pool: InstructionPool,
    budget: int,
    *,
    key: jax.Array,
    max_size: int = 10,
    by: Literal["rating", "length", "perplexity", "ifd"] = "rating",
    groups: Sequence[np.ndarray] | None = None,
) -> InstructionSelection:
    """The highest rating or score of every cluster, as in CaR; equal ones are drawn.

    Ge et al., "Clustering and Ranking: Diversity-preserved Instruction Selection
    through Expert-aligned Quality Estimation" (EMNLP 2024), with clusters of limited
    size: what ranking inside a cluster adds shows beside it.

    Args:
      pool: records with embeddings, and ratings or scores where they are asked for.
      budget: k, the number of clusters.
      key: of the clusters and the draws.
      max_size: r.
      by: a rating, the longest answer, or of a language model's scores the lowest
        perplexity or the highest IFD; an answer that did not fit into the model comes
        last.
      groups: rows of every cluster, where `instruction_groups` has made them before;
        `max_size` is then without meaning.

    Raises:
      ValueError: too little room (k × r < N), no embeddings, no ratings or
        scores, an unknown `by`.
    """
    values = _values(pool, by)
    cluster_key, draw_key = jax.random.split(key)
    groups = _groups(pool, budget, max_size, cluster_key, groups)
    draws = generator(draw_key)
    shown = -values if by == "perplexity" else values
    orders, reasons = [], [""] * len(pool.records)
    for rows in groups:
        order = rows[np.lexsort((draws.permutation(len(rows)), -values[rows]))]
        orders.append(order)
        for place, row in enumerate(order.tolist()):
            reasons[row] = f"{by} {shown[row]:g}, place {place + 1} of {len(rows)}"
    return _first_of_each(pool, groups, orders, reasons)


def _values(pool: InstructionPool, by: str) -> np.ndarray:
    """High is good."""
    checks.one_of("by", by, ("rating", "length", "perplexity", "ifd"))
    if by == "rating":
        return pool.need_ratings()
    if by == "length":
        return token_counts(pool).astype(np.float64)
    scores = pool.need_scores()
    values = scores.ifd if by == "ifd" else -scores.perplexity
    return np.where(np.isnan(values), -np.inf, values)


def _groups(
    pool: InstructionPool,
    budget: int,
    max_size: int,
    key: jax.Array,
    given: Sequence[np.ndarray] | None,
) -> Sequence[np.ndarray]:
    pool.check_budget(budget)
    if given is None:
        return instruction_groups(pool, budget, max_size, key=key)
    rows = np.concatenate(given)
    if not np.array_equal(np.sort(rows), np.arange(len(pool.records))):
        raise ValueError("groups: expected every record in one of them")
    count = sum(len(rows) > 0 for rows in given)
    if count > budget:
        raise ValueError(
            f"groups: got {count}, of each of which a record is kept, expected at most "
            f"the budget of {budget}"
        )
    return given


def _first_of_each(
    pool: InstructionPool,
    groups: Sequence[np.ndarray],
    orders: Sequence[np.ndarray],
    reasons: Sequence[str],
) -> InstructionSelection:
    clusters = np.full(len(pool.records), -1)
    ranks = np.zeros(len(pool.records))
    for number, (rows, order) in enumerate(zip(groups, orders)):
        clusters[rows] = number
        ranks[order] = np.arange(1, len(order) + 1)
    chosen = [int(order[0]) for order in orders if len(order)]
    if not chosen:
        raise ValueError(
            f"ranker: no record of any of {len(groups)} clusters is kept, expected "
            "some; are all rankings malformed?"
        )
    return make(pool, chosen, reasons, clusters=clusters, ranks=ranks)


def _check(ranking: Ranking, size: int) -> None:
    """Raises `ValueError` where a ranking says more than its outcome allows."""
    order, outcome = ranking
    if outcome not in _OUTCOMES or (outcome == "singleton" and size > 1):
        raise ValueError(f"ranker: got outcome {outcome!r} for {size} records")
    empty = outcome in ("all_dropped", "malformed")
    if empty is bool(order) and outcome != "singleton":
        raise ValueError(f"ranker: got order {order} with outcome {outcome!r}")
    if len(set(order)) < len(order) or not set(order) <= set(range(size)):
        raise ValueError(
            f"ranker: got order {order}, expected different positions below {size}"
        )


def _reasons(ranking: Ranking, size: int) -> list[str]:
    if ranking.outcome == "malformed":
        return ["the ranking of its cluster is malformed"] * size
    if ranking.outcome == "singleton":
        return ["alone, and kept" if ranking.order else "alone, and found wrong"]
    reasons = ["dropped as wrong"] * size
    for place, position in enumerate(ranking.order):
        reasons[position] = f"place {place + 1} of {size}"
    return reasons
