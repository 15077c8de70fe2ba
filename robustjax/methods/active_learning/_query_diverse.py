"""Open-set queries that avoid asking for the same thing twice: CORESET and BADGE."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from robustjax.methods.active_learning._open_set_round import (
    UNASKED,
    Query,
    RoundView,
)
from robustjax.methods.active_learning._query_common import (
    Memoryless,
    in_logits,
    open_rows,
)
from robustjax.selection._badge import badge
from robustjax.selection._k_center import k_center


@dataclasses.dataclass(frozen=True)
class Coreset(Memoryless):
    """Asks for what is farthest from all that is labelled or asked for (k-center).

    Sener and Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set
    Approach" (ICLR 2018), with Euclidean distances of the classifier's features. The
    labelled IN examples are the first centres, the labelled OOD ones are none, as in
    the comparison of MQNet. Without labelled IN examples the first centre is drawn
    from the unlabelled ones. Equal distances go to the lowest row.

    Attributes:
      name: for reports.
    """

    name: str = "coreset"

    def select(self, view: RoundView, memory: Any, count: int) -> Query:
        """See `QueryStrategy`."""
        del memory
        rows = open_rows(view, count)
        features = np.asarray(view.observation.features)
        centres = view.labeled_in
        if not centres.size:
            return Query(rows[k_center(features[rows], count, key=view.key).indices])
        # What is neither asked for nor a centre repeats a centre, where it changes
        # nothing: all N rows go in, and shapes stay from round to round.
        features = features.copy()
        idle = (view.labels != UNASKED) & ~np.isin(np.arange(view.labels.size), centres)
        features[idle] = features[centres[0]]
        given = np.flatnonzero(view.labels != UNASKED)
        return Query(k_center(features, count, initial=given).indices)


@dataclasses.dataclass(frozen=True)
class Badge(Memoryless):
    """Asks for k-means++ seeds of the last layer's gradients.

    Ash et al., "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower
    Bounds" (ICLR 2020), see `selection.badge`. Gradients are those of the task's own
    classes, under the class predicted among them.

    Attributes:
      name: for reports.
    """

    name: str = "badge"

    def select(self, view: RoundView, memory: Any, count: int) -> Query:
        """See `QueryStrategy`."""
        del memory
        rows = open_rows(view, count)
        logits, features = in_logits(view)[rows], view.observation.features[rows]
        return Query(rows[badge(view.key, logits, features, count).indices])
