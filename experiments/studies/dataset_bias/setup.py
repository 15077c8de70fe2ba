"""From the flags of a dataset-bias study to its data."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.common import noise, optimizer_flags
from experiments.common.inputs import arrays_of
from experiments.studies.dataset_bias.config import DatasetBiasConfig
from experiments.study.examples import Known
from experiments.study.flags import Use, check_of_use, errors_name_flags
from robustjax import checks, corruption, data
from robustjax.data import BiasedDataset
from robustjax.tools.augmentations import WEAK_AUGMENTATIONS
from robustjax.tools.inputs import load_splits
from robustjax.tools.optimizer import OptimizerOptions

SOURCES = ("colors", "corruption1", "corruption2", "folder", "file")


class Data(NamedTuple):
    """What all methods of a study share.

    Attributes:
      config: every flag.
      train: with the true labels.
      test: what accuracies are measured on.
      given: (R, N) labels that are trained on, the same in every repeat: groups of
        label and bias are those of all repeats.
      description: of bias and label noise.
      repeat_keys: (R,) PRNG keys of the trainings.
    """

    config: DatasetBiasConfig
    train: BiasedDataset
    test: BiasedDataset
    given: np.ndarray
    description: str
    repeat_keys: jax.Array

    @property
    def title(self) -> str:
        """For plots."""
        name, repeats = self.train.dataset.name, len(self.repeat_keys)
        return f"{name}, {self.description}, {repeats} repeat(s)"

    @property
    def is_wrong(self) -> np.ndarray:
        """(N,) bool, whether the given label is not the true one."""
        return np.asarray(self.given[0] != self.train.dataset.labels)

    def digested(self) -> dict[str, np.ndarray]:
        """The arrays that results depend on."""
        return {
            **arrays_of(self.train.dataset, self.test.dataset),
            "training bias": self.train.bias,
            "test bias": self.test.bias,
            "given labels": self.given,
        }

    def known(self) -> list[Known]:
        """What is known of the training examples, for `examples.csv`."""
        columns = {
            "given": self.given[0],
            "true": self.train.dataset.labels,
            "bias": self.train.bias,
            "is_conflicting": ~self.train.is_aligned,
        }
        return [
            Known({"repeat": repeat}, self.train.dataset.ids, columns)
            for repeat in range(len(self.repeat_keys))
        ]


def check_given(given: Mapping[str, Any], config: DatasetBiasConfig) -> None:
    """Raises `ValueError` for a flag that would change nothing; presets may have it.

    Args:
      given: the fields that were given as flags.
      config: every field.
    """
    noise.check_given(given, config)
    optimizer_flags.check_given(given, config)
    made = config.bias not in ("folder", "file")
    found = f"with bias={config.bias}, whose attributes are as they are"
    of_bias = ("aligned_ratio", "assignment", "bias_severity", "color_style")
    uses = [Use(name, made, found) for name in of_bias]
    colors = f"with bias={config.bias}, expected it for colors alone"
    uses.append(Use("color_style", config.bias == "colors", colors))
    varied = config.color_style == "lff" or not config.bias_severity
    jitter = f"with color_style={config.color_style}, whose colours have one jitter"
    uses.append(Use("bias_severity", varied, jitter))
    check_of_use(given, uses)


def check(config: DatasetBiasConfig) -> None:
    """Raises `ValueError` for a bad flag, before any data is loaded."""
    checks.one_of("bias", config.bias, SOURCES)
    checks.one_of("assignment", config.assignment, corruption.BIAS_ASSIGNMENTS)
    checks.in_range(
        "aligned_ratio", config.aligned_ratio, 0, 1, low_open=True, high_open=True
    )
    checks.in_range("bias_severity", config.bias_severity, 0, 5)
    checks.one_of("color_style", config.color_style, data.COLOR_STYLES)
    checks.one_of("noise", config.noise, noise.MODELS)
    checks.in_range("noise_rate", config.noise_rate, 0, 1)
    checks.one_of("augment", config.augment, WEAK_AUGMENTATIONS)
    for name in ("train_bias", "test_bias"):
        given = getattr(config, name)
        if (given is None) == (config.bias == "file"):
            expected = "a CSV file" if given is None else "none"
            raise ValueError(
                f"{name}: got {given!r} with bias={config.bias}, expected {expected}"
            )
    if config.network != "mlp":
        for name in ("double_scaling", "initialization"):
            given = getattr(config, name)
            if given != getattr(DatasetBiasConfig, name):
                raise ValueError(
                    f"{name}: got {given} with network={config.network}, expected it "
                    "for mlp alone"
                )
    OptimizerOptions.of(config).check()


def prepare(config: DatasetBiasConfig) -> Data:
    """Loads the data, gives them their bias and corrupts the labels.

    Raises:
      ValueError: a bad flag, before anything is trained.
    """
    check(config)
    noise_key, train_key, test_key, run_key = jax.random.split(
        jax.random.key(config.seed), 4
    )
    train, test, words = _biased_splits(config, train_key, test_key)
    if config.swap_roles:
        with errors_name_flags(bias="swap_roles"):
            train, test = data.swap_roles(train), data.swap_roles(test)
    with errors_name_flags(bias="dataset" if config.bias == "folder" else "train_bias"):
        data.check_conflicting(train)
    share = train.is_aligned.mean()
    words = f"{share:.2%} aligned {words}"
    given = np.tile(train.dataset.labels, (config.repeats, 1))
    if config.noise not in ("none", "symmetric", "uniform") or config.noise_rate:
        task = noise.noise_of_flags(config, config, train.dataset, noise_key[None])
        given = np.tile(task.labels, (config.repeats, 1))
        words += f"; {task.description}"
    keys = jax.random.split(run_key, config.repeats)
    return Data(config, train, test, given, words, keys)


def _biased_splits(
    config: DatasetBiasConfig, *keys: jax.Array
) -> tuple[BiasedDataset, BiasedDataset, str]:
    """Training and test set with their attributes, and where these are from."""
    splits = (config.train_split, config.test_split)
    if config.bias == "folder":
        with errors_name_flags(path="dataset", split="train_split"):
            size = config.image_size or None
            train, test = (
                data.load_biased_folder(config.dataset, split, image_size=size)
                for split in splits
            )
        for what, mine, its in (
            ("classes", train.dataset.class_names, test.dataset.class_names),
            ("attributes", train.bias_names, test.bias_names),
        ):
            if mine != its:
                raise ValueError(
                    f"test_split: its {what} are {', '.join(its)}, expected those of "
                    f"the training set, {', '.join(mine)}"
                )
        return train, test, "(names of files)"
    plain = load_splits(
        config.dataset,
        *splits,
        data_dir=config.data_dir,
        image_size=config.image_size,
    )
    if config.bias == "file":
        files = {"train_bias": config.train_bias, "test_bias": config.test_bias}
        train, test = (
            data.read_bias(str(path), each, name=name)
            for (name, path), each in zip(files.items(), plain)
        )
        return train, test, "(files)"
    # What is aligned in a test set is no more than chance has it.
    ratios = (config.aligned_ratio, 1 / plain[0].num_classes)
    orders = [_file_order(config, *pair) for pair in zip(plain, splits)]
    train, test = (
        _with_bias(config, *each) for each in zip(plain, ratios, keys, orders)
    )
    if config.assignment != "file_order":
        return train, test, f"({config.assignment})"
    own = "the data set's" if orders[0] is None else "the source's"
    return train, test, f"(in {own} order)"


def _with_bias(
    config: DatasetBiasConfig,
    dataset: data.Dataset,
    ratio: float,
    key: jax.Array,
    order: np.ndarray | None,
) -> BiasedDataset:
    """A data set whose images are changed by the bias that they are given."""
    options: dict[str, Any] = {"assignment": config.assignment, "order": order}
    if config.bias_severity:
        options["severity"] = config.bias_severity
    with errors_name_flags(
        digits="dataset", images="dataset", severity="bias_severity"
    ):
        if config.bias == "colors":
            return data.colored_mnist(
                dataset, ratio, key, style=config.color_style, **options
            )
        kind = int(config.bias[-1])
        return data.corrupted_cifar10(dataset, ratio, key, kind=kind, **options)


def _file_order(
    config: DatasetBiasConfig, dataset: data.Dataset, split: str
) -> np.ndarray | None:
    """What sorts examples into the order of the files that they are from.

    tfds shuffles MNIST without a trace: its order is `$ROBUSTJAX_DATA/order/*.npy`, if
    that is there, of whole splits. Of CIFAR-10 the ids tell.
    """
    if config.assignment != "file_order":
        return None
    if config.bias != "colors":
        return dataset.ids
    root = os.environ.get("ROBUSTJAX_DATA", "")
    path = pathlib.Path(root, "order", f"{config.dataset}_{split}.npy")
    if not root or not path.is_file():
        return None
    return np.asarray(np.load(path))
