"""The common case in one call, for training loops that exist already."""

from __future__ import annotations

from typing import Any

import jax

from robustjax.losses._per_class import wide_logits
from robustjax.transforms._base import AxisName, LossState, LossTransform, start
from robustjax.transforms._reduction import reduce


def value(
    tx: LossTransform,
    state: LossState,
    logits: jax.Array | None,
    labels: jax.Array,
    index: jax.Array | None = None,
    mask: jax.Array | None = None,
    *,
    axis_name: AxisName = None,
    per_example: bool = False,
    **extra: Any,
) -> tuple[jax.Array, LossState]:
    """The loss of a batch, and the state after it: `start`, `update` and `reduce`.

    To be differentiated with `has_aux=True`. What `extra` holds reaches the
    transforms as arguments and as entries of the batch, so that a `box_head` finds
    its `box` and the function of an `only_where` what it asks for.

    Args:
      tx: a transform with a head, or a chain that has one.
      state: of `tx.init`, or of the last call.
      logits: (B, C) floats, or (B, ..., C) where an example has many labels; None for
        a task without.
      labels: (B, ...) integers or (B, ..., C) distributions.
      index: (B,) integers, which examples these are, from 0; needed by transforms
        with memory.
      mask: (B,) bool, False on padding, or of the labels' shape, False on every label
        that does not count.
      axis_name: the mapped device axis under `pmap` or `shard_map`; see `rowwise`.
      per_example: see `start`.
      **extra: more arguments of the transforms, such as `features`, `ood_logits`,
        `key`, `step`, `local_rows`, `microbatches`.

    Returns:
      (scalar loss, new state). Under `pmap` the gradient needs a `jax.lax.pmean`, as
      `reduce` says.

    Raises:
      TypeError: an argument that a transform needs is missing.
      ValueError: shapes or indices that do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> import robustjax as rj
      >>> tx = rj.chain(rj.ce(), rj.elr(strength=3.0, decay=0.7))
      >>> state = tx.init(rj.ExampleSpec(num_examples=100, num_classes=3))
      >>> logits, labels = jnp.zeros((2, 3)), jnp.array([0, 2])
      >>> loss, state = rj.value(tx, state, logits, labels, index=jnp.array([7, 42]))
      >>> round(float(loss), 3)  # log(3) + 3 log(1 - 0.3 / 3)
      0.783
    """
    if logits is not None and not isinstance(logits, jax.Array):
        logits = wide_logits(logits)
    batch = {**extra, "label": labels, "index": index, "mask": mask}
    terms, state = tx.update(
        start(batch, per_example=per_example),
        state,
        batch,
        logits=logits,
        axis_name=axis_name,
        **extra,
    )
    return reduce(terms, axis_name), state
