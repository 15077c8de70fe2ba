"""Predicted probabilities for confident learning: an array, or blocks of one.

Of blocks only numbers per example are kept, so that probabilities of a file, or those
that devices hold in parts, never lie in the host's memory together. What is found is
the same: every number is of one row, and is computed from it in the same way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeVar

import jax
import numpy as np

from robustjax import checks
from robustjax.placement import from_all, on_host
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
from robustjax.sharded_rows import check_holders, is_row_sharded

Found = TypeVar("Found")


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
    if is_row_sharded(pred_probs) and pred_probs.ndim == 2:
        if not pred_probs.is_fully_addressable:
            return _OfProcesses(labels, pred_probs)
        return _ByBlocks(labels, _DeviceRows(pred_probs))
    if isinstance(pred_probs, jax.Array) and not (
        pred_probs.is_fully_addressable or pred_probs.is_fully_replicated
    ):
        raise ValueError(
            f"pred_probs: got {pred_probs.shape} that processes divide by "
            f"{pred_probs.sharding}, expected parts of rows"
        )
    return _Held(*check_given(labels, pred_probs))


class _DeviceRows(PartedRows):
    """Rows that this process's devices hold in parts, a part at a time on the host."""

    def __init__(self, array: jax.Array):
        super().__init__()
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
        self._runs = [slice(0, len(source))]

    def _of_all(self, found: Iterable[Found]) -> list[Found]:
        """What was found in all rows, where `found` is of those of this process."""
        return list(found)

    def _rows(self) -> Iterator[slice]:
        for run in self._runs:
            yield from row_blocks(self._source, within=run)

    def _blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        for here in self._rows():
            yield here, check_probabilities(self._source[here], first_row=here.start)

    def readings(self) -> Readings:
        (own,) = _in_order(
            self._of_all(
                (at.start, (own_probability(self.labels[at], block),))
                for at, block in self._blocks()
            )
        )
        bars = thresholds_of(self.labels, own, self.num_classes)
        parts = self._of_all(
            (at.start, tuple(read_predictions(self.labels[at], block, bars)))
            for at, block in self._blocks()
        )
        return Readings(*_in_order(parts))

    def quality(self, method: str, rows: np.ndarray | None = None) -> np.ndarray:
        wanted = np.arange(len(self.labels)) if rows is None else rows

        def parts() -> Iterator[tuple[int, tuple[np.ndarray]]]:
            for here in self._rows():
                first, end = np.searchsorted(wanted, [here.start, here.stop])
                few = wanted[first:end]
                block = check_probabilities(self._source[few])
                yield here.start, (quality_of(self.labels[few], block, method),)

        return _in_order(self._of_all(parts()))[0]

    def by_margin(
        self, readings: Readings, counts: np.ndarray, candidates: np.ndarray
    ) -> np.ndarray:
        pairs = list(zip(*(axis.tolist() for axis in np.nonzero(counts))))
        trues = [np.flatnonzero(row) for row in counts]

        def parts() -> Iterator[tuple[tuple[int, int], np.ndarray, np.ndarray]]:
            best = {pair: Largest(int(counts[pair])) for pair in pairs}
            for here, block in self._blocks():
                labels, own = self.labels[here], readings.own[here]
                for given, rows in rows_of_classes(labels, len(counts)):
                    for true in trues[given]:
                        margins = block[rows, true] - own[rows]
                        best[given, int(true)].add(margins, rows + here.start)
            for pair, each in best.items():
                yield pair, *each.kept()

        flagged = np.zeros(len(self.labels), bool)
        found: dict[tuple[int, int], list[tuple[np.ndarray, np.ndarray]]] = {}
        for pair, values, rows in self._of_all(parts()):
            found.setdefault(pair, []).append((values, rows))
        for pair, several in found.items():
            values, rows = (np.concatenate(each) for each in zip(*several))
            order = np.argsort(rows)
            flagged[rows[order][largest(values[order], int(counts[pair]))]] = True
        return flagged & candidates


def _in_order(parts: list[tuple[int, tuple[np.ndarray, ...]]]) -> list[np.ndarray]:
    """Numbers per example, of parts that each tell their first row."""
    ordered = [found for _, found in sorted(parts, key=lambda part: part[0])]
    return [np.concatenate(each) for each in zip(*ordered)]


class _OfProcesses(_ByBlocks):
    """Probabilities that the devices of several processes hold in parts of rows.

    Every process reads its own rows. The numbers per example, and the largest margins
    of its rows, go to all, which then find the same: no sum is split, so that every bit
    is that of one process.
    """

    def __init__(self, labels: Any, array: jax.Array):
        """All processes come here with the same labels.

        Raises:
          ValueError: in all of them what one refuses, or labels that differ.
        """
        check_holders("pred_probs", array)
        parts: dict[int, tuple[int, int]] = {}
        where: Any = array.sharding.devices_indices_map(array.shape)
        for device, at in where.items():
            first, end, _ = at[0].indices(array.shape[0])
            owner, _ = parts.get(first, (device.process_index, end))
            parts[first] = min(owner, device.process_index), end
        if isinstance(labels, jax.Array):
            labels = on_host(labels)

        def checked() -> Iterator[bytes]:
            super(_OfProcesses, self).__init__(labels, _DeviceRows(array))
            yield hashlib.sha256(self.labels.tobytes()).digest()

        if len(set(self._of_all(checked()))) > 1:
            raise ValueError("labels: processes were given different ones")
        # What several hold is read by the first of them.
        self._runs = [
            slice(first, end)
            for first, (owner, end) in sorted(parts.items())
            if owner == jax.process_index()
        ]

    def _of_all(self, found: Iterable[Found]) -> list[Found]:
        return [each for several in from_all(lambda: list(found)) for each in several]


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
