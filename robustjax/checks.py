"""Early, precise errors for bad arguments.

Every helper names the argument, what was got and what was expected, and lets
traced values pass: a hyperparameter injected into a compiled program can only be
checked where it enters.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from robustjax import arrays
from robustjax._choices import one_of as one_of

# Labels far beyond their number are ids, not class indices; what is as long as the
# number of classes must not fill the memory.
_MOST_CLASSES = 2**20
_CLASSES_PER_LABEL = 16


@contextlib.contextmanager
def errors_name(**names: str) -> Iterator[None]:
    """Errors about an argument name what whoever calls gave: argument -> its name."""
    try:
        yield
    except ValueError as error:
        argument, colon, rest = str(error).partition(":")
        if not colon or argument not in names:
            raise
        raise ValueError(f"{names[argument]}:{rest}") from None


def is_traced(value: Any) -> bool:
    """Whether any leaf of `value` is a JAX tracer (so its value is not known)."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value))


def in_range(
    name: str,
    value: Any,
    low: float = -np.inf,
    high: float = np.inf,
    *,
    low_open: bool = False,
    high_open: bool = False,
) -> None:
    """Raises `ValueError` unless the number `value` lies between `low` and `high`."""
    if is_traced(value):
        return
    number = np.asarray(value)
    above = number > low if low_open else number >= low
    below = number < high if high_open else number <= high
    if not np.all(above & below):
        left, right = "(" if low_open else "[", ")" if high_open else "]"
        raise ValueError(
            f"{name}: got {value}, expected a number in {left}{low:g}, {high:g}{right}"
        )


def at_least(name: str, value: int, minimum: int) -> None:
    """Raises `ValueError` unless `value` is an integer that is at least `minimum`."""
    try:
        # NaN is not below anything, and half an epoch would pass for one.
        whole = operator.index(value)
    except TypeError:
        whole = minimum - 1
    if whole < minimum:
        raise ValueError(f"{name}: got {value}, expected an integer >= {minimum}")


def no_effect(name: str, value: Any, default: Any, why: str) -> None:
    """Raises `ValueError` for an option that would change nothing here.

    Args:
      name: what to call the argument in an error.
      value: what it is; one that is traced passes.
      default: with which it passes.
      why: what the error goes on with, "with kind='simple'", say.
    """
    if not is_traced(value) and value != default:
        raise ValueError(f"{name}: got {value} {why}, expected its default, {default}")


def rank(name: str, array: Any, expected: int | Sequence[int]) -> None:
    """Raises `ValueError` unless the array's rank is (one of) the expected."""
    ranks = (expected,) if isinstance(expected, int) else tuple(expected)
    if np.ndim(array) not in ranks:
        wanted = " or ".join(str(r) for r in ranks)
        raise ValueError(f"{name}: got shape {np.shape(array)}, expected rank {wanted}")


def truth(name: str, values: Any) -> None:
    """Raises `ValueError` for anything but bool.

    Numbers of classes, such as answers, are easily taken for truth values.
    """
    dtype = getattr(values, "dtype", None)
    dtype = np.asarray(values).dtype if dtype is None else np.dtype(dtype)
    if dtype.kind != "b":
        raise ValueError(f"{name}: got {dtype.name}, expected bool")


def truths(name: str, values: Any) -> Any:
    """Returns truth values after checking that they are such, or 0 and 1.

    Numbers of rows are easily taken for a mask of rows, and any but 0 count as true.

    Args:
      name: what to call the argument in an error.
      values: bools or numbers, possibly traced. Of traced integers `untrue` tells
        whether they are neither.

    Returns:
      A NumPy array of bools, or a JAX array as it is.

    Raises:
      ValueError: a number that is neither 0 nor 1, or traced floats, which may be
        probabilities or weights.
    """
    if isinstance(values, jax.Array) and (is_traced(values) or values.dtype == bool):
        if jax.dtypes.issubdtype(values.dtype, np.inexact):
            raise ValueError(
                f"{name}: got {values.dtype} of unknown values, expected bools, or "
                "integers 0 and 1"
            )
        return values
    with jax.transfer_guard("allow"):
        array = arrays.numbers(name, values)
    if array.dtype != bool:
        other = array[(array != 0) & (array != 1)]
        if other.size:
            raise ValueError(f"{name}: got {other[0]}, expected bools, or 0 and 1")
    return array.astype(bool, copy=False)


def untrue(values: Any) -> jax.Array | None:
    """Whether traced integers that were taken for truth values are neither 0 nor 1.

    Args:
      values: what `truths` let pass.

    Returns:
      () bool, traced, or None of truth values that are known.
    """
    if not is_traced(values) or values.dtype == bool:
        return None
    found: jax.Array = ((values != 0) & (values != 1)).any()
    return found


def same_length(**arrays: Any) -> int:
    """Raises `ValueError` unless all arrays have one length; returns it."""
    lengths = {name: np.shape(array)[0] for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(
            f"{next(iter(lengths))}: lengths differ ({listed}), expected one length"
        )
    return next(iter(lengths.values()))


def finite(name: str, array: Any, *, first_row: int = 0) -> None:
    """Raises `ValueError` naming the first row that holds a NaN or an infinity.

    Args:
      name: what to call the argument in an error.
      array: numbers.
      first_row: the number of the first of these rows.
    """
    array = np.asarray(array)
    # NumPy does not know that bfloat16 is a float; JAX does.
    if not jax.dtypes.issubdtype(array.dtype, np.inexact) or not array.size:
        return
    rows = array.reshape(array.shape[0], -1) if array.ndim else array.reshape(1, 1)
    # The sum of a row is finite whenever the row is, short of overflow, and takes
    # no N-by-d temporary; the exact check runs only on suspicious rows.
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = np.flatnonzero(~np.isfinite(rows.sum(axis=1)))
    bad = [row for row in suspicious if not np.isfinite(rows[row]).all()]
    if bad:
        raise ValueError(
            f"{name}: {len(bad)} row(s) hold NaN or infinity (first: row "
            f"{bad[0] + first_row}), expected finite values"
        )


def labels(
    name: str,
    values: Any,
    num_classes: int | None = None,
    *,
    need_every_class: bool = False,
) -> np.ndarray:
    """Returns hard labels as int32 after checking dtype, range and coverage.

    Args:
      name: what to call the argument in an error.
      values: (N,) integers.
      num_classes: the number of classes; by default the largest label plus one.
      need_every_class: whether a class without any example is an error.

    Raises:
      ValueError: for float or NaN labels, a wrong rank, a label outside
        `0 … num_classes - 1`, (if asked for) an empty class, or, where the number of
        classes is not given, a label that makes it absurdly large.
    """
    array = arrays.numbers(name, values, 1)
    if array.size == 0:
        raise ValueError(f"{name}: got no labels, expected at least one")
    if not np.issubdtype(array.dtype, np.integer):
        found = array.dtype.name
        if np.issubdtype(array.dtype, np.floating) and np.isnan(array).any():
            found += f" with NaN at row {int(np.flatnonzero(np.isnan(array))[0])}"
        raise ValueError(f"{name}: got {found}, expected integer class indices")
    if num_classes is None:
        row = int(array.argmax())
        top = int(array[row]) + 1
        if top > max(_MOST_CLASSES, _CLASSES_PER_LABEL * array.size):
            raise ValueError(
                f"{name}: got {array[row]} at row {row} of {array.size}, expected "
                "class indices 0 … C - 1; number ids by np.unique(…, "
                "return_inverse=True)"
            )
    else:
        top = num_classes
        if top > 2**31:
            raise ValueError(
                f"num_classes: got {num_classes}, expected at most {2**31}, whose "
                "labels int32 holds"
            )
    outside = np.flatnonzero((array < 0) | (array >= top))
    if outside.size:
        row = int(outside[0])
        raise ValueError(
            f"{name}: {outside.size} label(s) out of range (first: {array[row]} at "
            f"row {row}), expected 0 … {top - 1}"
        )
    if need_every_class:
        _need_every_class(name, array, top)
    return array.astype(np.int32)


def _need_every_class(name: str, labels: np.ndarray, num_classes: int) -> None:
    present = np.unique(labels)
    missing = num_classes - present.size
    if missing:
        # The first few that are absent lie within the first few numbers more.
        few = np.arange(min(num_classes, present.size + 6))
        empty = np.setdiff1d(few, present)[:5]
        shown = ", ".join(map(str, empty)) + (" …" if missing > 5 else "")
        raise ValueError(
            f"{name}: class(es) {shown} have no example, expected every one of "
            f"the {num_classes} classes to occur"
        )


def unique_ids(name: str, ids: Any) -> np.ndarray:
    """Returns ids as an array of integers or strings after checking them.

    Args:
      name: what to call the argument in an error.
      ids: (N,) integers or strings; also as objects, as pandas has its strings. Of
        both, all become strings.

    Raises:
      ValueError: a wrong rank, ids of another kind, duplicates.
    """
    # A list is looked at item by item: NumPy turns ["a", nan] into two strings.
    array = np.asarray(ids, object if isinstance(ids, list | tuple) else None)
    rank(name, array, 1)
    if array.dtype.kind in "OT":
        for row, value in enumerate(array):
            good = isinstance(value, str | int | np.integer)
            if not good or isinstance(value, bool):
                raise ValueError(
                    f"{name}: got {value!r} at row {row}, expected integers or strings"
                )
        array = np.array(array.tolist() or np.zeros(0, int))
    if array.dtype.kind not in "iuU":
        raise ValueError(
            f"{name}: got {array.dtype.name}, expected integers or strings"
        )
    values, counts = np.unique(array, return_counts=True)
    if (counts > 1).any():
        twice = values[counts > 1]
        raise ValueError(
            f"{name}: {twice.size} id(s) occur more than once (first: "
            f"{twice[0].item()!r}), expected unique ids"
        )
    return array


def stochastic(name: str, matrix: Any, num_classes: int | None = None) -> None:
    """Raises `ValueError` unless `matrix` is square with rows on the simplex."""
    if is_traced(matrix):
        return
    array = np.asarray(matrix)
    size = array.shape[-1] if num_classes is None else num_classes
    if array.shape[-2:] != (size, size):
        raise ValueError(
            f"{name}: got shape {array.shape}, expected (…, {size}, {size})"
        )
    if (array < 0).any() or not np.allclose(array.sum(-1), 1.0, atol=1e-4):
        raise ValueError(
            f"{name}: rows sum to {array.sum(-1).min():.6g} … "
            f"{array.sum(-1).max():.6g} and the smallest entry is {array.min():.6g}, "
            "expected non-negative rows that sum to 1"
        )


def one_auto_axis(name: str, mesh: jax.sharding.Mesh) -> None:
    """Raises `ValueError` unless a mesh has one axis, of the Auto kind."""
    kinds = tuple(mesh.axis_types)
    if kinds != (jax.sharding.AxisType.Auto,):
        raise ValueError(
            f"{name}: got axes {mesh.axis_names} of kinds "
            f"{[kind.name for kind in kinds]}, expected one of kind Auto, such as "
            "training.data_mesh() makes"
        )
