"""From flags to noisy labels, one labeling per repeat."""

from __future__ import annotations

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


def _read_whole(path: str, dataset: data.Dataset, column: str) -> np.ndarray:
    """A label for every example, in the data set's order."""
    rows, labels = data.read_labels(path, dataset, column, name="noisy_labels")
    return data.join(dataset, dataset.ids[rows], labels, name=f"{path}[{column}]")


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
        given = _read_whole(label_file, dataset, "label")
        if "clean_label" in data.read_csv(label_file, name="noisy_labels")[0]:
            clean = _read_whole(label_file, dataset, "clean_label")
            data.check_clean_labels(dataset, clean, name=f"{label_file}[clean_label]")
        labels = np.tile(given, (repeats, 1))
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
