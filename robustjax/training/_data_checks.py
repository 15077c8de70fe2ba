"""Refusing data that a program would train on as if it were other data.

Rows are gathered by number, and numbers beyond the end give the last row: inputs that
are too few would train to their end without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays

_INT32 = np.iinfo(np.int32)


def check_labels(labels: Any, num_examples: int) -> int:
    """Returns the number of repeats; a cast would make classes of what is none.

    Args:
      labels: (R, N) integers.
      num_examples: N.

    Raises:
      ValueError: labels that are no integers, beyond int32, or of another number.
    """
    array = _as_array(labels)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise ValueError(
            f"labels: got {array.dtype.name}, expected integer class indices"
        )
    if array.ndim < 2 or array.shape[1] != num_examples:
        raise ValueError(
            f"labels: got shape {array.shape}, expected (repeats, {num_examples})"
        )
    beyond = _beyond_int32(array)
    if beyond is not None:
        raise ValueError(
            f"labels: got {beyond}, expected class indices that int32 holds"
        )
    return int(array.shape[0])


def check_inputs(inputs: Any, num_examples: int) -> None:
    """Raises `ValueError` unless every example has inputs that float32 tells apart.

    Args:
      inputs: (N, ...) numbers, or a `Stream`, which is not read.
      num_examples: N.
    """
    shape = np.shape(inputs)
    if not shape or shape[0] != num_examples:
        kind = f"shape {shape}" if shape else "a number"
        raise ValueError(
            f"inputs: got {kind}, expected ({num_examples}, …), a row for each of the "
            f"{num_examples} examples"
        )
    if isinstance(inputs, np.ndarray) and inputs.dtype == np.float64:
        arrays.check_resolved("inputs", inputs)


def check_extras(extras: Mapping[str, Any], repeats: int, num_examples: int) -> None:
    """Raises `ValueError` unless further arrays are of the examples of all repeats.

    Args:
      extras: name -> (R, N, ...).
      repeats: R.
      num_examples: N.
    """
    for name, values in extras.items():
        array = _as_array(values)
        if array.shape[:2] != (repeats, num_examples):
            raise ValueError(
                f"extras[{name!r}]: got shape {array.shape}, expected ({repeats}, "
                f"{num_examples}, …), as the labels have it"
            )
        check_held(f"extras[{name!r}]", array)


def check_held(name: str, values: Any) -> None:
    """Raises `ValueError` for integers that the device would wrap around.

    Args:
      name: what to call the values in an error.
      values: numbers; read if they are integers of 64 bits where JAX has 32.
    """
    dtype = getattr(values, "dtype", None)
    dtype = np.asarray(values).dtype if dtype is None else dtype
    if not is_narrowed(dtype):
        return
    beyond = _beyond_int32(_as_array(values))
    if beyond is not None:
        raise ValueError(f"{name}: got {beyond}, expected integers that int32 holds")


def is_narrowed(dtype: Any) -> bool:
    """Whether integers of a type become narrower ones on the device."""
    integers = jnp.issubdtype(dtype, jnp.integer)
    return bool(integers and jax.dtypes.canonicalize_dtype(dtype) != dtype)


def _as_array(values: Any) -> Any:
    return values if isinstance(values, jax.Array) else np.asarray(values)


def _beyond_int32(array: Any) -> int | None:
    """A number that int32 cannot hold, of an array of 64-bit integers."""
    wide = array.dtype.itemsize > 4 and jnp.issubdtype(array.dtype, jnp.integer)
    if not (wide and array.size) or isinstance(array, jax.core.Tracer):
        return None
    low, high = int(array.min()), int(array.max())
    if low < _INT32.min:
        return low
    return high if high > _INT32.max else None
