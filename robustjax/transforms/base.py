"""What flows through a chain of loss transforms, and what a transform is.

A *loss transform* is to the loss what an optax transformation is to the gradient: a
triple of pure functions that can be chained. Per-example `Terms` flow through
`update`; per-example memory (weights, running targets, noise variables) lives in
the `rows` of a `LossState`, one row per example of the data set, addressed by the
example's stable index.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from robustjax import checks

Batch = Mapping[str, Any]
"""What a step sees: `index` (B,) int32, `label` (B,) integers or (B, C) floats and,
optionally, `mask` (B,) bool that is False on padding. Other entries pass through."""


@dataclasses.dataclass(frozen=True)
class ExampleSpec:
    """How many examples and classes the per-example state is made for.

    Attributes:
      num_examples: the number of training examples, N.
      num_classes: the number of classes, C.
      pad_to: the example axis is padded to a multiple of this, so that it can be
        divided among that many devices.
    """

    num_examples: int
    num_classes: int
    pad_to: int = 1

    def __post_init__(self) -> None:
        checks.at_least("num_examples", self.num_examples, 1)
        checks.at_least("num_classes", self.num_classes, 2)
        checks.at_least("pad_to", self.pad_to, 1)

    @property
    def padded_examples(self) -> int:
        """The length of the example axis; also the index that marks padding."""
        return -(-self.num_examples // self.pad_to) * self.pad_to


class LossState(NamedTuple):
    """Per-example memory, split so that sharding it is trivial.

    Attributes:
      rows: pytree whose every leaf leads with the padded example axis.
      shared: small pytree, replicated over devices.
    """

    rows: Any
    shared: Any


class Penalty(NamedTuple):
    """An additive term with a mean of its own (say, over out-of-distribution data).

    Attributes:
      value: (M,) values.
      weight: scalar coefficient of their mean.
      mask: (M,) bool, False on padding, which the mean leaves out; by default all
        values count. The mean of padding alone is 0.
    """

    value: jax.Array
    weight: jax.Array | float
    mask: jax.Array | None = None


class Reduction(enum.Enum):
    """How `reduce` turns weighted values into one number."""

    MEAN = "mean"
    """Divide by the number of real examples (not by the sum of weights)."""
    SUM = "sum"
    """Do not divide."""
    WEIGHTED_MEAN = "weighted_mean"
    """Divide by the sum of weights."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Terms:
    """Per-example terms of a loss under construction.

    Attributes:
      labels: (B,) class indices or (B, C) distributions that the head will use.
      value: (B,) loss values.
      weight: (B,) non-negative weights of the values.
      mask: (B,) bool, False on padding.
      penalties: additive terms with means of their own.
      reduction: how the values become one number.
    """

    labels: jax.Array
    value: jax.Array
    weight: jax.Array
    mask: jax.Array
    penalties: tuple[Penalty, ...] = ()
    reduction: Reduction = dataclasses.field(
        default=Reduction.MEAN, metadata={"static": True}
    )

    def replace(self, **changes: Any) -> Terms:
        """Returns a copy with the given fields changed."""
        return dataclasses.replace(self, **changes)


class Stage(enum.IntEnum):
    """The place of a transform in a chain; a chain's stages must not decrease."""

    LABELS = 0
    """Rewrites the labels."""
    WEIGHTS = 1
    """Changes the weights."""
    HEAD = 2
    """Sets the per-example values from logits and labels; one per chain."""
    SELECT = 3
    """Changes the weights by looking at the values."""
    ADDITIVE = 4
    """Adds to the values, or adds a penalty."""


class _Init(Protocol):
    def __call__(self, spec: ExampleSpec, /) -> LossState: ...


class _Update(Protocol):
    def __call__(
        self, terms: Terms, state: LossState, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, LossState]: ...


class _Epoch(Protocol):
    def __call__(self, state: LossState, /, **extra: Any) -> LossState: ...


def no_epoch(state: LossState, /, **extra: Any) -> LossState:
    """The epoch rule of a transform that has none."""
    del extra
    return state


class LossTransform(NamedTuple):
    """A composable, stateful, per-example transformation of a loss.

    Attributes:
      init: `(spec) -> state`.
      update: `(terms, state, batch, **extra) -> (terms, state)`, pure and traceable;
        extra may hold `logits`, `features`, `ood_*`, `key`, `step`.
      epoch: `(state, **extra) -> state`, called once after every epoch.
      stages: the stage(s) of the transform, first to last.
      name: for error messages.
      needs: what `epoch` must be given: `"losses"`, the (N_padded,) cross-entropy of
        every example under its current label, in nats.
    """

    init: _Init
    update: _Update
    epoch: _Epoch = no_epoch
    stages: tuple[Stage, ...] = ()
    name: str = "transform"
    needs: frozenset[str] = frozenset()


def start(batch: Batch) -> Terms:
    """Opens the terms of a batch: zero values, unit weights, labels as given.

    Args:
      batch: `label` (B,) integers or (B, C) floats; optionally `mask` (B,) bool.
    """
    labels = jnp.asarray(batch["label"])
    size = labels.shape[0]
    mask = batch.get("mask")
    return Terms(
        labels=labels,
        value=jnp.zeros(size, jnp.float32),
        weight=jnp.ones(size, jnp.float32),
        mask=jnp.ones(size, bool) if mask is None else jnp.asarray(mask, bool),
    )


def reduce(terms: Terms, axis_name: str | None = None) -> jax.Array:
    """Turns terms into the scalar loss; the only place where a mean is taken.

    Numerator and denominator are each summed over `axis_name`, so the result is the
    loss of the global batch on every device. Gradients: under `jax.jit` with sharded
    arrays and under `jax.shard_map` nothing remains to be done; under `jax.pmap`
    each device holds its own share scaled by the device count, so take
    `jax.lax.pmean` of the gradients (a no-op under `shard_map` with its default
    replication check; needed there too with `check_vma=False`).

    Args:
      terms: what the last transform returned.
      axis_name: the mapped device axis under `pmap` or `shard_map`, else None.

    Returns:
      A scalar.
    """

    def total(x: jax.Array) -> jax.Array:
        return x if axis_name is None else jax.lax.psum(x, axis_name)

    numerator = total(jnp.sum(jnp.where(terms.mask, terms.weight * terms.value, 0.0)))
    if terms.reduction is Reduction.SUM:
        loss = numerator
    else:
        by_weight = terms.reduction is Reduction.WEIGHTED_MEAN
        share = terms.weight if by_weight else jnp.ones_like(terms.weight)
        denominator = total(jnp.sum(jnp.where(terms.mask, share, 0.0)))
        # A batch of padding alone has loss 0, not 0/0.
        loss = numerator / jnp.where(denominator > 0, denominator, 1.0)
    for penalty in terms.penalties:
        value = penalty.value
        if penalty.mask is None:
            count = total(jnp.float32(value.size))
        else:
            value = jnp.where(penalty.mask, value, 0.0)
            count = total(jnp.sum(penalty.mask, dtype=jnp.float32))
            count = jnp.where(count > 0, count, 1.0)
        loss = loss + penalty.weight * total(jnp.sum(value)) / count
    return loss


def need(name: str, extra: Mapping[str, Any], key: str) -> Any:
    """Returns `extra[key]`, or says which transform misses which argument."""
    try:
        return extra[key]
    except KeyError:
        given = ", ".join(sorted(extra)) or "nothing"
        raise TypeError(
            f"{name}: needs the argument {key!r}, got {given}; pass it as {key}=…"
        ) from None
