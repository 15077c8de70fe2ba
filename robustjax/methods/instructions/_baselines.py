"""Selections without a teacher: random, length, coverage, ratings."""

from __future__ import annotations

import re
from typing import Literal

import jax
import numpy as np

from robustjax import checks, selection
from robustjax.methods.instructions._pool import (
    InstructionPool,
    InstructionSelection,
    generator,
    make,
)
from robustjax.selection._cluster_moves import pair_squares

_TOKEN = re.compile(r"\w+|[^\w\s]")


def random_records(
    pool: InstructionPool, budget: int, *, key: jax.Array
) -> InstructionSelection:
    """Uniform, without replacement: what every selector has to beat.

    Args:
      pool: the records.
      budget: to keep.
      key: PRNG key.

    Raises:
      ValueError: a budget that is not 1 … N.
    """
    order = generator(key).permutation(len(pool.records))
    chosen = order[: pool.check_budget(budget)]
    return make(pool, chosen, kept_or_not(pool, chosen, "drawn", "not drawn"))


def token_counts(pool: InstructionPool, of: str = "output") -> np.ndarray:
    """Words and signs (N,) of the answers, or of whole records.

    Args:
      pool: the records.
      of: "output" or "record".
    """
    checks.one_of("of", of, ("output", "record"))
    return np.array(
        [
            len(_TOKEN.findall(each.output))
            + (len(_TOKEN.findall(each.question)) if of == "record" else 0)
            for each in pool.records
        ],
        np.int64,
    )


def longest(
    pool: InstructionPool,
    budget: int,
    *,
    key: jax.Array,
    of: Literal["output", "record"] = "output",
) -> InstructionSelection:
    """The longest answers, a baseline that is hard to beat.

    Zhao et al., "Long Is More for Alignment" (ICML 2024). Tokens are words and signs;
    equal lengths are drawn.

    Args:
      pool: the records.
      budget: to keep.
      key: PRNG key.
      of: what is measured, the answer or the whole record.

    Raises:
      ValueError: a budget that is not 1 … N, an unknown `of`.
    """
    return by_value(pool, budget, token_counts(pool, of), "tokens", key)


def high_quality(
    pool: InstructionPool, budget: int, *, key: jax.Array
) -> InstructionSelection:
    """The highest ratings; those at the cut are drawn among equal ones.

    Args:
      pool: records with ratings.
      budget: to keep.
      key: PRNG key.

    Raises:
      ValueError: a budget that is not 1 … N, no ratings.
    """
    return by_value(pool, budget, pool.need_ratings(), "rating", key)


def low_quality(
    pool: InstructionPool, budget: int, *, key: jax.Array
) -> InstructionSelection:
    """The lowest ratings, as a control; see `high_quality`."""
    return by_value(pool, budget, pool.need_ratings(), "rating", key, sign=-1)


def alpagasus(pool: InstructionPool, *, threshold: float = 4.5) -> InstructionSelection:
    """All records that are rated at least so high, in the order of the pool.

    Chen et al., "AlpaGasus: Training a better Alpaca with fewer data" (ICLR 2024).

    Args:
      pool: records with ratings; -1 for one that could not be rated.
      threshold: on the ratings' scale, there 0 … 5.

    Raises:
      ValueError: no ratings, or none that high.
    """
    ratings = pool.need_ratings()
    chosen = np.flatnonzero(ratings >= threshold)
    if not chosen.size:
        raise ValueError(
            f"threshold: got {threshold:g}, expected at most the highest rating, "
            f"{ratings.max():g}"
        )
    reasons = [
        f"rating {r:g} {'>=' if r >= threshold else '<'} {threshold:g}"
        for r in ratings.tolist()
    ]
    return make(pool, chosen, reasons, gains=ratings[chosen])


def max_cover(
    pool: InstructionPool, budget: int, *, key: jax.Array
) -> InstructionSelection:
    """Farthest first in the embeddings: the most diverse records (`k_center`).

    Args:
      pool: records with embeddings.
      budget: to keep.
      key: draws the first record.

    Raises:
      ValueError: a budget that is not 1 … N, no embeddings.
    """
    points = pool.need_embeddings()
    found = selection.k_center(points, pool.check_budget(budget), key=key)
    ranks = np.zeros(len(points), np.int32)
    ranks[found.indices] = np.arange(1, budget + 1)
    return make(
        pool,
        found.indices,
        kept_or_not(pool, found.indices, "farthest from those before", "covered"),
        gains=found.gains,
        objective=found.objective,
        ranks=ranks,
    )


def min_cover(
    pool: InstructionPool, budget: int, *, key: jax.Array
) -> InstructionSelection:
    """A random record and its nearest neighbours: the least diverse, as a control.

    The gains are distances to that record, and the objective is the largest. It
    differs much between keys.

    Args:
      pool: records with embeddings.
      budget: to keep.
      key: draws the record.

    Raises:
      ValueError: a budget that is not 1 … N, no embeddings.
    """
    points = pool.need_embeddings().astype(np.float64)
    pool.check_budget(budget)
    first = int(generator(key).integers(len(points)))
    rows = np.arange(len(points))
    squares = pair_squares(points, points[[first]], rows, np.zeros_like(rows))
    squares[first] = -1.0
    order = np.argsort(squares, kind="stable")
    distance = np.sqrt(np.maximum(squares, 0.0))
    ranks = np.empty(len(points), np.int32)
    ranks[order] = np.arange(1, len(points) + 1)
    chosen = order[:budget]
    near = f"near {pool.records[first].id}"
    return make(
        pool,
        chosen,
        kept_or_not(pool, chosen, near, f"not {near}"),
        gains=distance[chosen],
        objective=float(distance[chosen].max()),
        ranks=ranks,
    )


def by_value(
    pool: InstructionPool,
    budget: int,
    values: np.ndarray,
    what: str,
    key: jax.Array,
    sign: int = 1,
    allowed: np.ndarray | None = None,
) -> InstructionSelection:
    """The highest values; those at the cut are drawn among equal ones.

    Args:
      pool: the records.
      budget: to keep, at most: fewer where fewer are allowed.
      values: (N,) finite where a record is allowed.
      what: they are, in reasons.
      key: PRNG key.
      sign: -1 for the lowest instead.
      allowed: (N,) bool, which records can be kept; by default all.

    Raises:
      ValueError: a budget that is not 1 … N, or no record is allowed.
    """
    pool.check_budget(budget)
    allowed = np.ones(len(values), bool) if allowed is None else allowed
    if not allowed.any():
        raise ValueError(f"{what}: rules out all {len(values)} records, expected some")
    budget = min(budget, int(allowed.sum()))
    tie_break = generator(key).permutation(len(values))
    order = np.lexsort((tie_break, -sign * values, ~allowed))
    ranks = np.empty(len(values), np.int32)
    ranks[order] = np.arange(1, len(values) + 1)
    cut = values[order[budget - 1]]
    tied = int(((values == cut) & allowed).sum())
    drawn = int((values[order[:budget]] == cut).sum())
    at_cut = f", drawn ({drawn} of {tied})" if drawn < tied else ""
    reasons = [
        f"{what} {value:g}, ruled out"
        if not may
        else f"{what} {value:g}{at_cut if value == cut else ''}"
        for value, may in zip(values.tolist(), allowed.tolist())
    ]
    chosen = order[:budget]
    return make(pool, chosen, reasons, gains=values[chosen], ranks=ranks)


def kept_or_not(
    pool: InstructionPool, chosen: np.ndarray, kept: str, left: str
) -> list[str]:
    """One reason for all that are kept, another for all others."""
    reasons = [left] * len(pool.records)
    for row in np.asarray(chosen).tolist():
        reasons[row] = kept
    return reasons
