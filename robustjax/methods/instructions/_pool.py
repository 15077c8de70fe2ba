"""What instruction selection chooses from, and what it says of every record."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from robustjax import arrays, checks
from robustjax.data import Record
from robustjax.methods.instructions._record_scores import RecordScores
from robustjax.selection import Selection
from robustjax.selection._greedy import check_features
from robustjax.selection._greedy import selection as make_selection


@dataclasses.dataclass(frozen=True)
class InstructionPool:
    """Records, and what is known of them.

    Attributes:
      records: N of them, with distinct ids.
      embeddings: (N, d) finite floats, or None.
      ratings: (N,) finite floats, high is good, or None.
      scores: of all records, by a language model alone, or None.
      gradients: (N, P) finite floats, of a model's loss by its adapters, or None.
      target_gradients: (T, P), of what it should learn, or None.
    """

    records: Sequence[Record]
    embeddings: Any = None
    ratings: Any = None
    scores: RecordScores | None = None
    gradients: Any = None
    target_gradients: Any = None

    def __post_init__(self) -> None:
        checks.at_least("number of records", len(self.records), 1)
        checks.unique_ids("records", np.array([each.id for each in self.records]))
        for name in ("embeddings", "ratings", "gradients"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.records):
                raise ValueError(
                    f"{name}: got {len(values)} for {len(self.records)} records, "
                    "expected one each"
                )
        if self.scores is not None and len(self.scores.length) != len(self.records):
            raise ValueError(
                f"scores: got {len(self.scores.length)} for {len(self.records)} "
                "records, expected one each"
            )

    def need_embeddings(self) -> np.ndarray:
        """The embeddings; raises `ValueError` where there are none."""
        if self.embeddings is None:
            raise ValueError("embeddings: got None, expected (N, d) numbers")
        return check_features("embeddings", self.embeddings)

    def need_ratings(self) -> np.ndarray:
        """The ratings; raises `ValueError` where there are none."""
        if self.ratings is None:
            raise ValueError("ratings: got None, expected a number for every record")
        found = arrays.numbers("ratings", self.ratings, 1)
        checks.finite("ratings", found)
        return found.astype(np.float64)

    def need_scores(self) -> RecordScores:
        """The scores; raises `ValueError` where there are none."""
        if self.scores is None:
            raise ValueError("scores: got None, expected those of a language model")
        return self.scores

    def need_gradients(self) -> tuple[np.ndarray, np.ndarray]:
        """Those of records and targets; raises `ValueError` where some are missing."""
        for name in ("gradients", "target_gradients"):
            if getattr(self, name) is None:
                raise ValueError(f"{name}: got None, expected rows of numbers")
        return (
            check_features("gradients", self.gradients),
            check_features("target_gradients", self.target_gradients),
        )

    def check_budget(self, budget: int) -> int:
        """Raises `ValueError` unless the budget is 1 … N; returns it."""
        if not 1 <= budget <= len(self.records):
            raise ValueError(
                f"budget: got {budget}, expected 1 … {len(self.records)} records"
            )
        return budget


class InstructionSelection(NamedTuple):
    """What was chosen, and why.

    Attributes:
      selection: the records that are kept, as selected.
      clusters: (N,) int32, the cluster of every record; -1 without clusters.
      ranks: (N,) int32, its place in its cluster or in the whole, from 1; 0 without.
      reasons: why every record is kept, or is not.
    """

    selection: Selection
    clusters: np.ndarray
    ranks: np.ndarray
    reasons: tuple[str, ...]


def make(
    pool: InstructionPool,
    indices: Any,
    reasons: Sequence[str],
    *,
    gains: Any = None,
    objective: float = 0.0,
    clusters: np.ndarray | None = None,
    ranks: np.ndarray | None = None,
) -> InstructionSelection:
    """The one way in which an `InstructionSelection` is made."""
    size = len(pool.records)
    indices = np.asarray(indices, np.int64)
    gains = np.zeros(len(indices), np.float32) if gains is None else gains
    return InstructionSelection(
        make_selection(indices, np.asarray(gains, np.float32), objective, size),
        np.full(size, -1, np.int32) if clusters is None else clusters.astype(np.int32),
        np.zeros(size, np.int32) if ranks is None else ranks.astype(np.int32),
        tuple(reasons),
    )


def generator(key: jax.Array) -> np.random.Generator:
    """NumPy's generator for draws on the host."""
    return np.random.default_rng(seed_of(key))


def seed_of(key: jax.Array) -> int:
    """A non-negative seed."""
    return int(jax.random.randint(key, (), 0, np.iinfo(np.int32).max))
