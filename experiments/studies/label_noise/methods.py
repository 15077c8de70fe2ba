"""From the entry of a method and a setting to its recipe."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence

import flax.linen as nn
import optax

from robustjax import data
from robustjax.methods import Entry
from robustjax.tools.method_options import Values, with_noise_rate
from robustjax.training import Augment, Preprocess, Recipe


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
