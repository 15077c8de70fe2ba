"""A bias attribute for every example, which mostly agrees with its class.

Nam, Cha, Ahn, Lee, Shin, "Learning from Failure: Training Debiased Classifier from
Biased Classifier" (NeurIPS 2020), as its public code assigns it. There are as many
values as classes, and value k goes with class k: examples are *aligned* where both
agree, *conflicting* where not.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from robustjax import checks

BIAS_ASSIGNMENTS = ("file_order", "random", "bernoulli")
"""How examples get their bias: the file's order, a permutation, or draws."""


def assign_bias(
    labels: Any,
    aligned_ratio: float,
    num_classes: int,
    *,
    assignment: str = "file_order",
    key: jax.Array | None = None,
    order: Any = None,
) -> np.ndarray:
    """Gives examples a bias attribute so that a share of each class is aligned.

    The counts are exact. For n examples of class y and `R[y, y] = a`,
    `R[y, j] = (1 - a) / (C - 1)`, the first `M[y, b] = round(n sum_{j <= b} R[y, j])`
    examples have an attribute of at most b (halves are rounded to the even number).

    Args:
      labels: (N,) integers.
      aligned_ratio: a, in (0, 1); 1 / C makes attribute and class independent, as for
        a test set.
      num_classes: C, >= 2.
      assignment: "file_order", faithful: the i-th example of a class has the
        smallest b with `M[y, b] > i`, the same in every repetition; so the first
        examples of class y have the attributes 0 … y-1, then comes one long aligned
        block, and data of another ratio have mostly the same conflicting examples.
        "random": the same counts, in random order within each class. "bernoulli"
        (Ahn et al., 2022): each example is conflicting with probability 1 - a, with
        another attribute drawn uniformly; counts vary.
      key: PRNG key, for all but "file_order".
      order: (N,) unique integers or strings that sort examples into the order of
        their file, for "file_order"; by default they are in it. (tfds shuffles.)
        Strings that are all numbers sort as these.

    Returns:
      (N,) int32 attributes.

    Raises:
      ValueError: bad labels, a ratio outside (0, 1), an unknown assignment, a missing
        or unused key, an order of another length, or a class that ends up without an
        aligned or without a conflicting example.
    """
    checks.at_least("num_classes", num_classes, 2)
    known = checks.labels("labels", labels, num_classes, need_every_class=True)
    checks.in_range("aligned_ratio", aligned_ratio, 0, 1, low_open=True, high_open=True)
    checks.one_of("assignment", assignment, BIAS_ASSIGNMENTS)
    if (key is None) != (assignment == "file_order"):
        wanted = "none" if key is not None else "a PRNG key"
        raise ValueError(f"key: expected {wanted} with assignment={assignment!r}")
    if order is not None and assignment != "file_order":
        raise ValueError(f"order: expected none with assignment={assignment!r}")
    if assignment == "bernoulli":
        bias = _bernoulli(known, aligned_ratio, num_classes, key)
    else:
        place = np.arange(len(known))
        if order is not None:
            order = checks.unique_ids("order", order)
            checks.same_length(order=order, labels=known)
            if order.dtype.kind == "U" and _are_numbers(order):
                # As text, "10" comes before "9".
                order = checks.unique_ids("order", order.astype(np.int64))
            place = np.argsort(order, kind="stable")
        elif key is not None:
            place = np.asarray(jax.random.permutation(key, len(known)))
        bias = np.empty(len(known), np.int32)
        for label in range(num_classes):
            rows = place[known[place] == label]
            ends = milestones(len(rows), aligned_ratio, label, num_classes)
            bias[rows] = np.searchsorted(ends, np.arange(len(rows)), side="right")
    _check_groups(known, bias, aligned_ratio, num_classes)
    return bias


def _are_numbers(texts: np.ndarray) -> bool:
    """Whether all texts are digits, of numbers that 64 bits hold."""
    return bool(np.char.isdecimal(texts).all() and np.char.str_len(texts).max() < 19)


def milestones(
    count: int, aligned_ratio: float, label: int, num_classes: int
) -> np.ndarray:
    """(C,) int64, how many examples of a class have at most each attribute.

    Args:
      count: examples of the class.
      aligned_ratio: a.
      label: the class, y.
      num_classes: C.
    """
    shares = np.full(num_classes, (1 - aligned_ratio) / (num_classes - 1))
    shares[label] = aligned_ratio
    ends = np.rint(count * np.cumsum(shares)).astype(np.int64)
    ends[-1] = count
    return ends


def _bernoulli(
    labels: np.ndarray, aligned_ratio: float, num_classes: int, key: Any
) -> np.ndarray:
    who, what = jax.random.split(key)
    is_aligned = np.asarray(jax.random.bernoulli(who, aligned_ratio, labels.shape))
    step = np.asarray(jax.random.randint(what, labels.shape, 1, num_classes))
    other = (labels + step) % num_classes
    return np.where(is_aligned, labels, other).astype(np.int32)


def _check_groups(
    labels: np.ndarray, bias: np.ndarray, aligned_ratio: float, num_classes: int
) -> None:
    """Nothing can be learnt, or told, of a class whose examples are all of one kind."""
    for kind, mask in (
        ("an aligned", labels == bias),
        ("a conflicting", labels != bias),
    ):
        empty = np.flatnonzero(np.bincount(labels[mask], minlength=num_classes) == 0)
        if empty.size:
            count = int((labels == empty[0]).sum())
            raise ValueError(
                f"aligned_ratio: got {aligned_ratio:g}, which leaves class {empty[0]} "
                f"of {count} example(s) without {kind} one; "
                f"{'raise' if kind == 'an aligned' else 'lower'} it, or take more "
                "examples"
            )
