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
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from robustjax import arrays, checks
from robustjax.losses._per_class import wide_logits
from robustjax.transforms._batches import check_mask, entry

Batch = Any
"""What a step sees, a mapping, NamedTuple or dataclass: `index` (B,) integers, `label`
(B, ...) integers or (B, ..., C) floats and, optionally, `mask`, (B,) or (B, ...) bool
that is False on padding. Other entries pass through."""


AxisName = str | tuple[str, ...] | None
"""The mapped device axis (or axes) over which a batch is split, else None."""


@dataclasses.dataclass(frozen=True)
class ExampleSpec:
    """How many examples and classes the per-example state is made for.

    Attributes:
      num_examples: the number of training examples, N.
      num_classes: the number of classes, C.
      pad_to: the example axis is padded to a multiple of this, so that it can be
        divided among that many devices.
      positions: the shape of an example's labels: () for classification, (H, W) for
        segmentation, (T,) for tokens. Per-class memory takes C numbers a position.
    """

    num_examples: int
    num_classes: int
    pad_to: int = 1
    positions: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        checks.at_least("num_examples", self.num_examples, 1)
        checks.at_least("num_classes", self.num_classes, 2)
        checks.at_least("pad_to", self.pad_to, 1)
        for size in self.positions:
            checks.at_least("positions", size, 1)

    @property
    def padded_examples(self) -> int:
        """The length of the example axis; also the index that marks padding."""
        return -(-self.num_examples // self.pad_to) * self.pad_to


class LossState(NamedTuple):
    """Per-example memory, split so that sharding it is trivial.

    Attributes:
      rows: pytree whose every leaf leads with the padded example axis.
      shared: small pytree, replicated over devices. Of `rowwise` it is a dict that
        holds "num_examples", N, from which indices are checked.
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

    Where an example has many labels (pixels, tokens), its value is the mean over
    them, and everything after the head is per example as ever.

    Attributes:
      labels: (B, ...) class indices or (B, ..., C) distributions that the head will
        use; of plain classification (B,) or (B, C).
      value: (B,) loss values.
      weight: (B,) non-negative weights of the values.
      mask: (B,) bool, False on padding.
      penalties: additive terms with means of their own.
      reduction: how the values become one number.
      positions: (B, ...) bool, which labels of an example count, or None where an
        example has one label.
      per_example: whether the mean is over examples and not over positions, so that
        an example with few positions counts as much as one with many.
      whole: (mask, positions) of all examples, where `only_where` narrowed those above
        for a transform; None elsewhere. Means are over all.
      fault: () bool, whether an index of the batch or its mask was found to be wrong,
        or None; `reduce` is NaN then.
    """

    labels: jax.Array
    value: jax.Array
    weight: jax.Array
    mask: jax.Array
    penalties: tuple[Penalty, ...] = ()
    reduction: Reduction = dataclasses.field(
        default=Reduction.MEAN, metadata={"static": True}
    )
    positions: jax.Array | None = None
    per_example: bool = dataclasses.field(default=False, metadata={"static": True})
    whole: tuple[jax.Array, jax.Array | None] | None = None
    fault: jax.Array | None = None

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


def own_constants(function: Callable[..., Any]) -> Callable[..., Any]:
    """Lets a function that runs outside of `jit` put its own constants on the device.

    Under `jax.transfer_guard("disallow")` a literal in an eager operation is an
    implicit transfer, although it is not the user's data that moves.
    """

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with jax.transfer_guard_host_to_device("allow"):
            return function(*args, **kwargs)

    return wrapped


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


def start(batch: Batch, *, per_example: bool = False) -> Terms:
    """Opens the terms of a batch: zero values, unit weights, labels as given.

    Args:
      batch: `label` (B, ...) integers or (B, ..., C) floats; optionally `mask`, (B,)
        bool that is False on padding, or of the labels' shape, False on every label
        that does not count.
      per_example: of examples with many labels, whether to average over examples;
        by default every position that counts has the same share of the mean.

    Raises:
      TypeError: a batch without labels, or a mask that holds neither bool nor integers.
      ValueError: a mask of another shape, or of other integers than 0 and 1. Inside a
        compiled program such integers make the loss NaN instead.
    """
    labels = arrays.labels_for(entry(batch, "label"))
    hard = jnp.issubdtype(labels.dtype, jnp.integer) or labels.dtype == bool
    if labels.ndim < (1 if hard else 2):
        raise ValueError(
            f"batch['label']: got {labels.dtype} of shape {labels.shape}, expected "
            "(B, …) integers or (B, …, C) floats"
        )
    shape = labels.shape if hard else labels.shape[:-1]
    size = shape[0]
    mask, positions = entry(batch, "mask", None), None
    fault: jax.Array | None = None
    if mask is None:
        mask = jnp.ones(size, bool)
    else:
        check_mask(mask)
        fault = checks.untrue(mask)
        mask = jnp.asarray(mask).astype(bool)
        if mask.shape not in ((size,), shape):
            wanted = f"({size},)" + (f" or {shape}" if len(shape) > 1 else "")
            raise ValueError(
                f"batch['mask']: got shape {mask.shape}, expected {wanted}, as the "
                "labels have it"
            )
    if len(shape) > 1:
        positions = mask
        if mask.ndim == 1:
            positions = jnp.broadcast_to(over_examples(mask, len(shape)), shape)
        mask = jnp.any(positions.reshape(size, -1), axis=1)
    return Terms(
        labels=labels,
        value=jnp.zeros(size, jnp.float32),
        weight=jnp.ones(size, jnp.float32),
        mask=mask,
        positions=positions,
        per_example=per_example,
        fault=fault,
    )


def over_examples(per_example: jax.Array, rank: int) -> jax.Array:
    """Gives (B,) numbers as many trailing axes of 1 as make the given rank."""
    return per_example.reshape(per_example.shape + (1,) * (rank - 1))


def need(name: str, extra: Mapping[str, Any], key: str) -> Any:
    """Returns `extra[key]`, or says which transform misses which argument.

    Logits that are not on a device come without what their examples have in common,
    which a cast to float32 would pay for with their differences.
    """
    value = extra.get(key)
    if value is None:
        given = ", ".join(sorted(k for k, v in extra.items() if v is not None))
        raise TypeError(
            f"{name}: needs the argument {key!r}, got {given or 'nothing'}; pass it "
            f"as {key}=…"
        )
    if key.endswith("logits") and not isinstance(value, jax.Array):
        return wide_logits(value, key)
    return value


def need_shape(
    name: str, extra: Mapping[str, Any], key: str, shape: tuple[int, ...]
) -> jax.Array:
    """Returns `extra[key]` as an array, after checking its shape against the state's.

    Raises:
      TypeError: it is missing.
      ValueError: another shape.
    """
    array = jnp.asarray(need(name, extra, key))
    if array.shape != shape:
        raise ValueError(
            f"{key}: got shape {array.shape}, expected {shape} for {name}, by the "
            "num_classes and positions of the ExampleSpec"
        )
    return array
