"""Reading batches, whatever holds them, and checking whom their indices mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import checkify

from robustjax import checks

_REQUIRED = object()


def _names(batch: Any) -> list[str]:
    """What a batch holds, for error messages."""
    if isinstance(batch, Mapping):
        return sorted(str(key) for key, value in batch.items() if value is not None)
    if dataclasses.is_dataclass(batch):
        return [field.name for field in dataclasses.fields(batch)]
    return list(getattr(batch, "_fields", ()))


def entry(batch: Any, key: str, default: Any = _REQUIRED) -> Any:
    """Returns `batch[key]` of a mapping, `batch.key` of anything else.

    Args:
      batch: a mapping, NamedTuple or dataclass.
      key: the name of an entry.
      default: what is returned where the batch lacks it; without one, an error.

    Raises:
      TypeError: the entry is missing, or the batch has no entries at all.
    """
    if isinstance(batch, Mapping):
        value = batch.get(key)
    else:
        value = getattr(batch, key, None)
        # A tuple has a method of this name.
        value = None if callable(value) else value
    if value is not None:
        return value
    if default is not _REQUIRED:
        return default
    names = _names(batch)
    found = ", ".join(names) if names else f"{type(batch).__name__} without names"
    raise TypeError(
        f"batch: got {found}, expected a mapping, NamedTuple or dataclass with {key!r}"
    )


def check_mask(mask: Any) -> None:
    """Raises unless a mask holds truths: weights and row numbers would be lost in it.

    Raises:
      TypeError: neither bool nor integers.
      ValueError: integers beside 0 and 1, unless traced; see `checks.untrue`.
    """
    dtype = mask.dtype if hasattr(mask, "dtype") else np.asarray(mask).dtype
    if not (np.dtype(dtype).kind == "b" or jnp.issubdtype(dtype, jnp.integer)):
        raise TypeError(
            f"batch['mask']: got {dtype}, expected bool; weights of examples are those "
            "of given_weights, or multiply terms.weight"
        )
    checks.truths("batch['mask']", mask)


def index_of(batch: Any, mask: jax.Array | np.ndarray) -> Any:
    """The batch's `index`, as it was given, after checking its shape and dtype.

    Raises:
      TypeError: no index, or one that does not hold integers.
      ValueError: another shape than the mask's.
    """
    index = entry(batch, "index")
    if not hasattr(index, "dtype"):
        index = np.asarray(index)
    if not jnp.issubdtype(index.dtype, jnp.integer):
        raise TypeError(f"batch['index']: got {index.dtype}, expected integers")
    if index.shape != mask.shape:
        raise ValueError(
            f"batch['index']: got shape {index.shape}, expected {mask.shape}, one per "
            "example of the batch"
        )
    return index


def device_index(index: Any) -> jax.Array:
    """A batch's index as int32, where numbers beyond stay beyond every example.

    Of another width it would wrap around, be it by the cast or in a comparison: the
    number that stands for padding need not fit into an index of 8 bits.
    """
    low, high = -1, np.iinfo(np.int32).max
    if not isinstance(index, jax.Array):
        return jnp.asarray(np.clip(index, low, high).astype(np.int32))
    if index.dtype == jnp.int32:
        return index
    bounds = jnp.iinfo(index.dtype)
    clipped = jnp.clip(index, max(low, bounds.min), min(high, bounds.max))
    return clipped.astype(jnp.int32)


def _refuse_outside(index: np.ndarray, num_examples: int) -> None:
    outside = index[(index < 0) | (index >= num_examples)]
    if outside.size:
        raise ValueError(
            f"batch['index']: {outside.size} of {index.size} out of range (first: "
            f"{outside[0]}), expected 0 … {num_examples - 1}: positions among the "
            "examples of the ExampleSpec, not ids of another set"
        )


def _refuse_twice(index: np.ndarray) -> None:
    values, counts = np.unique(index, return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"batch['index']: {int((counts > 1).sum())} example(s) occur more than "
            f"once in the batch (first: {values[counts > 1][0]}); their rows would be "
            "written twice. Draw batches without replacement"
        )


def outside_fault(index: Any, mask: jax.Array, num_examples: Any) -> jax.Array | None:
    """Whether a real example's index is not in 0 … num_examples - 1.

    Args:
      index: (B,) integers, as they were given.
      mask: (B,) bool, False on padding, whose index is free.
      num_examples: N.

    Returns:
      () bool, or None where all values are known and right.

    Raises:
      ValueError: values that are known and wrong.
    """
    if not checks.is_traced((index, mask, num_examples)):
        with jax.transfer_guard("allow"):
            _refuse_outside(np.asarray(index)[np.asarray(mask)], int(num_examples))
        return None
    index = device_index(index)
    fault = jnp.any(mask & ((index < 0) | (index >= num_examples)))
    checkify.debug_check(
        ~fault,
        "batch['index']: got {index}, expected 0 … num_examples - 1 where not masked",
        index=index,
    )
    return fault


def duplicate_fault(index: Any, mask: jax.Array) -> jax.Array | None:
    """Whether two real examples of a batch have one index; see `outside_fault`."""
    if not checks.is_traced((index, mask)):
        with jax.transfer_guard("allow"):
            _refuse_twice(np.asarray(index)[np.asarray(mask)])
        return None
    index = device_index(index)
    # Padding gets numbers of its own, below all others.
    ordered = jnp.sort(jnp.where(mask, index, -1 - jnp.arange(index.shape[0])))
    fault = jnp.any(ordered[1:] == ordered[:-1])
    checkify.debug_check(
        ~fault,
        "batch['index']: got {index}, expected every example once in a batch",
        index=index,
    )
    return fault


def merge_faults(*faults: jax.Array | None) -> jax.Array | None:
    """Whether there is any of the faults; None if none was looked for."""
    found = [fault for fault in faults if fault is not None]
    if not found:
        return None
    merged = found[0]
    for fault in found[1:]:
        merged = merged | fault
    return merged


def check_batch(batch: Any, num_examples: int, num_classes: int | None = None) -> None:
    """Checks a batch on the host, for loaders; see also `update`, which does less.

    Inside a compiled step a wrong index can only turn the loss into NaN, and 64-bit
    ids have lost their upper half before the step sees them. This sees everything,
    and costs a copy to the host if the batch lies on a device.

    Args:
      batch: `index` (B,) and, if there are classes to check, `label` (B, ...)
        integers or (B, ..., C) floats; optionally `mask`.
      num_examples: N.
      num_classes: C; None leaves the labels alone.

    Raises:
      TypeError: a missing entry, or one of the wrong kind.
      ValueError: an index out of range or twice, labels out of range, shapes.
    """
    index = np.asarray(entry(batch, "index"))
    mask = entry(batch, "mask", None)
    given: np.ndarray = np.ones(index.shape, bool)
    if mask is not None:
        check_mask(mask)
        given = np.asarray(mask, bool)
    of_examples = np.any(given.reshape(given.shape[0], -1), axis=1)
    real = np.asarray(index_of({"index": index}, of_examples))[of_examples]
    _refuse_outside(real, num_examples)
    _refuse_twice(real)
    if num_classes is None:
        return
    labels = np.asarray(entry(batch, "label"))
    if labels.shape[:1] != index.shape:
        raise ValueError(
            f"batch['label']: got shape {labels.shape}, expected ({index.size}, …)"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        if labels.ndim < 2 or labels.shape[-1] != num_classes:
            raise ValueError(
                f"batch['label']: got {labels.dtype} of shape {labels.shape}, expected "
                f"integers or distributions over {num_classes} classes"
            )
        return
    counted = labels[given if given.shape == labels.shape else of_examples]
    outside = counted[(counted < 0) | (counted >= num_classes)]
    if outside.size:
        raise ValueError(
            f"batch['label']: {outside.size} label(s) out of range (first: "
            f"{outside[0]}), expected 0 … {num_classes - 1}"
        )
