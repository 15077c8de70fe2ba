"""Which examples are copies of each other, so that rounding cannot tell them apart.

A copy's similarity to its original is 1 and its distance 0, but computed ones round to
numbers beside that. A greedy selection would then order examples that are worth exactly
the same by rounding errors rather than, as it says, by index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from robustjax import sharded_conditioning
from robustjax.row_source import JoinedRows, RowSource, row_blocks
from robustjax.sharded_rows import ShardedRows

# Numbers hashed at once, 8 bytes each.
_BLOCK_NUMBERS = 4_000_000
# Numbers of every row that are hashed first: rows that differ there are not equal.
_SAMPLED = 16
_MIX = np.uint64(0x9E3779B97F4A7C15)


def _parts(rows: np.ndarray | RowSource) -> tuple[np.ndarray | RowSource, ...]:
    """Those of joined rows."""
    return rows.parts if isinstance(rows, JoinedRows) else (rows,)


def _sampled(rows: np.ndarray | RowSource) -> np.ndarray | RowSource:
    """At most `_SAMPLED` numbers of every row, (N, m), from all over it.

    Of rows that devices hold all numbers, which go no further than their hashes.
    """
    if any(isinstance(part, ShardedRows) for part in _parts(rows)):
        return rows
    width = rows.shape[1]
    columns = np.unique(np.linspace(0, width - 1, min(width, _SAMPLED)).astype(int))
    return np.concatenate([rows[here][:, columns] for here in row_blocks(rows)])


def _hashes(
    rows: np.ndarray | RowSource, which: np.ndarray, multipliers: np.ndarray
) -> np.ndarray:
    """A uint64 hash of each of some rows (M,), the same for 0 and -0."""
    if isinstance(rows, ShardedRows):
        return sharded_conditioning.hashes(rows, multipliers, _MIX)[which]
    parts = _parts(rows)
    if len(parts) > 1 and any(isinstance(part, ShardedRows) for part in parts):
        each = [_hashes(part, np.arange(len(part)), multipliers) for part in parts]
        return np.concatenate(each)[which]
    hashes = np.empty(len(which), np.uint64)
    step = max(1, _BLOCK_NUMBERS // max(1, rows.shape[1]))
    for start in range(0, len(which), step):
        some = slice(start, start + step)
        block = np.ascontiguousarray(rows[which[some]], np.float32) + np.float32(0)
        bits = (block.view(np.uint32) + multipliers) * _MIX
        bits ^= bits >> np.uint64(29)
        hashes[some] = (bits * multipliers).sum(axis=1, dtype=np.uint64)
    return hashes


def _in_memory(rows: Any) -> np.ndarray:
    """Rows as float32, or in two bytes a number as they are kept."""
    array = np.asarray(rows)
    return array if array.dtype.itemsize == 2 else array.astype(np.float32, copy=False)


def _joint_hashes(
    parts: Sequence[np.ndarray | RowSource], which: np.ndarray
) -> np.ndarray:
    """Of all factors of some examples, (M,) uint64."""
    # Any fixed odd numbers do; equal hashes are compared in full below.
    rng = np.random.default_rng(0)
    hashes = np.zeros(len(which), np.uint64)
    for part in parts:
        drawn = rng.integers(2**63, size=part.shape[1:], dtype=np.uint64)
        multipliers = np.asarray(2 * drawn + 1, np.uint64)
        hashes = hashes * _MIX + _hashes(part, which, multipliers)
    return hashes


def _equal(
    part: np.ndarray | RowSource, rows: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """Which of some rows (M,) are those of other numbers."""
    if isinstance(part, RowSource):
        return part.equal(rows, others)
    same: np.ndarray = (part[rows] == part[others]).all(axis=1)
    return same


def first_equal_rows(*features: Any) -> np.ndarray:
    """For every example the first one whose rows are all equal to its own.

    Args:
      *features: one or several (N, d) float32, or as `storage.kept` makes them,
        compared exactly; the factors of an example's features. Of a source blocks are
        read.

    Returns:
      (N,) int32, ascending where examples differ from all before; `i` itself for those.
    """
    parts = [
        part if isinstance(part, RowSource) else _in_memory(part) for part in features
    ]
    found = np.arange(len(parts[0]))
    sampled = _joint_hashes([_sampled(part) for part in parts], found)
    _, inverse, counts = np.unique(sampled, return_inverse=True, return_counts=True)
    alike = np.flatnonzero(counts[inverse.reshape(-1)] > 1)
    hashes = _joint_hashes(parts, alike)
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    found[alike] = alike[first[inverse.reshape(-1)]]
    later = np.flatnonzero(found != np.arange(len(found)))
    equal = np.ones(len(later), bool)
    for part in parts:
        step = max(1, _BLOCK_NUMBERS // max(1, part.shape[1]))
        for start in range(0, len(later), step):
            some = slice(start, start + step)
            equal[some] &= _equal(part, later[some], found[later[some]])
    found[later[~equal]] = later[~equal]
    return found.astype(np.int32)
