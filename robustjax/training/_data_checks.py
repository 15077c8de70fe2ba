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
    arrays.check_held("labels", array, np.int32)
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
        arrays.check_held(f"extras[{name!r}]", array)


def _as_array(values: Any) -> Any:
    return values if isinstance(values, jax.Array) else np.asarray(values)
