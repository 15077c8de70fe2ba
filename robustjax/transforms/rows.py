"""Transforms written on `(B, ...)` rows: gather and scatter live here alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks
from robustjax.transforms.base import (
    Batch,
    ExampleSpec,
    LossState,
    LossTransform,
    Stage,
    Terms,
    no_epoch,
)


def _row_index(batch: Batch, mask: jax.Array, padded_examples: int) -> jax.Array:
    """The batch's row numbers, with every padding position out of range.

    Out-of-range reads fill with zero and out-of-range writes are dropped; a negative
    index would wrap around instead, so it is sent out of range too.
    """
    index = batch["index"]
    if not checks.is_traced((index, mask)):
        real = np.asarray(index)[np.asarray(mask)]
        values, counts = np.unique(real, return_counts=True)
        if (counts > 1).any():
            raise ValueError(
                f"batch['index']: {int((counts > 1).sum())} example(s) occur more "
                f"than once in the batch (first: {values[counts > 1][0]}); their rows "
                "would be written twice. Draw batches without replacement"
            )
    index = jnp.asarray(index)
    return jnp.where(mask & (index >= 0), index, padded_examples)


def gather_rows(rows: Any, batch: Batch, mask: jax.Array) -> Any:
    """Reads the batch's rows, zero on padding, without gradient.

    Args:
      rows: pytree of (N_padded, ...) arrays.
      batch: holds `index` (B,).
      mask: (B,) bool, False on padding.

    Returns:
      The pytree with leaves (B, ...).
    """

    def read(leaf: jax.Array) -> jax.Array:
        index = _row_index(batch, mask, leaf.shape[0])
        return jax.lax.stop_gradient(leaf.at[index].get(mode="fill", fill_value=0))

    return jax.tree.map(read, rows)


def scatter_rows(rows: Any, new: Any, batch: Batch, mask: jax.Array) -> Any:
    """Writes the batch's rows back, without gradient; padding is dropped.

    Args:
      rows: pytree of (N_padded, ...) arrays.
      new: the pytree with leaves (B, ...).
      batch: holds `index` (B,).
      mask: (B,) bool, False where nothing is to be written.

    Returns:
      The updated `rows`, of unchanged dtypes.
    """

    def write(leaf: jax.Array, value: jax.Array) -> jax.Array:
        index = _row_index(batch, mask, leaf.shape[0])
        value = jax.lax.stop_gradient(value).astype(leaf.dtype)
        return leaf.at[index].set(value, mode="drop")

    return jax.tree.map(write, rows, new)


def rowwise(
    init_rows: Callable[[ExampleSpec], Any],
    update_rows: Callable[..., tuple[Terms, Any]],
    *,
    stage: Stage,
    name: str,
    init_shared: Callable[[ExampleSpec], Any] = lambda spec: (),
    epoch: Callable[..., LossState] = no_epoch,
    needs: frozenset[str] = frozenset(),
) -> LossTransform:
    """Makes a transform from a function on the rows of one batch.

    Args:
      init_rows: `(spec) -> rows`, leaves (N_padded, ...).
      update_rows: `(terms, rows, shared, batch, **extra) -> (terms, rows)` on rows
        with leaves (B, ...). Rows come without gradient and are stored without;
        return `rows` itself where the method only reads them.
      stage: the transform's place in a chain.
      name: for error messages.
      init_shared: `(spec) -> shared`.
      epoch: `(state, **extra) -> state`.
      needs: see `LossTransform.needs`.

    Returns:
      A `LossTransform`.
    """

    def init(spec: ExampleSpec, /) -> LossState:
        return LossState(rows=init_rows(spec), shared=init_shared(spec))

    def update(
        terms: Terms, state: LossState, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, LossState]:
        rows = gather_rows(state.rows, batch, terms.mask)
        terms, new_rows = update_rows(terms, rows, state.shared, batch, **extra)
        if new_rows is not rows:
            stored = scatter_rows(state.rows, new_rows, batch, terms.mask)
            state = state._replace(rows=stored)
        return terms, state

    return LossTransform(init, update, epoch, (stage,), name, needs)


def stateless(
    function: Callable[..., Terms], *, stage: Stage, name: str
) -> LossTransform:
    """Makes a transform without memory from `(terms, batch, **extra) -> terms`."""

    def init(spec: ExampleSpec, /) -> LossState:
        del spec
        return LossState(rows=(), shared=())

    def update(
        terms: Terms, state: LossState, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, LossState]:
        return function(terms, batch, **extra), state

    return LossTransform(init, update, no_epoch, (stage,), name)
