"""Given labels and predicted probabilities on the host: checks, and fast blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks

# Probabilities rounded to bfloat16, or printed with three digits, still pass.
_SUM_TOLERANCE = 1e-2
_SIGN_TOLERANCE = 1e-6
# What rounding may add to a probability.
_ROUNDED = 1e-3
# Values per block: it fits the second-level cache.
_BLOCK_VALUES = 2**15


def check_probabilities(
    pred_probs: Any, *, name: str = "pred_probs", first_row: int = 0
) -> np.ndarray:
    """Returns predicted probabilities as a NumPy array after checking them.

    Args:
      pred_probs: (N, C) floats, C >= 2, rows non-negative and with sum 1 (within
        0.01, so that rounded ones pass).
      name: what to call the argument in an error.
      first_row: the number of the first of these rows, for errors.

    Returns:
      (N, C) float64 or float32: the precision given, but at least float32.

    Raises:
      ValueError: another shape or dtype, NaN or infinity, rows that are no
        distribution.
    """
    array = arrays.numbers(name, pred_probs, 2)
    if array.shape[1] < 2:
        raise ValueError(f"{name}: got shape {array.shape}, expected 2 classes or more")
    if not jax.dtypes.issubdtype(array.dtype, np.floating):
        raise ValueError(f"{name}: got {array.dtype.name}, expected floats")
    wide = np.float64 if array.dtype.itemsize >= 8 else np.float32
    array = array.astype(wide, copy=False)
    if not array.size:
        return array
    with np.errstate(over="ignore", invalid="ignore"):
        # A matrix product is twice as fast as a sum over a short axis.
        sums = array @ np.ones(array.shape[1], array.dtype)
        wrong = ~(np.abs(sums - 1) <= _SUM_TOLERANCE)
    if wrong.any():
        checks.finite(name, array, first_row=first_row)
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{name}: {int(wrong.sum())} row(s) do not sum to 1 (first: row "
            f"{row + first_row}, {sums[row]:.6g}), expected probabilities (logits need "
            "a softmax)"
        )
    if array.min() < -_SIGN_TOLERANCE:
        row = int(np.flatnonzero((array < -_SIGN_TOLERANCE).any(axis=1))[0])
        raise ValueError(
            f"{name}: got {array[row].min():.6g} at row {row + first_row}, expected "
            "numbers in [0, 1]"
        )
    return array


def check_unit_interval(name: str, values: jax.Array) -> None:
    """Raises `ValueError` for numbers that are no probabilities, unless traced.

    NaN is none's business here; sums are not looked at.
    """
    if checks.is_traced(values) or not values.size:
        return
    low, high = float(jnp.nanmin(values)), float(jnp.nanmax(values))
    if low < -_ROUNDED or high > 1 + _ROUNDED:
        raise ValueError(
            f"{name}: got numbers from {low:g} to {high:g}, expected them in [0, 1] "
            "(logits need a softmax)"
        )


def check_given(labels: Any, pred_probs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels as (N,) int32 and probabilities as (N, C) floats, checked.

    Args:
      labels: (N,) integers in 0 … C-1.
      pred_probs: see `check_probabilities`.

    Raises:
      ValueError: whatever is wrong with either, or lengths that differ.
    """
    array = check_probabilities(pred_probs)
    checks.rank("labels", labels, 1)
    checks.same_length(labels=labels, pred_probs=array)
    return checks.labels("labels", labels, array.shape[1]), array


def class_major_blocks(probabilities: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Runs of rows, each as a contiguous copy with the classes first.

    NumPy reduces over a short last axis one row at a time; over a leading axis it
    uses vector instructions, which is several times faster even with the copy.

    Args:
      probabilities: (N, C).

    Yields:
      The rows, and their (C, B) probabilities, which may be written to.
    """
    count, classes = probabilities.shape
    size = max(64, _BLOCK_VALUES // classes)
    for begin in range(0, count, size):
        rows = slice(begin, min(begin + size, count))
        yield rows, probabilities[rows].T.copy()


def own_probability(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(N,) probability of every given label."""
    count, classes = probabilities.shape
    # Quicker than indexing with two arrays.
    return probabilities.reshape(-1).take(np.arange(count) * classes + labels)


def best_other(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(N,) largest probability of a class that is not the given one."""
    found = np.empty(len(labels), probabilities.dtype)
    for rows, block in class_major_blocks(probabilities):
        block[labels[rows], np.arange(block.shape[1])] = -np.inf
        np.max(block, axis=0, out=found[rows])
    return found
