"""From a method and its options to what trains it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from experiments.studies.dataset_bias.setup import Data
from experiments.study.flags import errors_name_flags
from robustjax import data, models
from robustjax.methods import Entry
from robustjax.methods.bias import bias_groups
from robustjax.tools.augmentations import weak_augmentation
from robustjax.tools.channel_statistics import channel_statistics
from robustjax.tools.method_choice import Choice
from robustjax.tools.networks import network_of_flags
from robustjax.tools.optimizer import OptimizerOptions, make_optimizer
from robustjax.training import (
    Execution,
    Preprocess,
    RecipeProgram,
    as_float,
    choose_execution,
    data_mesh,
)
from robustjax.transforms import ExampleSpec


class Built(NamedTuple):
    """A method that is ready to train.

    Attributes:
      program: of its recipe.
      execution: how its network is run.
      entry: of the method.
      network: that it trains.
      preprocess: before the network.
    """

    program: RecipeProgram
    execution: Execution
    entry: Entry
    network: nn.Module
    preprocess: Preprocess


def build(label: str, choice: Choice, study: Data) -> Built:
    """The program of a method for a study's data.

    Raises:
      ValueError: settings that do not fit the data or the method.
    """
    config, train = study.config, study.train.dataset
    entry, options = choice.chosen[label], choice.values[label]
    images = train.inputs.ndim == 4
    if config.augment != "none" and not images:
        raise ValueError(
            f"augment: got {config.augment!r} for inputs of shape "
            f"{train.inputs.shape[1:]}, expected none unless they are images"
        )
    execution = choose_execution(convolutional=images and config.network != "mlp")
    network = network_of_flags(
        config,
        train.num_classes,
        inputs_rank=train.inputs.ndim,
        convolution=execution.convolution,
        input_scale=1 / 255 if config.double_scaling else 1.0,
        initialization=config.initialization,
    )
    if "two_encoders" in entry.needs:
        network = models.TwoEncoderClassifier(network, train.num_classes)
    steps = -(-len(train) // config.batch_size)
    provided: dict[str, Any] = {
        "model": network,
        "optimizer": make_optimizer(OptimizerOptions.of(config), config.epochs, steps),
        "epochs": config.epochs,
        "augment": weak_augmentation(config.augment),
        "preprocess": as_float,
        "convolution": execution.convolution,
    }
    # The texture branch of HEX reads gray levels in [0, 1].
    if images and config.normalize and entry.name != "hex":
        provided["preprocess"] = data.normalize(*channel_statistics(train.inputs))
    if "groups" in entry.needs:
        provided["groups"] = _groups(label, study)
    if "conflicting" in entry.needs:
        provided["conflicting"] = ~study.train.is_aligned
    if entry.name == "hex" and images:
        _check_gray_levels(label, train.inputs)
    if entry.name == "dfa":
        _check_swapping(label, entry, options, config.epochs * steps)
    if "bias" in entry.needs and options.get("feature", "bias") == "bias":
        provided["bias"] = study.train.bias
    taken = inspect.signature(entry.make).parameters
    with choice.errors(label), errors_name_flags(model="network", inputs="network"):
        recipe = entry.make(
            **{k: v for k, v in provided.items() if k in taken}, **options
        )
        program = RecipeProgram(
            recipe,
            ExampleSpec(len(train), train.num_classes, pad_to=jax.device_count()),
            batch_size=config.batch_size,
            execution=execution,
            mesh=data_mesh() if jax.device_count() > 1 else None,
            block_size=1000,
        )
        # What does not fit together says so now.
        program.check(train.inputs)
    return Built(program, execution, entry, network, provided["preprocess"])


def _check_gray_levels(label: str, images: np.ndarray) -> None:
    """Raises `ValueError` for images of which a texture branch reads nothing."""
    if images.dtype == np.uint8:
        return
    low, high = images.min(), images.max()
    if low < 0 or high > 1:
        raise ValueError(
            f"dataset: got images of numbers from {low:g} to {high:g}, expected 8-bit "
            f"ones or floats in [0, 1] for {label}, whose texture branch reads gray "
            "levels"
        )


def _check_swapping(
    label: str, entry: Entry, options: Mapping[str, Any], steps: int
) -> None:
    """Raises `ValueError` if features would never be swapped, and it is not said so."""
    taken = inspect.signature(entry.make).parameters
    begin, factor = (
        options.get(name, taken[name].default)
        for name in ("swap_from_step", "lambda_swap")
    )
    if factor and begin >= steps - 1:
        raise ValueError(
            f"options ({label}.swap_from_step): got {begin} with {steps} steps in all, "
            f"expected at most {max(steps - 2, 0)}; {label}.lambda_swap=0 leaves out "
            "the swapping"
        )


def _groups(label: str, study: Data) -> np.ndarray:
    """The group of every example, by its given label and its bias.

    Raises:
      ValueError: a group without an example.
    """
    train = study.train
    size = train.dataset.num_classes
    groups = bias_groups(study.given[0], train.bias, size)
    empty = np.flatnonzero(np.bincount(groups, minlength=size * size) == 0)
    if empty.size:
        target, bias = divmod(int(empty[0]), size)
        raise ValueError(
            f"methods: {label} needs an example of every label with every bias, got "
            f"none for {empty.size} of {size * size} (first: label {target}, bias "
            f"{bias})"
        )
    return groups
