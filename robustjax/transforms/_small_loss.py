"""The small-loss trick: learn from the examples of a batch that fit best."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.transforms._base import (
    AxisName,
    Batch,
    LossState,
    LossTransform,
    Reduction,
    Stage,
    Terms,
    own_constants,
)
from robustjax.transforms._batches import merge_faults
from robustjax.transforms._reduction import reweighted

# `int((1 - R) B)` is meant exactly: 0.1 of 10 examples is one, also in float32.
_ROUNDING = 1e-6


def forget_rate_schedule(
    rate: float, num_gradual: int = 10, exponent: float = 1.0
) -> Callable[[jax.Array | int], jax.Array]:
    """Co-teaching's forget rate as a function of the epoch.

    `linspace(0, rate^exponent, num_gradual)[epoch]` while `epoch < num_gradual`,
    `rate` from then on, as the authors' code has it (Han et al., NeurIPS 2018; the
    paper puts the exponent on the time instead). The code counts epochs from 1: R(0)
    is never used, and with exponent 1 the full rate is reached at epoch
    `num_gradual - 1`.

    Args:
      rate: the final rate in [0, 1), the assumed share of wrong labels.
      num_gradual: the number of epochs T_k over which the rate grows, >= 0.
      exponent: > 0.

    Returns:
      `(epoch) -> rate`, traceable; the epoch may be an integer or a float array.

    Raises:
      ValueError: a number outside its range.
    """
    checks.in_range("rate", rate, 0, 1, high_open=True)
    checks.at_least("num_gradual", num_gradual, 0)
    checks.in_range("exponent", exponent, 0, low_open=True)

    def schedule(epoch: jax.Array | int) -> jax.Array:
        share = jnp.asarray(epoch, jnp.float32) / max(num_gradual - 1, 1)
        growing = rate**exponent * share
        return jnp.where(jnp.asarray(epoch) < num_gradual, growing, rate)

    return schedule


def num_kept(
    mask: jax.Array, forget_rate: jax.Array | float, axis_name: AxisName = None
) -> jax.Array:
    """`int((1 - R) B)` with B the number of real examples.

    Args:
      mask: (B,) bool, False on padding.
      forget_rate: R in [0, 1].
      axis_name: the mapped device axis over which a batch is split, else None.

    Returns:
      () int32.
    """
    count = jnp.sum(jnp.asarray(checks.truths("mask", mask), bool))
    if axis_name is not None:
        count = jax.lax.psum(count, axis_name)
    share = 1 - jnp.asarray(forget_rate, jnp.float32) + _ROUNDING
    return jnp.minimum(jnp.floor(share * count).astype(jnp.int32), count)


def small_loss_weights(
    values: jax.Array,
    mask: jax.Array,
    keep: jax.Array | int,
    axis_name: AxisName = None,
) -> jax.Array:
    """Weight 1 for the `keep` real examples of smallest value, 0 for the others.

    Co-teaching weighs one network's values by what this returns for its peer's.

    Args:
      values: (B,) losses. Equal ones are taken in the order of the batch, NaN last.
      mask: (B,) bool, False on padding.
      keep: how many to keep, possibly traced; see `num_kept`.
      axis_name: the mapped device axis over which a batch is split, else None; with
        it, the smallest of the whole batch are kept.

    Returns:
      (B,) float32, without gradient.
    """
    size = values.shape[0]
    mask = jnp.asarray(checks.truths("mask", mask), bool)
    values = jax.lax.stop_gradient(values)
    every, real = values, mask
    if axis_name is not None:
        every = jax.lax.all_gather(values, axis_name, tiled=True)
        real = jax.lax.all_gather(mask, axis_name, tiled=True)
    order = jnp.lexsort((every, ~real))
    rank = jnp.argsort(order)
    if axis_name is not None:
        first = size * jax.lax.axis_index(axis_name)
        rank = jax.lax.dynamic_slice_in_dim(rank, first, size)
    return (mask & (rank < keep)).astype(jnp.float32)


def small_loss(
    forget_rate: float | Callable[[jax.Array], jax.Array], *, first_epoch: int = 1
) -> LossTransform:
    """Keeps the examples of smallest value in every batch and drops the rest.

    Of B real examples the `int((1 - R) B)` smallest keep their weight, the others
    get 0, and the mean is taken over the weights that are left. Stands between the
    head and the additive terms, which are then dropped with the example. Not meant
    for asymmetric noise, where the losses of clean and wrong labels overlap.

    Where the batch is split under `pmap` or `shard_map`, pass `update` the mapped
    axis as `axis_name=` to rank the global batch.

    Args:
      forget_rate: R in [0, 1), or a function of the epoch such as
        `forget_rate_schedule(0.2)`.
      first_epoch: what the first epoch is called; Co-teaching counts from 1.

    Raises:
      ValueError: a rate outside its range or a negative `first_epoch`; in `update`, a
        function's rate outside of it. Inside a compiled program the loss becomes NaN
        instead.

    Example:
      >>> import jax.numpy as jnp
      >>> import robustjax as rj
      >>> tx = rj.chain(rj.ce(), rj.small_loss(forget_rate=0.5))
      >>> state = tx.init(rj.ExampleSpec(num_examples=4, num_classes=2))
      >>> batch = {"index": jnp.arange(2), "label": jnp.array([0, 1])}
      >>> logits = jnp.array([[3.0, 0.0], [3.0, 0.0]])
      >>> terms, _ = tx.update(rj.start(batch), state, batch, logits=logits)
      >>> terms.weight.tolist()
      [1.0, 0.0]
    """
    if not callable(forget_rate):
        checks.in_range("forget_rate", forget_rate, 0, 1, high_open=True)
    checks.in_range("first_epoch", first_epoch, 0)

    def init(spec: Any, /) -> LossState:
        del spec
        return LossState(rows=(), shared={"epoch": jnp.int32(first_epoch)})

    def update(
        terms: Terms, state: LossState, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, LossState]:
        del batch
        axis_name = extra.get("axis_name")
        now = state.shared["epoch"]
        rate = forget_rate(now) if callable(forget_rate) else forget_rate
        with jax.transfer_guard("allow"):
            checks.in_range("forget_rate", rate, 0, 1, high_open=True)
        fault = terms.fault
        if checks.is_traced(rate):
            # Nothing would be kept, and the loss be 0 without a gradient.
            traced = jnp.asarray(rate)
            fault = merge_faults(fault, ~((traced >= 0) & (traced < 1)))
        keep = num_kept(terms.mask, rate, axis_name)
        kept = small_loss_weights(terms.value, terms.mask, keep, axis_name)
        weight = terms.weight * kept
        terms = reweighted("small_loss", terms, weight, Reduction.WEIGHTED_MEAN)
        return terms.replace(fault=fault), state

    def epoch(state: LossState, /, **extra: Any) -> LossState:
        del extra
        return state._replace(shared={"epoch": state.shared["epoch"] + 1})

    return LossTransform(
        own_constants(init), update, own_constants(epoch), (Stage.SELECT,), "small_loss"
    )
