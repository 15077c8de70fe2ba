"""Rows of a pool and what was answered about them, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustjax import checks
from robustjax.methods.active_learning._open_set_round import ValidationSet


def check_rows(name: str, rows: np.ndarray, num_examples: int) -> None:
    """Raises `ValueError` unless the rows (Q,) are distinct ones of the pool."""
    outside = rows[(rows < 0) | (rows >= num_examples)]
    if outside.size:
        raise ValueError(
            f"{name}: got {outside[0]}, expected rows of the pool, 0 … "
            f"{num_examples - 1}"
        )
    values, counts = np.unique(rows, return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"{name}: row {values[counts > 1][0]} occurs more than once, expected "
            "distinct rows"
        )


def checked_answers(
    name: str, answers: Any, rows: np.ndarray, num_classes: int
) -> np.ndarray:
    """The answers (Q,) about rows (Q,) as int32, each in 0 … k; k is OOD.

    Raises:
      ValueError: another number of answers, or an unknown class.
    """
    given = np.asarray(answers)
    if given.shape != rows.shape:
        raise ValueError(
            f"{name}: got shape {given.shape}, expected {rows.shape}, one per row"
        )
    if not given.size:
        return np.zeros(0, np.int32)
    return checks.labels(name, given, num_classes + 1)


def checked_validation(
    validation: ValidationSet, num_examples: int, num_classes: int
) -> ValidationSet:
    """A validation set as int64 rows and int32 labels.

    Raises:
      ValueError: rows that repeat or are no rows, an unknown class, or examples of one
        kind only, which do not tell IN from OOD.
    """
    rows = np.asarray(validation.rows)
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
        raise ValueError(
            f"validation.rows: got {rows.dtype} of shape {rows.shape}, expected (V,) "
            "integers"
        )
    rows = rows.astype(np.int64)
    check_rows("validation.rows", rows, num_examples)
    labels = checked_answers("validation.labels", validation.labels, rows, num_classes)
    found = int(np.sum(labels < num_classes))
    if found in (0, len(labels)):
        raise ValueError(
            f"validation: got {found} IN and {len(labels) - found} OOD examples, "
            "expected some of either kind"
        )
    return ValidationSet(rows, labels)
