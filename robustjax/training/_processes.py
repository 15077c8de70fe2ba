"""What one or all of several processes do for all of them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from robustjax.placement import gathered

Value = TypeVar("Value")


def from_first_process(make: Callable[[], Value]) -> Value:
    """What the first process makes, such as what it reads, in all of them.

    All processes must come here in the same order. Files then belong to the first
    one, and the others need not see them.

    Args:
      make: called there alone; what it returns must be picklable where there are
        several processes.

    Raises:
      Exception: what `make` raises; in the other processes a `ValueError` of the same
        text.
    """
    if jax.process_count() == 1:
        return make()
    error: Exception | None = None
    raw = b""
    if jax.process_index() == 0:
        try:
            raw = pickle.dumps((True, make()))
        except Exception as raised:
            error = raised
            raw = pickle.dumps((False, str(raised)))
    well, value = pickle.loads(_broadcast(raw))
    if error is not None:
        raise error
    if not well:
        raise ValueError(f"of process 0: {value}")
    made: Value = value
    return made


def _broadcast(raw: bytes) -> bytes:
    share = multihost_utils.broadcast_one_to_all
    # Without 64 bits, JAX has no number for 2 GiB or more.
    size = share(np.array(divmod(len(raw), 2**30), np.int32))
    count = int(size[0]) * 2**30 + int(size[1])
    content = np.frombuffer(raw, np.uint8) if raw else np.zeros(count, np.uint8)
    return np.asarray(share(content)).tobytes()


def from_every_process(make: Callable[[], Value]) -> list[Value]:
    """What every process makes, in all of them, by process.

    All processes must come here in the same order; where one fails, all do.

    Args:
      make: what it returns must be picklable where there are several processes.

    Raises:
      Exception: what `make` raises; in the other processes a `ValueError` of the same
        text that names the process.
    """
    if jax.process_count() == 1:
        return [make()]
    error: Exception | None = None
    try:
        raw = pickle.dumps((True, make()))
    except Exception as raised:
        error = raised
        raw = pickle.dumps((False, (str(raised) or repr(raised)).splitlines()[0]))
    answers = [pickle.loads(each) for each in gathered(raw)]
    if error is not None:
        raise error
    for index, (well, value) in enumerate(answers):
        if not well:
            raise ValueError(f"of process {index}: {value}")
    return [value for _, value in answers]


def on_host(tree: Any) -> Any:
    """A pytree's arrays as NumPy's, whole, in every process.

    All processes must come here: what they hold together is gathered.
    """

    def leaf(x: Any) -> Any:
        held = not isinstance(x, jax.Array) or x.is_fully_addressable
        if not held and not x.is_fully_replicated:
            return multihost_utils.process_allgather(x, tiled=True)
        return jax.device_get(x)

    return jax.tree.map(leaf, tree)


def placed_like(array: np.ndarray, original: Any) -> Any:
    """An array as `original` lies: on the host, on its devices, or wherever it may.

    Args:
      array: whole, the same in every process.
      original: an array of that shape, or its shape with or without a sharding.
    """
    if isinstance(original, np.ndarray):
        return array
    sharding = getattr(original, "sharding", None)
    # Committed to its device, it would refuse to meet arrays on several devices.
    if sharding is None or not getattr(original, "committed", True):
        return jax.device_put(array)
    return jax.make_array_from_callback(array.shape, sharding, lambda i: array[i])
