"""States without the padding of a device layout: they fit any other."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from robustjax.training._processes import on_host, placed_like
from robustjax.training._state import TrainState
from robustjax.transforms import ExampleSpec


def without_padding(state: TrainState, spec: ExampleSpec) -> TrainState:
    """A state whose per-example rows are of examples alone, on the host.

    All processes must come here.

    Args:
      state: leaves (R, ...), rows (R, N_padded, ...).
      spec: of the rows.

    Raises:
      ValueError: rows of another number.
    """

    def cut(rows: np.ndarray) -> np.ndarray:
        _check(rows, spec)
        return rows[:, : spec.num_examples]

    rows = jax.tree.map(cut, on_host(state.loss_state.rows))
    return state.with_rows(rows)


def shape_without_padding(state: TrainState, spec: ExampleSpec) -> TrainState:
    """What to restore `without_padding` into: rows on the host, nothing is copied.

    Raises:
      ValueError: rows of another number.
    """

    def empty(rows: jax.Array) -> np.ndarray:
        _check(rows, spec)
        size = (rows.shape[0], spec.num_examples, *rows.shape[2:])
        return np.empty(size, rows.dtype)

    rows = jax.tree.map(empty, state.loss_state.rows)
    return state.with_rows(rows)


def _check(rows: Any, spec: ExampleSpec) -> None:
    """What is cut off must be padding."""
    if rows.shape[1] != spec.padded_examples:
        raise ValueError(
            f"state: got per-example rows {rows.shape}, expected "
            f"(R, {spec.padded_examples}, ...); an algorithm whose rows are of "
            "something else than its data names them by row_spec"
        )


def with_padding(state: TrainState, fresh: TrainState) -> TrainState:
    """A state from `without_padding`, padded and placed as a fresh one is.

    All processes must come here.

    Args:
      state: rows (R, N, ...) on the host.
      fresh: rows (R, N_padded, ...); its padding is taken.
    """

    def pad(rows: np.ndarray, own: Any) -> Any:
        count = rows.shape[1]
        if count == own.shape[1]:
            return placed_like(rows, own)
        padding = np.asarray(on_host(own[:, count:]))
        return placed_like(np.concatenate([rows, padding], axis=1), own)

    rows = jax.tree.map(pad, state.loss_state.rows, fresh.loss_state.rows)
    return state.with_rows(rows)
