"""Group DRO: the weights of groups follow their losses.

Sagawa, Koh, Hashimoto, Liang, "Distributionally Robust Neural Networks for Group
Shifts: On the Importance of Regularization for Worst-Case Generalization", ICLR 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import checkify

from robustjax import checks
from robustjax.transforms._base import (
    AxisName,
    Batch,
    ExampleSpec,
    LossState,
    LossTransform,
    Reduction,
    Stage,
    Terms,
    no_epoch,
    own_constants,
)
from robustjax.transforms._batches import device_index, entry, merge_faults
from robustjax.transforms._reduction import positions_of


def group_means(
    values: jax.Array,
    groups: jax.Array,
    mask: jax.Array,
    num_groups: int,
    axis_name: AxisName = None,
    sizes: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """The mean value of every group of a batch, and how many examples it has there.

    Args:
      values: (B,) floats.
      groups: (B,) integers in 0 … G-1; free on padding.
      mask: (B,) bool, False on padding.
      num_groups: G.
      axis_name: the mapped device axis over which a batch is split, else None.
      sizes: (B,) how often each value counts, >= 0; by default once.

    Returns:
      (means (G,), 0 for a group that the batch lacks; counts (G,) float32).

    Raises:
      ValueError: a mask of other values than bools, or 0 and 1.
    """
    mask = jnp.asarray(checks.truths("mask", mask), bool)
    where = jnp.where(mask, groups, num_groups)
    size = mask.astype(jnp.float32)
    if sizes is not None:
        values, size = values * sizes, jnp.where(mask, sizes, 0.0)
    total = jax.ops.segment_sum(jnp.where(mask, values, 0.0), where, num_groups)
    count = jax.ops.segment_sum(size, where, num_groups)
    if axis_name is not None:
        total, count = jax.lax.psum((total, count), axis_name)
    return total / _positive(count), count


def _positive(count: jax.Array) -> jax.Array:
    """1 where there is nothing; sums of weights may be smaller."""
    return jnp.where(count > 0, count, 1.0)


def group_dro(
    num_groups: int,
    step_size: float = 0.01,
    *,
    adjustment: float = 0.0,
    group_counts: Sequence[int] | np.ndarray | None = None,
) -> LossTransform:
    """`sum_g q_g l_g`: groups of large loss get exponentially growing weights.

    With l_g the mean value of group g in the batch, `q_g <- q_g exp(step_size l_g)`,
    then normalised, *before* the loss is taken; q starts uniform and is
    `shared["group_weight"]`, (G,). A group that the batch lacks has l_g = 0: its weight
    falls relative to the others'. With a step size of 0 the loss is the mean of the
    group means, 1/G of each. Stands after the head; a value is multiplied by its weight
    in its group's mean, which is one over the weights where a transform before asks for
    that, as `given_weights` and `small_loss` do. The batch holds `group`, (B,) integers
    in 0 … G-1.

    The size adjustment: q follows `l_g + adjustment / sqrt(n_g)`, n_g the group's
    examples in the data set, for groups that the batch lacks as well. The authors' code
    adds it to the loss, too, which changes the number that is reported and no gradient;
    here it is not in the loss.

    Published: step size 0.01, batches in which all groups are equally likely, strong
    weight decay or early stopping. Without them the training loss of every group goes
    to zero and the method does nothing.

    Where the batch is split under `pmap` or `shard_map`, pass `update` the mapped axis
    as `axis_name=`.

    Args:
      num_groups: G.
      step_size: eta >= 0.
      adjustment: K >= 0.
      group_counts: (G,) examples of every group, >= 1; needed with an adjustment.

    Raises:
      ValueError: numbers outside their range, counts of another length, an empty group;
        in `update`, values that are to be summed (`alpha_weights` with
        weighting="literal"), of which no mean is left, or a group out of range where it
        is known. Inside a compiled program the loss becomes NaN instead.
    """
    name = "group_dro"
    checks.at_least("num_groups", num_groups, 1)
    checks.in_range("step_size", step_size, 0)
    checks.in_range("adjustment", adjustment, 0)
    adjusts = checks.is_traced(adjustment) or adjustment > 0
    extra_loss: Any = np.zeros(num_groups, np.float32)
    if adjusts and group_counts is None:
        raise ValueError(
            f"group_counts: got None with adjustment {adjustment}, expected the number "
            "of examples of every group"
        )
    if group_counts is not None:
        counts = _checked_counts(group_counts, num_groups)
        extra_loss = adjustment / np.sqrt(counts).astype(np.float32)

    def init(spec: ExampleSpec, /) -> LossState:
        del spec
        weight = jnp.full(num_groups, 1 / num_groups, jnp.float32)
        return LossState(rows=(), shared={"group_weight": weight})

    def update(
        terms: Terms, state: LossState, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, LossState]:
        axis_name = extra.get("axis_name")
        if terms.reduction is Reduction.SUM:
            raise ValueError(
                f"{name}: got terms that a transform before it wants summed "
                "(alpha_weights with weighting='literal', say), expected a mean"
            )
        group = entry(batch, "group")
        fault = _outside(group, terms.mask, num_groups)
        group = device_index(group)
        value, sizes = terms.weight * terms.value, jnp.ones_like(terms.weight)
        if terms.positions is not None and not terms.per_example:
            # As `reduce` counts them: each position as much as every other.
            sizes = positions_of(terms)
        if terms.reduction is Reduction.WEIGHTED_MEAN:
            value, sizes = terms.value, sizes * terms.weight
        mean, count = group_means(
            value, group, terms.mask, num_groups, axis_name, sizes
        )
        push = step_size * (jax.lax.stop_gradient(mean) + extra_loss)
        # As logits, so that no exponential overflows.
        weight = jax.nn.softmax(jnp.log(state.shared["group_weight"]) + push)
        share = weight / _positive(count)
        share = share.at[group].get(mode="clip")
        terms = terms.replace(
            weight=terms.weight * share,
            reduction=Reduction.SUM,
            fault=merge_faults(terms.fault, fault),
        )
        return terms, state._replace(shared={"group_weight": weight})

    return LossTransform(own_constants(init), update, no_epoch, (Stage.SELECT,), name)


def _checked_counts(counts: Any, num_groups: int) -> np.ndarray:
    array = np.asarray(counts)
    if array.shape != (num_groups,):
        raise ValueError(
            f"group_counts: got shape {array.shape}, expected ({num_groups},), one per "
            "group"
        )
    if array.dtype.kind not in "iu":
        # Shares, or a mask of groups, are easily taken for numbers of examples.
        raise ValueError(f"group_counts: got {array.dtype.name}, expected integers")
    empty = np.flatnonzero(array < 1)
    if empty.size:
        raise ValueError(
            f"group_counts: group {empty[0]} has {array[empty[0]]} examples, expected "
            "at least one in every group"
        )
    return array


def _outside(group: Any, mask: jax.Array, num_groups: int) -> jax.Array | None:
    """Whether a real example's group is not in 0 … G-1; None where known not to be."""
    dtype = group.dtype if hasattr(group, "dtype") else np.asarray(group).dtype
    if not jnp.issubdtype(dtype, jnp.integer):
        raise TypeError(f"batch['group']: got {dtype}, expected integers")
    if np.shape(group) != mask.shape:
        raise ValueError(
            f"batch['group']: got shape {np.shape(group)}, expected {mask.shape}, one "
            "per example of the batch"
        )
    if not checks.is_traced((group, mask)):
        with jax.transfer_guard("allow"):
            known = np.asarray(group)[np.asarray(mask)]
        wrong = known[(known < 0) | (known >= num_groups)]
        if wrong.size:
            raise ValueError(
                f"batch['group']: {wrong.size} of {known.size} out of range (first: "
                f"{wrong[0]}), expected 0 … {num_groups - 1}"
            )
        return None
    number = device_index(group)
    fault = jnp.any(mask & ((number < 0) | (number >= num_groups)))
    checkify.debug_check(
        ~fault,
        "batch['group']: got {group}, expected 0 … num_groups - 1 where not masked",
        group=number,
    )
    return fault
