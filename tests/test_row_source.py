"""Rows that several threads ask for at once, and rows of other rows."""

from __future__ import annotations

import concurrent.futures
import time

import numpy as np

from robustjax import conditioning
from robustjax.row_source import JoinedRows, PartedRows, TakenRows


class _SlowParts(PartedRows):
    """Four parts of five rows, which take a while and must not be read at once."""

    def __init__(self, rows):
        super().__init__()
        self.shape, self.dtype = rows.shape, rows.dtype
        self.starts = np.arange(0, len(rows), 5)
        self._rows, self._busy = rows, False

    def _part(self, number):
        assert not self._busy
        self._busy = True
        time.sleep(1e-4)
        self._busy = False
        return self._rows[self.starts[number] :][:5]


def test_threads_get_the_rows_that_they_ask_for(rng):
    rows = rng.normal(size=(20, 3))
    source = _SlowParts(rows)
    wanted = [rng.choice(20, 2, replace=False) for _ in range(200)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(source.__getitem__, wanted))
    np.testing.assert_array_equal(found, rows[np.array(wanted)])


def test_rows_of_rows_less_the_first(rng):
    """By slices and numbers alone: a source need not know what one number means."""
    x = rng.normal(size=(20, 3)) + 1e9
    order = rng.permutation(20)
    for source in (
        TakenRows(JoinedRows(x), order),
        JoinedRows(x[order[:7]], x[order[7:]]),
    ):
        found = conditioning.Rows(source)(np.arange(20))
        np.testing.assert_array_equal(found, x[order] - x[order[0]])
