"""From the flags of a noisy-label study to its data, noise, networks and recipes."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import numpy as np
import optax

from experiments.common import noise
from experiments.studies.label_noise.config import NoisyLabelsConfig
from robustjax import checks, data
from robustjax.methods import Entry
from robustjax.tools.augmentations import WEAK_AUGMENTATIONS
from robustjax.tools.inputs import load_splits
from robustjax.tools.method_options import Values, with_noise_rate
from robustjax.tools.networks import network_of_flags
from robustjax.tools.optimizer import OptimizerOptions
from robustjax.training import (
    Augment,
    Execution,
    Preprocess,
    Recipe,
    choose_execution,
)


class Data(NamedTuple):
    """What all methods of a study share.

    Attributes:
      config: the flags that do not depend on the method.
      train: with the true labels; the part that is trained on.
      validation: with *given* labels per repeat, (R, V), in `validation_labels`.
      test: to measure accuracy on.
      given: (R, N) given labels of `train`.
      validation_labels: (R, V) given labels of `validation`.
      description: of the noise.
      noise_rate: measured on all repeats, of `train`.
      repeat_keys: (R,) PRNG keys of the trainings.
    """

    config: NoisyLabelsConfig
    train: data.Dataset
    validation: data.Dataset | None
    test: data.Dataset
    given: np.ndarray
    validation_labels: np.ndarray
    description: str
    noise_rate: float
    repeat_keys: jax.Array

    @property
    def repeats(self) -> int:
        """How often every method is trained."""
        return len(self.repeat_keys)

    @property
    def title(self) -> str:
        """For plots."""
        return f"{self.train.name}, {self.description}, {self.repeats} repeat(s)"


def check(config: NoisyLabelsConfig) -> None:
    """Raises `ValueError` for a bad flag, before any data is loaded."""
    for name in ("repeats", "epochs", "batch_size", "watch_every_epochs"):
        checks.at_least(name, getattr(config, name), 1)
    for name in ("parallel_repeats", "watch_examples", "checkpoint_every_epochs"):
        checks.at_least(name, getattr(config, name), 0)
    checks.one_of("noise", config.noise, noise.MODELS)
    checks.in_range("noise_rate", config.noise_rate, 0, 1)
    checks.in_range("validation_fraction", config.validation_fraction, 0, 0.9)
    checks.one_of("augment", config.augment, WEAK_AUGMENTATIONS)
    optimizer_options(config).check()


def optimizer_options(config: NoisyLabelsConfig) -> OptimizerOptions:
    """The optimiser's part of the flags."""
    return OptimizerOptions.of(config)


def prepare(config: NoisyLabelsConfig) -> Data:
    """Loads the data, corrupts the labels and splits off a noisy validation set.

    Raises:
      ValueError: a bad flag, before anything is trained.
    """
    check(config)
    train, test = load_splits(
        config.dataset,
        config.train_split,
        config.test_split,
        data_dir=config.data_dir,
        image_size=config.image_size,
    )
    noise_key, split_key, run_key = jax.random.split(jax.random.key(config.seed), 3)
    task = noise.noise_of_flags(
        config, config, train, jax.random.split(noise_key, config.repeats)
    )
    if config.standardize:
        if isinstance(train.inputs, data.FileRows):
            raise ValueError(
                f"standardize: got True for the shards of {train.name}, expected "
                "False; standardise inputs before they are written"
            )
        train, test = data.standardize(train, test)
    held_out = round(config.validation_fraction * len(train))
    if config.validation_fraction and not held_out:
        raise ValueError(
            f"validation_fraction: got {config.validation_fraction} of {len(train)} "
            "examples, expected at least one of them"
        )
    order = np.arange(len(train))
    if held_out:
        order = np.asarray(jax.random.permutation(split_key, len(train)))
    inside, outside = np.sort(order[held_out:]), np.sort(order[:held_out])
    return Data(
        config=config,
        train=data.take(train, inside),
        validation=data.take(train, outside) if held_out else None,
        test=test,
        given=task.labels[:, inside],
        validation_labels=task.labels[:, outside],
        description=task.description,
        noise_rate=float(task.is_noisy[:, inside].mean()),
        repeat_keys=jax.random.split(run_key, config.repeats),
    )


def execution_of(config: NoisyLabelsConfig, study: Data) -> Execution:
    """How the network is run on this machine."""
    images = study.train.inputs.ndim == 4
    return choose_execution(convolutional=images and config.network != "mlp")


def network_of(
    config: NoisyLabelsConfig, study: Data, execution: Execution
) -> nn.Module:
    """The network of a method.

    Raises:
      ValueError: an unknown network, or one that does not fit the inputs.
    """
    return network_of_flags(
        config,
        study.train.num_classes,
        inputs_rank=study.train.inputs.ndim,
        convolution=execution.convolution,
    )


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a recipe is made from, besides its options.

    Attributes:
      model: the network.
      optimizer: of all phases.
      epochs: of all phases together.
      weak: the weak augmentation, if any.
      strong: the strong augmentation, for methods with two views.
      preprocess: the last step before the network.
      noise_rate: measured share of wrong labels, for methods that must know it.
    """

    model: nn.Module
    optimizer: optax.GradientTransformation
    epochs: int
    weak: Augment | None
    strong: Augment | None
    preprocess: Preprocess
    noise_rate: float


def make_recipe(entry: Entry, setting: Setting, options: Values) -> Recipe:
    """The recipe of a method.

    Args:
      entry: of the label-noise family.
      setting: what the launcher provides.
      options: of the method; the measured noise rate stands in where one that has no
        default is missing.

    Raises:
      ValueError: options out of range, or a method that needs epochs to warm up or a
        network with features and does not get them.
    """
    provided = {
        "model": setting.model,
        "optimizer": setting.optimizer,
        "epochs": setting.epochs,
        "augment": setting.weak,
        "weak": setting.weak,
        "strong": setting.strong,
        "preprocess": setting.preprocess,
    }
    taken = inspect.signature(entry.make).parameters
    recipe: Recipe = entry.make(
        **{name: value for name, value in provided.items() if name in taken},
        **with_noise_rate(entry, options, setting.noise_rate),
    )
    return recipe


def strong_augmentation(name: str, mean: Sequence[float]) -> Augment | None:
    """The strong view that goes with a weak augmentation; none without images.

    Args:
      name: of the weak augmentation; mirror images only where it has them.
      mean: of the colour channels, the colour of what is cut out.
    """
    if not mean:
        return None
    return data.strong_augmentation(flip="flip" in name, fill=mean)
