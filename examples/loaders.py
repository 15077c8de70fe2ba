"""Where `index` comes from: example numbers in grain, tf.data, PyTorch and tfds.

robustjax asks of every example for a number in 0 … N-1 that is the same in all epochs.
One rule holds for every loader: number the examples before anything shuffles or repeats
them, and batch before repeating, or a batch across two epochs holds an example twice.
Leaving examples out comes first (then N is what is left) or last (then it is all).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np


class Examples(Protocol):
    """What can be read by number: tfds data sources, grain's sources, lists."""

    def __len__(self) -> int:
        """The number of examples, N."""
        ...

    def __getitem__(self, number: int, /) -> Any:
        """One example."""
        ...


def grain_batches(source: Examples, batch_size: int, *, seed: int = 0) -> Any:
    """Endless shuffled batches by grain, with `index` (B,) int32 in each.

    `map_with_index` is not used: behind `repeat` it counts on beyond N.

    Args:
      source: its examples are dicts, as of `tfds.data_source`.
      batch_size: B.
      seed: of the order, which differs between epochs.

    Returns:
      A `grain.MapDataset`.
    """
    import grain

    def read(number: int) -> dict[str, Any]:
        return {**source[number], "index": np.int32(number)}

    numbers = grain.MapDataset.range(len(source)).seed(seed).shuffle()
    return numbers.map(read).batch(batch_size, drop_remainder=True).repeat()


def tf_data_batches(
    dataset: Any, batch_size: int, *, buffer_size: int = 50_000, seed: int = 0
) -> Any:
    """Endless shuffled batches by tf.data, with `index` (B,) int32 in each.

    Args:
      dataset: a `tf.data.Dataset` of dicts that comes in the same order whenever it is
        read, as from `tfds.load` with its default `shuffle_files=False`.
      batch_size: B.
      buffer_size: of the shuffle.
      seed: of the order, which differs between epochs.

    Returns:
      A `tf.data.Dataset`.
    """
    import tensorflow as tf

    def add(number: Any, example: Mapping[str, Any]) -> dict[str, Any]:
        return {**example, "index": tf.cast(number, tf.int32)}

    numbered = dataset.enumerate().map(add)
    shuffled = numbered.shuffle(buffer_size, seed=seed)
    return shuffled.batch(batch_size, drop_remainder=True).repeat()


class Numbered:
    """A map-style PyTorch data set whose examples end in their number.

    Wrap last, around any `Subset` or split, and give it to a `DataLoader` with
    `shuffle=True, drop_last=True`. Inside a `Subset` the numbers are those of the whole
    set, and N is its length.

    Attributes:
      dataset: its examples are tuples.
    """

    def __init__(self, dataset: Examples):
        self.dataset = dataset

    def __len__(self) -> int:
        """The number of examples, N."""
        return len(self.dataset)

    def __getitem__(self, number: int) -> tuple[Any, ...]:
        """One example and its number."""
        return (*self.dataset[number], number)


class IdTable:
    """Numbers for names, such as tfds' `id` or `tfds_id`, whatever order they come in.

    An example's number is the place of its name among all names in order, so it does
    not depend on the order of reading. In tfds, `ReadConfig(add_tfds_id=True)` names
    the examples of any data set.
    """

    def __init__(self, ids: Iterable[str | bytes]):
        """Reads all names once.

        Args:
          ids: N names.

        Raises:
          ValueError: a name that occurs twice.
        """
        names = _as_text(list(ids))
        self.names, counts = np.unique(names, return_counts=True)
        if (counts > 1).any():
            raise ValueError(f"ids: {str(self.names[counts > 1][0])!r} occurs twice")

    def __len__(self) -> int:
        """The number of examples, N."""
        return len(self.names)

    def __call__(self, ids: Sequence[str | bytes] | np.ndarray) -> np.ndarray:
        """Example numbers (B,) int32 of B names.

        Raises:
          ValueError: an unknown name.
        """
        names = _as_text(ids)
        found = np.minimum(np.searchsorted(self.names, names), len(self) - 1)
        unknown = names[self.names[found] != names]
        if len(unknown):
            raise ValueError(f"ids: {str(unknown[0])!r} is not in the table")
        return found.astype(np.int32)


def _as_text(ids: Sequence[str | bytes] | np.ndarray) -> np.ndarray:
    return np.array([n.decode() if isinstance(n, bytes) else str(n) for n in ids])
