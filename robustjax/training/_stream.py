"""Inputs that stay with the host, and reach the device as a training needs them."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeGuard, TypeVar

import jax
import numpy as np

from robustjax import arrays, checks
from robustjax.row_source import RowSource, row_numbers
from robustjax.training._host_memory import HostMemory

Item = TypeVar("Item")


class Rows(Protocol):
    """What a stream reads: NumPy's arrays and memory maps, `data.FileRows`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, ...)."""

    @property
    def dtype(self) -> np.dtype:
        """Of every number."""

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Some rows, by numbers or a slice."""


class Stream:
    """Training inputs larger than the device, or than memory.

    `Program.make_data` takes one in the place of an array. Labels, further arrays and
    per-example state stay on the device; inputs are read in the order in which the
    epoch wants them, a chunk of steps at a time, by threads that are some chunks
    ahead. What comes out is what resident inputs give, to the bit.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        chunk_bytes: int = 2**25,
        prefetch: int = 2,
        workers: int = 2,
    ):
        """Reads nothing yet.

        Args:
          rows: (N, ...) numbers, read by several threads at once.
          chunk_bytes: of the steps that reach the device together, at least one step;
            about `prefetch + 3` chunks are in memory at a time, and the host's memory
            for them stays with the stream.
          prefetch: how many chunks are read ahead, at least 1.
          workers: threads that read.

        Raises:
          ValueError: a number below 1, or inputs without a feature axis.
        """
        checks.at_least("chunk_bytes", chunk_bytes, 1)
        checks.at_least("prefetch", prefetch, 1)
        checks.at_least("workers", workers, 1)
        if len(rows.shape) < 2:
            raise ValueError(
                f"rows: got shape {rows.shape}, expected (N, ...) with at least one "
                "feature axis"
            )
        self.chunk_bytes, self.prefetch, self.workers = chunk_bytes, prefetch, workers
        self._rows, self._memory, self._first = rows, HostMemory(), 0
        self.shape = tuple(rows.shape)
        self.dtype = np.dtype(jax.dtypes.canonicalize_dtype(rows.dtype))

    @property
    def ndim(self) -> int:
        """The rank of the inputs."""
        return len(self.shape)

    def __len__(self) -> int:
        """The number of examples, N."""
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Some rows as the device would hold them."""
        if len(self) != self._rows.shape[0]:
            rows = row_numbers(rows, len(self)) + self._first
        found = np.asarray(self._rows[rows])
        arrays.check_held("rows", found)
        return found.astype(self.dtype, copy=False)

    def part(self, start: int, count: int) -> Stream:
        """Rows that follow each other, as a stream; nothing is read.

        Args:
          start: the first one.
          count: how many, at least 1.

        Raises:
          ValueError: rows that are not there.
        """
        checks.at_least("start", start, 0)
        checks.at_least("count", count, 1)
        if start + count > len(self):
            raise ValueError(
                f"count: got {count} from row {start} on, expected at most the "
                f"{len(self) - start} that there are"
            )
        found = copy.copy(self)
        found.shape = (count, *self.shape[1:])
        found._first = self._first + start
        return found

    def take(self, index: np.ndarray, padded_examples: int) -> np.ndarray:
        """The rows of some steps; padding is what resident inputs have there.

        Args:
          index: (...) integers; from N on they are padding.
          padded_examples: rows that resident inputs would have.

        Returns:
          (..., *features).
        """
        flat, count = index.reshape(-1), len(self)
        found = self._memory.empty((flat.size, *self.shape[1:]), self.dtype)
        real = flat < count
        edges = np.flatnonzero(np.diff(real, prepend=False, append=False))
        for begin, end in edges.reshape(-1, 2).tolist():
            self._read_into(flat[begin:end], found[begin:end])
        if not real.all():
            found[~real] = self[count - 1 : count] if padded_examples == count else 0
        return found.reshape(*index.shape, *self.shape[1:])

    def _read_into(self, rows: np.ndarray, out: np.ndarray) -> None:
        source = self._rows
        rows = rows + self._first if self._first else rows
        if arrays.is_narrowed(np.dtype(source.dtype)):
            found = source[rows]
            arrays.check_held("rows", found)
            out[...] = found
        elif isinstance(source, RowSource):
            source.read_into(rows, out)
        elif _taken_as_it_is(source) and source.dtype == out.dtype:
            # In other modes than "raise" NumPy writes straight into `out`.
            np.take(source, rows, axis=0, out=out, mode="wrap")
        else:
            out[...] = source[rows]


def _taken_as_it_is(rows: Rows) -> TypeGuard[np.ndarray]:
    """Whether `np.take` reads some rows; of other arrays it would first copy all."""
    return (
        isinstance(rows, np.ndarray) and rows.flags.c_contiguous and rows.flags.aligned
    )


@jax.tree_util.register_pytree_node_class
class FirstRow:
    """All that rules between epochs see of inputs that are streamed.

    Attributes:
      row: (1, ...).
      shape: of all inputs, padded.
    """

    def __init__(self, row: Any, shape: tuple[int, ...]):
        """Stands for inputs of a shape by their first row."""
        self.row, self.shape = row, shape

    @property
    def dtype(self) -> Any:
        """Of the inputs."""
        return self.row.dtype

    @property
    def ndim(self) -> int:
        """The rank of the inputs."""
        return len(self.shape)

    def __getitem__(self, rows: Any) -> Any:
        """The first row, `[:1]`.

        Raises:
          ValueError: anything else was asked for.
        """
        if isinstance(rows, slice) and rows in (slice(None, 1), slice(0, 1)):
            return self.row
        raise ValueError(
            "stream: this method looks at its training inputs between epochs, "
            "expected one that does not; train on resident inputs"
        )

    def tree_flatten(self) -> tuple[tuple[Any], tuple[int, ...]]:
        """For JAX."""
        return (self.row,), self.shape

    @classmethod
    def tree_unflatten(cls, shape: tuple[int, ...], rows: Sequence[Any]) -> FirstRow:
        """For JAX."""
        return cls(rows[0], shape)


def read_ahead(
    load: Callable[[int], Item], count: int, *, prefetch: int, workers: int
) -> Iterator[Item]:
    """`load(0)`, `load(1)`, … in order, by threads that are some items ahead.

    Args:
      load: called in threads, several at once.
      count: of items.
      prefetch: how many are begun before they are asked for.
      workers: threads.

    Raises:
      Exception: what `load` raises, when its item is due.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="stream")
    waiting: deque[Future[Item]] = deque()
    try:
        for number in range(count):
            waiting.append(pool.submit(load, number))
            if len(waiting) > prefetch:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
