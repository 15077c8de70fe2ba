"""Host memory that is filled again and again, and never under a reader."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np

# What XLA asks of memory that it shall take without a copy, where the host computes.
_ALIGNMENT = 64


class HostMemory:
    """Gives out arrays, in the memory of those that nobody has any more.

    Fresh memory costs more than to fill it: the system clears it page by page. Whether
    an array is done with is not for its owner to guess, since JAX copies it later, or
    never: JAX then refers to it until the last program that reads it has ended. So
    memory comes back when the last reference is gone, and by no other way.
    """

    def __init__(self) -> None:
        """Holds nothing yet."""
        # Appends and pops are atomic: arrays may go in any thread, at any time.
        self._free: deque[np.ndarray] = deque()

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array of arbitrary content.

        Args:
          shape: of the array.
          dtype: of every number.
        """
        size = math.prod(shape) * dtype.itemsize
        lent = np.asarray(_Loan(self._of_size(size), self._free))
        return lent[:size].view(dtype).reshape(shape)

    def _of_size(self, size: int) -> np.ndarray:
        try:
            # What is too small now is so later, as well: it goes.
            while (found := self._free.pop()).size < size:
                pass
        except IndexError:
            raw = np.empty(size + _ALIGNMENT, np.uint8)
            start = -raw.ctypes.data % _ALIGNMENT
            found = raw[start : start + size]
        return found


class _Loan:
    """What all arrays in some memory refer to, views of views included.

    NumPy shortens chains of references from array to array, but not past another kind
    of object.
    """

    def __init__(self, memory: np.ndarray, free: deque[np.ndarray]):
        self._memory, self._free = memory, free

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self._memory.__array_interface__

    def __del__(self) -> None:
        self._free.append(self._memory)
