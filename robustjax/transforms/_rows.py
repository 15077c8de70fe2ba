"""Transforms written on `(B, ...)` rows: gather and scatter live here alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.transforms import _batches as batches
from robustjax.transforms import _devices as devices
from robustjax.transforms._base import (
    AxisName,
    Batch,
    ExampleSpec,
    LossState,
    LossTransform,
    Stage,
    Terms,
    no_epoch,
    own_constants,
)
from robustjax.transforms._reduction import check_terms


def _row_numbers(index: Any, mask: jax.Array, padded_examples: int) -> jax.Array:
    """The rows of a batch, with every padding position out of range.

    Out-of-range reads fill with zero and out-of-range writes are dropped; a negative
    index would wrap around instead, so it is sent out of range too.
    """
    index = batches.device_index(index)
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
    index = batches.index_of(batch, mask)

    def read(leaf: jax.Array) -> jax.Array:
        numbers = _row_numbers(index, mask, leaf.shape[0])
        return jax.lax.stop_gradient(leaf.at[numbers].get(mode="fill", fill_value=0))

    return jax.tree.map(read, rows)


def scatter_rows(
    rows: Any,
    new: Any,
    batch: Batch,
    mask: jax.Array,
    *,
    axis_name: AxisName = None,
    local_rows: bool = False,
    name: str = "scatter_rows",
) -> tuple[Any, jax.Array | None]:
    """Writes the batch's rows back, without gradient; padding is dropped.

    Args:
      rows: pytree of (N_padded, ...) arrays.
      new: the pytree with leaves (B, ...).
      batch: holds `index` (B,).
      mask: (B,) bool, False where nothing is to be written.
      axis_name: the mapped device axis under `pmap` or `shard_map`. Every device then
        holds all rows, and writes those of all devices' examples.
      local_rows: whether each device holds the rows of its own examples instead, and
        numbers them from 0.
      name: for error messages.

    Returns:
      The updated `rows`, of unchanged dtypes, and whether two examples of the batch
      had one index: () bool, or None where that is known not to be.

    Raises:
      TypeError, ValueError: see `batches.index_of` and `batches.duplicate_fault`;
        called under a mapped device axis without being told.
    """
    devices.need_layout(name, axis_name, local_rows)
    index = batches.index_of(batch, mask)
    new = jax.lax.stop_gradient(new)
    if axis_name is not None and not local_rows:
        index, mask, new = devices.gather((index, mask, new), axis_name)
    fault = batches.duplicate_fault(index, mask)

    def write(leaf: jax.Array, value: jax.Array) -> jax.Array:
        numbers = _row_numbers(index, mask, leaf.shape[0])
        return leaf.at[numbers].set(value.astype(leaf.dtype), mode="drop")

    return jax.tree.map(write, rows, new), fault


def rowwise(
    init_rows: Callable[[ExampleSpec], Any],
    update_rows: Callable[..., tuple[Terms, Any]],
    *,
    stage: Stage,
    name: str,
    init_shared: Callable[[ExampleSpec], Mapping[str, Any]] = lambda spec: {},
    epoch: Callable[..., LossState] = no_epoch,
    needs: frozenset[str] = frozenset(),
) -> LossTransform:
    """Makes a transform from a function on the rows of one batch.

    The transform's `update` checks the batch's indices. Values that are known are
    refused if they are wrong; inside a compiled program the loss becomes NaN instead,
    and `jax.experimental.checkify.checkify` of the step says which index it was.

    Under `pmap` and `shard_map` its `update` and `epoch` take `axis_name`, where every
    device holds all rows, and `local_rows=True` with it, where each holds its own
    equal part of them and numbers its examples from 0.

    Args:
      init_rows: `(spec) -> rows`, leaves (N_padded, ...).
      update_rows: `(terms, rows, shared, batch, **extra) -> (terms, rows)` on rows
        with leaves (B, ...). Rows come without gradient and are stored without;
        return `rows` itself where the method only reads them.
      stage: the transform's place in a chain.
      name: for error messages.
      init_shared: `(spec) -> dict`; "num_examples" is added to it.
      epoch: `(state, **extra) -> state`, on all rows; "num_examples" stays in
        `shared` whether it returns it or not.
      needs: see `LossTransform.needs`.

    Returns:
      A `LossTransform`.

    Example:
      >>> import jax.numpy as jnp
      >>> import robustjax as rj
      >>> def init_rows(spec):
      ...     return {"seen": jnp.zeros(spec.padded_examples, jnp.int32)}
      >>> def update_rows(terms, rows, shared, batch, /, **extra):
      ...     weight = terms.weight / (1 + rows["seen"])
      ...     return terms.replace(weight=weight), {"seen": rows["seen"] + 1}
      >>> stage = rj.Stage.WEIGHTS
      >>> fading = rj.rowwise(init_rows, update_rows, stage=stage, name="fading")
      >>> tx = rj.chain(fading, rj.ce())
      >>> state = tx.init(rj.ExampleSpec(num_examples=5, num_classes=2))
      >>> logits, labels = jnp.zeros((1, 2)), jnp.array([0])
      >>> for _ in range(2):
      ...     _, state = rj.value(tx, state, logits, labels, index=jnp.array([3]))
      >>> state.rows[0]["seen"].tolist()
      [0, 0, 0, 2, 0]
    """

    def init(spec: ExampleSpec, /) -> LossState:
        shared = {**init_shared(spec), "num_examples": jnp.int32(spec.num_examples)}
        return LossState(rows=init_rows(spec), shared=shared)

    def update(
        terms: Terms, state: LossState, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, LossState]:
        axis_name = extra.get("axis_name")
        local_rows = extra.get("local_rows", False)
        length = _length(state.rows)
        if length is None:
            terms, _ = update_rows(terms, state.rows, state.shared, batch, **extra)
            check_terms(name, terms)
            return terms, state
        index, before = batches.index_of(batch, terms.mask), terms
        known, lacks = _examples_here(name, state.shared, length, axis_name, local_rows)
        fault = batches.outside_fault(index, terms.mask, known)
        rows = gather_rows(state.rows, batch, terms.mask)
        terms, new_rows = update_rows(terms, rows, state.shared, batch, **extra)
        check_terms(name, terms)
        twice = None
        if new_rows is not rows:
            _check_rows(name, rows, new_rows)
            stored, twice = scatter_rows(
                state.rows,
                new_rows,
                batch,
                before.mask,
                axis_name=axis_name,
                local_rows=local_rows,
                name=name,
            )
            state = state._replace(rows=stored)
        fault = batches.merge_faults(terms.fault, lacks, fault, twice)
        return terms.replace(fault=fault), state

    def end(state: LossState, /, **extra: Any) -> LossState:
        axis_name = extra.get("axis_name")
        local_rows = extra.get("local_rows", False)
        devices.need_layout(name, axis_name, local_rows)
        rows = state.rows
        if (losses := extra.get("losses")) is not None:
            _check_losses(name, losses, rows)
        if axis_name is not None and local_rows:
            rows = devices.gather(rows, axis_name)
            if losses is not None:
                extra["losses"] = devices.gather(losses, axis_name)
        known = {k: state.shared[k] for k in ("num_examples",) if k in state.shared}
        lacks = None
        if (length := _length(rows)) is not None:
            _, lacks = _examples_here(name, state.shared, length, None, False)
        after = epoch(LossState(rows, state.shared), **extra)
        if lacks is not None:
            after = after._replace(rows=_poisoned(after.rows, lacks))
        if axis_name is not None and local_rows:
            after = after._replace(rows=devices.own_part(after.rows, axis_name))
        return after._replace(shared={**after.shared, **known})

    rule = no_epoch if epoch is no_epoch else own_constants(end)
    return LossTransform(own_constants(init), update, rule, (stage,), name, needs)


def _length(rows: Any) -> int | None:
    """How many rows there are; None of a transform that has none."""
    leaves = jax.tree.leaves(rows)
    return leaves[0].shape[0] if leaves else None


def _examples_here(
    name: str, shared: Any, length: int, axis_name: AxisName, local_rows: bool
) -> tuple[Any, jax.Array | None]:
    """How many of a device's first rows belong to examples, and whether rows lack.

    Rows are too few for the examples where a device got a part of them and
    `local_rows` was not said, or where they were set by hand.

    Raises:
      ValueError: rows that are known to be too few.
    """
    known = shared.get("num_examples") if isinstance(shared, Mapping) else None
    if known is None:
        return length, None
    parted = local_rows and axis_name is not None
    rows = length * jax.lax.axis_size(axis_name) if parted else length
    lacks = None
    if checks.is_traced(known):
        lacks = known > rows
    else:
        with jax.transfer_guard("allow"):
            count = int(known)
        if count > rows:
            raise ValueError(
                f"{name}: got a state of {rows} rows, expected one for each of "
                f"{count} examples; where a device holds a part of them, say "
                "axis_name and local_rows=True"
            )
    if parted:
        known = jnp.clip(known - devices.first_row(axis_name, length), 0, length)
    return known, lacks


def _check_rows(name: str, old: Any, new: Any) -> None:
    """Raises `ValueError` unless new rows have the shapes of the old."""
    wanted, found = str(jax.tree.structure(old)), str(jax.tree.structure(new))
    if wanted != found:
        raise ValueError(f"{name}: got rows {found}, expected {wanted}")
    for before, after in zip(jax.tree.leaves(old), jax.tree.leaves(new)):
        if jnp.shape(after) != before.shape:
            raise ValueError(
                f"{name}: got rows of shape {jnp.shape(after)}, expected "
                f"{before.shape}, as the ExampleSpec has it"
            )


def _poisoned(rows: Any, fault: jax.Array) -> Any:
    """Rows whose floats are NaN if there is a fault: what they give shows it."""

    def poison(leaf: jax.Array) -> jax.Array:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        return jnp.where(fault, jnp.asarray(jnp.nan, leaf.dtype), leaf)

    return jax.tree.map(poison, rows)


def _check_losses(name: str, losses: Any, rows: Any) -> None:
    """Raises `ValueError` unless there is one loss per row."""
    length = _length(rows)
    if length is not None and jnp.shape(losses) != (length,):
        raise ValueError(
            f"losses: got shape {jnp.shape(losses)}, expected ({length},) for {name}, "
            "one per example, padded like the state"
        )


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
        terms = function(terms, batch, **extra)
        check_terms(name, terms)
        return terms, state

    return LossTransform(init, update, no_epoch, (stage,), name)
