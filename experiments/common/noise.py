"""From flags to noisy labels, one labeling per repeat."""

from __future__ import annotations

import csv
import functools
from typing import NamedTuple

import jax
import numpy as np

from robustjax import checks, corruption, data

MODELS = ("uniform", "class_flip", "pairflip", "file", "key")


class NoisyTask(NamedTuple):
    """Training labels of every repeat.

    Attributes:
      labels: (R, N) int32 given labels.
      is_noisy: (R, N) bool, whether the given label is wrong.
      description: a sentence with nominal and measured rate.
    """

    labels: np.ndarray
    is_noisy: np.ndarray
    description: str


def read_label_file(
    path: str, dataset: data.Dataset, *, columns: tuple[str, ...] = ("id", "label")
) -> dict[str, np.ndarray]:
    """Reads columns of a CSV file and joins them to a data set by id.

    Labels may be class indices or class names.

    Args:
      path: with a header line; an `id` column and those named.
      dataset: whose order is wanted.
      columns: required columns.

    Returns:
      Every label column present, (N,) int32 in the data set's order.

    Raises:
      ValueError: a file that cannot be read or lacks a column, ids that do not
        match, labels that are no class.
    """
    try:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise ValueError(
            f"noisy_labels: cannot read {path!r}: {error.strerror}"
        ) from None
    present = list(rows[0]) if rows else []
    missing = [column for column in columns if column not in present]
    if missing:
        raise ValueError(
            f"noisy_labels: {path!r} lacks the column(s) {', '.join(missing)}; it has "
            f"{', '.join(present) or 'no rows'}"
        )
    names = {name: number for number, name in enumerate(dataset.class_names)}
    names |= {str(number): number for number in range(dataset.num_classes)}
    found = {}
    for column in ("label", "clean_label"):
        if column not in present:
            continue
        unknown = [row[column] for row in rows if row[column] not in names]
        if unknown:
            raise ValueError(
                f"noisy_labels: {len(unknown)} value(s) of {column!r} in {path!r} are "
                f"no class (first: {unknown[0]!r})"
            )
        values = np.array([names[row[column]] for row in rows], np.int32)
        ids = np.array([row["id"] for row in rows])
        found[column] = data.join(dataset, ids, values, name=column)
    return found


def make_noise(
    model: str,
    dataset: data.Dataset,
    keys: jax.Array,
    *,
    rate: float,
    include_true: bool,
    scope: str,
    label_file: str | None = None,
    noisy: data.Dataset | None = None,
) -> NoisyTask:
    """Corrupts (or looks up) the labels of every repeat.

    Args:
      model: one of `MODELS`.
      dataset: with the true labels.
      keys: (R,) PRNG keys.
      rate: see `corruption.symmetric`.
      include_true: see `corruption.symmetric`.
      scope: see `corruption.class_flip`.
      label_file: of model "file".
      noisy: of model "key", the data set with the noisy labels in place.

    Raises:
      ValueError: an unknown model, bad arguments, labels that do not join.
    """
    checks.one_of("noise", model, MODELS)
    true, classes = dataset.labels, dataset.num_classes
    repeats = len(keys)
    if model == "file":
        if label_file is None:
            raise ValueError("noisy_labels: got None, expected a CSV file (noise=file)")
        columns = read_label_file(label_file, dataset)
        if "clean_label" in columns:
            name = f"{label_file}[clean_label]"
            data.check_clean_labels(dataset, columns["clean_label"], name=name)
        labels = np.tile(columns["label"], (repeats, 1))
        nominal = f"labels of {label_file}"
    elif model == "key":
        if noisy is None:
            raise ValueError("noisy_label_key: got None, expected a tfds feature")
        labels = np.tile(data.join(dataset, noisy.ids, noisy.labels), (repeats, 1))
        nominal = f"labels of {noisy.name}"
    else:
        corrupt = {
            "uniform": functools.partial(
                corruption.symmetric, include_true=include_true
            ),
            "class_flip": functools.partial(corruption.class_flip, scope=scope),
            "pairflip": functools.partial(corruption.pairflip, count="exact"),
        }[model]
        corrupted = jax.vmap(lambda key: corrupt(key, true, rate, classes).labels)(keys)
        labels = np.asarray(corrupted)
        nominal = f"{model} noise, {rate:.0%} of the labels redrawn"
        if model == "uniform":
            nominal += " (true class allowed)" if include_true else " (never true)"
    is_noisy = labels != true[None]
    description = f"{nominal}; {is_noisy.mean():.2%} of the labels are wrong"
    return NoisyTask(labels, is_noisy, description)
