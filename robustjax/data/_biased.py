"""Data sets whose examples have a bias attribute beside their label."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from robustjax import checks
from robustjax.data._dataset import Dataset, row_numbers, take
from robustjax.data._names import check_class_names


@dataclasses.dataclass(frozen=True)
class BiasedDataset:
    """A `Dataset` with a bias attribute for each example; built by `make_biased`.

    Value k of the attribute goes with class k: an example is *aligned* where both
    agree and *conflicting* where not.

    Attributes:
      dataset: inputs, target labels, ids, names.
      bias: (N,) int32 in 0 … C-1.
      bias_names: C names of the attribute's values.
    """

    dataset: Dataset
    bias: np.ndarray
    bias_names: tuple[str, ...]

    def __len__(self) -> int:
        """The number of examples, N."""
        return len(self.dataset)

    @property
    def is_aligned(self) -> np.ndarray:
        """(N,) bool."""
        return self.dataset.labels == self.bias

    @property
    def group_counts(self) -> np.ndarray:
        """(C, C) int64 numbers of examples by (target, bias)."""
        size = self.dataset.num_classes
        cells = self.dataset.labels.astype(np.int64) * size + self.bias
        return np.bincount(cells, minlength=size * size).reshape(size, size)


def make_biased(
    dataset: Dataset, bias: Any, *, bias_names: Sequence[str] | None = None
) -> BiasedDataset:
    """Builds a `BiasedDataset`, checking every attribute.

    Args:
      dataset: with target labels.
      bias: (N,) integers in 0 … C-1, in the data set's order; attributes that are
        given by id are brought into it by `join` or `read_bias`.
      bias_names: C names, the k-th of the value that goes with class k; by default
        the classes' own.

    Raises:
      ValueError: attributes that do not match the labels in number or range, or
        another number of names.
    """
    names = dataset.class_names
    if bias_names is not None:
        names = check_class_names(bias_names, name="bias_names")
    if len(names) != dataset.num_classes:
        raise ValueError(
            f"bias_names: got {len(names)}, expected {dataset.num_classes}, one that "
            "goes with each class"
        )
    known = checks.labels("bias", bias, dataset.num_classes)
    if len(known) != len(dataset):
        raise ValueError(
            f"bias: got {len(known)}, expected one for each of the {len(dataset)} "
            f"examples of {dataset.name}"
        )
    return BiasedDataset(dataset, known, names)


def take_biased(biased: BiasedDataset, rows: np.ndarray) -> BiasedDataset:
    """The examples of the given rows with their attributes, ids and names kept.

    Args:
      biased: of N examples.
      rows: (M,) integers in 0 … N-1, or (N,) bool.

    Raises:
      ValueError: rows of another kind or out of range.
    """
    rows = row_numbers("rows", rows, len(biased))
    return dataclasses.replace(
        biased, dataset=take(biased.dataset, rows), bias=biased.bias[rows]
    )


def swap_roles(biased: BiasedDataset) -> BiasedDataset:
    """The same examples, with what was the bias as target, and the target as bias.

    Where the bias is learnt before the target (a malignant bias), the swapped pair is
    a benign one: colours as targets are learnt before digits as bias.

    Args:
      biased: every value of whose attribute occurs.

    Raises:
      ValueError: a value without any example, which would be an empty class.
    """
    checks.labels(
        "bias", biased.bias, biased.dataset.num_classes, need_every_class=True
    )
    dataset = dataclasses.replace(
        biased.dataset,
        labels=biased.bias,
        class_names=biased.bias_names,
        name=f"{biased.dataset.name}, roles swapped",
    )
    return BiasedDataset(dataset, biased.dataset.labels, biased.dataset.class_names)


def check_conflicting(biased: BiasedDataset, *, name: str = "bias") -> None:
    """Refuses training data that can tell nothing of target without bias.

    Args:
      biased: the training data.
      name: what to call it in an error.

    Raises:
      ValueError: a class without any conflicting, or without any aligned example.
    """
    counts = biased.group_counts
    aligned = np.diag(counts)
    for kind, found in (
        ("bias-conflicting", counts.sum(axis=1) - aligned),
        ("bias-aligned", aligned),
    ):
        empty = np.flatnonzero(found == 0)
        if empty.size:
            shown = ", ".join(repr(biased.dataset.class_names[c]) for c in empty[:5])
            more = " …" if empty.size > 5 else ""
            raise ValueError(
                f"{name}: class(es) {shown}{more} of {biased.dataset.name} have no "
                f"{kind} example, expected at least one in every class"
            )
