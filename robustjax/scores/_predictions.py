"""Predicted probabilities for confident learning: an array, or blocks of one.

Of blocks only numbers per example are kept, so that probabilities of a file, or those
that devices hold in parts, never lie in the host's memory together. What is found is
the same: every number is of one row, and is computed from it in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import jax
import numpy as np

from robustjax import checks
from robustjax.row_source import PartedRows, RowSource, row_blocks
from robustjax.scores._confident_learning import (
    SLACK,
    Readings,
    read_predictions,
    thresholds_of,
)
from robustjax.scores._given_labels import (
    check_given,
    check_probabilities,
    own_probability,
)
from robustjax.scores._label_quality import quality_of
from robustjax.scores._largest import Largest, largest


class Predictions(Protocol):
    """Probabilities (N, C) and the labels given.

    Attributes:
      labels: (N,) int32.
      num_classes: C.
    """

    labels: np.ndarray
    num_classes: int

    def readings(self) -> Readings:
        """See `read_predictions`."""

    def quality(self, method: str, rows: np.ndarray | None = None) -> np.ndarray:
        """See `quality_of`, of all examples or of some rows in order."""

    def by_margin(
        self, readings: Readings, counts: np.ndarray, candidates: np.ndarray
    ) -> np.ndarray:
        """Flags those of largest margin, for every pair of classes.

        Args:
          readings: of these predictions.
          counts: (C, C), how many of every pair.
          candidates: (N,) bool, all that may be flagged.
        """


def predictions(labels: Any, pred_probs: Any) -> Predictions:
    """Checked labels and predictions.

    Raises:
      ValueError: whatever is wrong with either, or lengths that differ.
    """
    if isinstance(pred_probs, RowSource):
        return _ByBlocks(labels, pred_probs)
    if _divided(pred_probs):
        return _ByBlocks(labels, _DeviceRows(pred_probs))
    return _Held(*check_given(labels, pred_probs))


def _divided(array: Any) -> bool:
    """Whether devices hold parts of an array, by rows alone."""
    if not isinstance(array, jax.Array) or checks.is_traced(array) or array.ndim != 2:
        return False
    return (
        not array.is_fully_replicated
        and array.sharding.shard_shape(array.shape)[1] == array.shape[1]
    )


class _DeviceRows(PartedRows):
    """Rows of an array of which devices hold parts, a part at a time on the host."""

    def __init__(self, array: jax.Array):
        if not array.is_fully_addressable:
            raise ValueError(
                "pred_probs: got an array of which other processes hold a part, "
                "expected one of this process's devices, or rows of a file"
            )
        self.shape, self.dtype = array.shape, array.dtype
        parts = {
            part.index[0].start or 0: part.data for part in array.addressable_shards
        }
        self.starts = np.array(sorted(parts))
        self._parts = [parts[start] for start in self.starts]

    def _part(self, number: int) -> np.ndarray:
        return np.asarray(self._parts[number])


class _Held:
    """All probabilities in memory."""

    def __init__(self, labels: np.ndarray, probabilities: np.ndarray):
        self.labels, self.num_classes = labels, probabilities.shape[1]
        self._probabilities = probabilities

    def readings(self) -> Readings:
        return read_predictions(self.labels, self._probabilities)

    def quality(self, method: str, rows: np.ndarray | None = None) -> np.ndarray:
        if rows is None:
            return quality_of(self.labels, self._probabilities, method)
        return quality_of(self.labels[rows], self._probabilities[rows], method)

    def by_margin(
        self, readings: Readings, counts: np.ndarray, candidates: np.ndarray
    ) -> np.ndarray:
        labels, probabilities = self.labels, self._probabilities
        flagged = np.zeros(len(labels), bool)
        # Sorting whole classes is what takes time. Only candidates have margins above
        # the slack, and counts mostly end among these.
        beaten = np.flatnonzero(candidates)
        for given, places in rows_of_classes(labels[beaten], len(counts)):
            rows = beaten[places]
            margins = (probabilities[rows] - readings.own[rows, None]).T.copy()
            members: np.ndarray | None = None
            for true in np.flatnonzero(counts[given]):
                count = int(counts[given, true])
                if count <= np.count_nonzero(margins[true] > 2 * SLACK):
                    flagged[rows] |= largest(margins[true], count)
                else:
                    if members is None:
                        members = np.flatnonzero(labels == given)
                    margin = probabilities[members, true] - readings.own[members]
                    flagged[members] |= largest(margin, count)
        return flagged & candidates


class _ByBlocks:
    """Probabilities of which a block is in memory at a time."""

    def __init__(self, labels: Any, source: RowSource):
        checks.rank("pred_probs", source, 2)
        checks.rank("labels", labels, 1)
        checks.same_length(labels=labels, pred_probs=source)
        self._source, self.num_classes = source, source.shape[1]
        self.labels = checks.labels("labels", labels, source.shape[1])

    def _blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        for here in row_blocks(self._source):
            yield here, check_probabilities(self._source[here], first_row=here.start)

    def readings(self) -> Readings:
        own = np.concatenate(
            [own_probability(self.labels[at], block) for at, block in self._blocks()]
        )
        bars = thresholds_of(self.labels, own, self.num_classes)
        parts = [
            read_predictions(self.labels[at], block, bars)
            for at, block in self._blocks()
        ]
        return Readings(*(np.concatenate(each) for each in zip(*parts)))

    def quality(self, method: str, rows: np.ndarray | None = None) -> np.ndarray:
        found = []
        for here in row_blocks(self._source):
            if rows is None:
                wanted = np.arange(here.start, here.stop)
            else:
                first, end = np.searchsorted(rows, [here.start, here.stop])
                wanted = rows[first:end]
            block = check_probabilities(self._source[wanted])
            found.append(quality_of(self.labels[wanted], block, method))
        return np.concatenate(found)

    def by_margin(
        self, readings: Readings, counts: np.ndarray, candidates: np.ndarray
    ) -> np.ndarray:
        best = {
            (int(given), int(true)): Largest(int(counts[given, true]))
            for given, true in zip(*np.nonzero(counts))
        }
        trues = [np.flatnonzero(row) for row in counts]
        for here, block in self._blocks():
            labels, own = self.labels[here], readings.own[here]
            for given, rows in rows_of_classes(labels, len(counts)):
                for true in trues[given]:
                    margins = block[rows, true] - own[rows]
                    best[given, int(true)].add(margins, rows + here.start)
        flagged = np.zeros(len(self.labels), bool)
        for each in best.values():
            flagged[each.rows()] = True
        return flagged & candidates


def rows_of_classes(
    labels: np.ndarray, num_classes: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Every class that occurs, and its rows in order."""
    # NumPy's stable sort of short integers is a radix sort.
    short = np.uint8 if num_classes <= 2**8 else np.uint16
    keys = labels.astype(short) if num_classes <= 2**16 else labels
    order = np.argsort(keys, kind="stable")
    ends = np.cumsum(np.bincount(labels, minlength=num_classes))
    for given, (begin, end) in enumerate(zip([0, *ends], ends)):
        if begin < end:
            yield given, order[begin:end]
