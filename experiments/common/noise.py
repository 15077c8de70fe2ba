"""From flags to noisy labels, one labeling per repeat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.inputs import load_human_labels
from experiments.study.flag_groups import NoiseFlags
from experiments.study.flags import Use, check_of_use
from robustjax import checks, corruption, data
from robustjax.corruption import transitions
from robustjax.tools.options.groups import DataFlags
from robustjax.training import jit_run_once

MODELS = (
    "none",
    "uniform",
    "symmetric",
    "class_flip",
    "pairflip",
    "asymmetric",
    "instance",
    "file",
    "key",
)

# What is drawn; the others are looked up.
_DRAWN = tuple(model for model in MODELS if model not in ("none", "file", "key"))
# Flags that only some models heed.
_HEEDED_BY = {
    "noise_rate": _DRAWN,
    "noise_include_true": ("symmetric", "uniform"),
    "noise_count": tuple(model for model in _DRAWN if model != "instance"),
    "noise_scope": ("class_flip",),
    "noisy_labels": ("file",),
    "label_set": ("key",),
}

# Who is redrawn, in words.
_COUNTED = {
    "exact": "exactly so many",
    "exact_per_class": "so many of each class",
    "bernoulli": "each drawn by itself",
}


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


def _corruption(
    model: str,
    dataset: data.Dataset,
    rate: float,
    include_true: bool,
    scope: str,
    count: str,
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """A function from a key and the true labels to the labels of one repeat.

    Raises:
      ValueError: asymmetric noise on a data set without a published map.
    """
    classes = dataset.num_classes
    checks.one_of("noise_count", count, corruption.COUNTS)
    if model == "class_flip":
        return lambda key, true: (
            corruption.class_flip(
                key, true, rate, classes, scope=scope, count=count
            ).labels
        )
    if model == "pairflip":
        return lambda key, true: (
            corruption.pairflip(key, true, rate, classes, count=count).labels
        )
    if model == "asymmetric":
        targets = _asymmetric_targets(dataset)
        return lambda key, true: (
            corruption.asymmetric(key, true, rate, targets, count=count).labels
        )
    if model == "instance":
        inputs = jnp.asarray(data.standardize(dataset, dataset)[0].inputs)
        return lambda key, true: (
            corruption.instance_dependent(key, inputs, true, rate, classes).labels
        )
    return lambda key, true: (
        corruption.symmetric(
            key, true, rate, classes, include_true=include_true, count=count
        ).labels
    )


def _asymmetric_targets(dataset: data.Dataset) -> np.ndarray:
    """The published class map of a data set, by its name."""
    name = dataset.name.partition("[")[0].partition(":")[0]
    classes = dataset.num_classes
    if name in ("cifar10", "cifar10_n"):
        return transitions.class_map(classes, transitions.CIFAR10_MAP)
    if name in ("mnist", "digits"):
        return transitions.class_map(classes, transitions.MNIST_MAP)
    if name in ("cifar100", "cifar100_n"):
        return transitions.next_in_block(classes, 5)
    raise ValueError(
        f"noise: no asymmetric class map is published for {name!r}; use pairflip, or "
        "noise=file with labels of your own"
    )


def check_given(given: Mapping[str, Any], flags: NoiseFlags) -> None:
    """Raises `ValueError` for a flag that would change nothing; presets may have it.

    Args:
      given: the fields that were given as flags.
      flags: of the noise, all of them.
    """
    checks.one_of("noise", flags.noise, MODELS)
    every = flags.noise == "class_flip" and flags.noise_scope == "all"
    uses = []
    for name, models in _HEEDED_BY.items():
        named = f"noise={' or '.join(models)}"
        heeded = f"with noise={flags.noise}, expected it with {named}"
        # Not to allow the true class, or no file, is what other models do.
        unset = given.get(name) in (None, False)
        uses.append(Use(name, unset or flags.noise in models, heeded))
    for name in ("noise_rate", "noise_count"):
        uses.append(
            Use(name, not every, "with noise_scope=all, which redraws every label")
        )
    check_of_use(given, uses)


def noise_of_flags(
    flags: NoiseFlags, source: DataFlags, train: data.Dataset, keys: jax.Array
) -> NoisyTask:
    """What the flags of a study say of the labels of its training set.

    Args:
      flags: of the noise.
      source: of the data set, of which human labels are read.
      train: with the true labels.
      keys: (R,) PRNG keys.

    Raises:
      ValueError: see `make_noise` and `load_human_labels`.
    """
    return make_noise(
        flags.noise,
        train,
        keys,
        rate=flags.noise_rate,
        include_true=flags.noise_include_true,
        scope=flags.noise_scope,
        count=flags.noise_count,
        label_file=flags.noisy_labels,
        noisy=load_human_labels(
            flags.noise,
            flags.label_set,
            source.dataset,
            source.train_split,
            data_dir=source.data_dir,
        ),
    )


def make_noise(
    model: str,
    dataset: data.Dataset,
    keys: jax.Array,
    *,
    rate: float,
    include_true: bool,
    scope: str,
    count: str = "exact",
    label_file: str | None = None,
    noisy: data.Dataset | None = None,
) -> NoisyTask:
    """Corrupts (or looks up) the labels of every repeat.

    Args:
      model: one of `MODELS`; "uniform" and "symmetric" are the same.
      dataset: with the true labels.
      keys: (R,) PRNG keys.
      rate: see `corruption.symmetric`.
      include_true: see `corruption.symmetric`.
      scope: see `corruption.class_flip`.
      count: see `corruption.symmetric`; not for "instance".
      label_file: of model "file".
      noisy: of model "key", the data set with the noisy labels in place.

    Raises:
      ValueError: an unknown model, bad arguments, labels that do not join.
    """
    checks.one_of("noise", model, MODELS)
    true, classes = dataset.labels, dataset.num_classes
    repeats = len(keys)
    if model == "none":
        labels, nominal = np.tile(true, (repeats, 1)), "labels as they are"
    elif model == "file":
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
            raise ValueError(
                "label_set: got None, expected one, such as worse (noise=key)"
            )
        labels = np.tile(data.join(dataset, noisy.ids, noisy.labels), (repeats, 1))
        nominal = f"labels of {noisy.name}"
    else:
        corrupt = _corruption(model, dataset, rate, include_true, scope, count)
        every = jax.vmap(corrupt, (0, None))
        # Step by step it would be dozens of programs. Instances' images are no
        # argument, and would be written into theirs.
        every = every if model == "instance" else jit_run_once(every)
        labels = np.asarray(every(keys, jax.device_put(true.astype(np.int32))))
        nominal = f"{model} noise, {100 * rate:g}% of the labels redrawn"
        if model in ("uniform", "symmetric"):
            nominal += " (true class allowed)" if include_true else " (never true)"
        if model != "instance":
            nominal += f", {_COUNTED[count]}"
    labels = checks.labels("labels", labels.ravel(), classes).reshape(labels.shape)
    is_noisy = labels != true[None]
    description = f"{nominal}; {is_noisy.mean():.2%} of the labels are wrong"
    return NoisyTask(labels, is_noisy, description)
