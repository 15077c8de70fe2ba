"""Inputs and labels as two `.npy` files."""

from __future__ import annotations

import pathlib

import numpy as np

from robustjax import data
from robustjax.tools.array_files import read_array

PAIR_SUFFIX = ".npy"


def is_pair(dataset: str | None) -> bool:
    """Whether a data set is the first of two such files by its name."""
    return pathlib.Path(dataset or "").suffix.lower() == PAIR_SUFFIX


def check_pair_split(dataset: str, split: str) -> None:
    """Raises `ValueError` for a split of an `.npy` file other than "train"."""
    if split != "train":
        raise ValueError(f"split: got {split!r}, but {dataset!r} has no splits")


def load_pair(dataset: str, labels: str | None, split: str) -> data.Dataset:
    """A data set from two files, row by row; ids are the numbers of rows.

    Args:
      dataset: an `.npy` file of inputs (N, ...).
      labels: an `.npy` file (N,) of integers, counted from wherever, or of text.
      split: must be "train".

    Raises:
      ValueError: a file that cannot be read (objects are never unpickled), is missing,
        or does not fit the other, and another split.
    """
    check_pair_split(dataset, split)
    if not is_pair(labels):
        got = "none" if labels is None else repr(labels)
        raise ValueError(
            f"labels: got {got}, expected an .npy file of labels beside {dataset!r}"
        )
    assert labels is not None
    inputs, given = read_array(dataset, "dataset"), read_array(labels, "labels")
    if given.shape != inputs.shape[:1]:
        raise ValueError(
            f"labels: got shape {given.shape}, expected ({len(inputs)},): one for "
            f"every row of {dataset!r}"
        )
    if given.dtype.kind not in "iuU":
        raise ValueError(f"labels: got {given.dtype}, expected integers or text")
    names, codes = np.unique(given, return_inverse=True)
    return data.make_dataset(
        inputs,
        codes.astype(np.int32),
        class_names=[str(name) for name in names.tolist()],
        name=pathlib.Path(dataset).name,
    )
