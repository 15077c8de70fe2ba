"""CCAL as a query strategy: known-looking examples unlike the labelled ones."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from robustjax import checks
from robustjax.methods.active_learning._open_set_round import Query, RoundView
from robustjax.methods.active_learning._query_common import (
    Memoryless,
    embedding,
    open_rows,
    repeated,
    shuffled,
)
from robustjax.methods.active_learning._query_informativeness import RandomQuery
from robustjax.scores._purity import nearest_in_cosine
from robustjax.selection._ccal import ccal, distinctive_scores


class CcalNotes(NamedTuple):
    """What CCAL saw when it asked.

    Attributes:
      rows: (n,) unlabelled rows, ascending.
      purity: (n,) float32, the semantic score before any scaling.
    """

    rows: np.ndarray
    purity: np.ndarray


@dataclasses.dataclass(frozen=True)
class Ccal(Memoryless):
    """Asks, class by class, for semantically near and distinctively far examples.

    Du et al., "Contrastive Coding for Active Learning under Class Distribution
    Mismatch" (ICCV 2021), see `selection.ccal`. The embeddings "semantic" and
    "distinctive" come from two contrastive networks that are trained once.

    The rows are those of the selection, which takes the best of the first class, then
    of the second and so on, but in turn: the best of every class, the second best, …,
    so that a budget that ends early ends for all classes.

    The distinctive score takes two labelled examples of each class. A class with a
    single one has it count twice, which leaves the cosine to it; a class with none
    takes no part, and the others share its quota. Without any labelled IN example the
    query is random. Labelled OOD examples are not looked at. Equal scores, such as
    those of all examples that are near to another class, are in random order.

    Attributes:
      name: for reports.
      slope: of the gate on semantic scores.
      threshold: of the gate.
      nearest_only: whether an example can be asked for only on account of the class of
        its nearest labelled example, as in the original.

    Raises:
      ValueError: a slope that is not positive, or a threshold outside [0, 1].
    """

    name: str = "ccal"
    slope: float = 100.0
    threshold: float = 0.9
    nearest_only: bool = True

    def __post_init__(self) -> None:
        """Checks the arguments early."""
        checks.in_range("slope", self.slope, 0, low_open=True)
        # Scores lie between 0 and 1: beyond, the gate would be shut or open for all.
        checks.in_range("threshold", self.threshold, 0, 1)

    @property
    def wants(self) -> frozenset[str]:
        """The embeddings "semantic" and "distinctive"."""
        return frozenset({"rotations"})

    def select(self, view: RoundView, memory: Any, count: int) -> Query:
        """See `QueryStrategy`; with `CcalNotes`."""
        rows = open_rows(view, count)
        semantic = jnp.asarray(embedding(view, "semantic"))[0]
        distinctive = jnp.asarray(embedding(view, "distinctive"))
        known = view.labeled_in
        if not known.size:
            notes = CcalNotes(rows, np.zeros(rows.size, np.float32))
            return RandomQuery().select(view, memory, count)._replace(notes=notes)
        near = np.asarray(nearest_in_cosine(semantic, semantic[repeated(known)]))[rows]
        classes, labels = np.unique(view.labels[known], return_inverse=True)
        single = np.flatnonzero(np.bincount(labels) == 1)
        twice = np.flatnonzero(np.isin(labels, single))
        known, labels = np.append(known, known[twice]), np.append(labels, labels[twice])
        order = shuffled(view, np.arange(rows.size))
        likeness = distinctive_scores(
            distinctive[:, rows[order]], distinctive[:, known], labels, classes.size
        )
        picked = ccal(
            near[order],
            likeness,
            count,
            slope=self.slope,
            threshold=self.threshold,
            nearest_only=self.nearest_only,
        ).indices
        quota = -(-count // classes.size)
        turns = np.argsort(np.arange(count) % quota, kind="stable")
        return Query(rows[order[picked[turns]]], CcalNotes(rows, near))
