"""From flags and presets to the settings of every method."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from experiments.common import optimizer_flags
from experiments.common.noise import check_given
from experiments.studies.label_noise import setup
from experiments.studies.label_noise.config import SHARED_FIELDS, NoisyLabelsConfig
from experiments.studies.label_noise.method_presets import (
    DIFFERENCES,
    METHOD_PRESETS,
    NOISE_FIELDS,
)
from experiments.studies.label_noise.presets import PRESETS, PUBLISHED
from experiments.study.presets import preset_of
from robustjax import data
from robustjax.methods import Entry
from robustjax.tools.augmentations import weak_augmentation
from robustjax.tools.channel_statistics import channel_statistics
from robustjax.tools.method_options import (
    Values,
    as_texts,
    errors_name_options,
    read_options,
)
from robustjax.tools.optimizer import make_optimizer
from robustjax.training import Execution, RecipeProgram, as_float, data_mesh
from robustjax.transforms import ExampleSpec


class Built(NamedTuple):
    """A method that is ready to train.

    Attributes:
      program: of its recipe.
      execution: how its network is run.
    """

    program: RecipeProgram
    execution: Execution


@dataclasses.dataclass(frozen=True)
class MethodConfig:
    """The settings of one method, and where they are from.

    Attributes:
      label: of the method.
      entry: of the method.
      config: every flag.
      options: of the method.
      preset: of the data set, or None.
      method_preset: the name in `METHOD_PRESETS`, or None.
    """

    label: str
    entry: Entry
    config: NoisyLabelsConfig
    options: Values
    preset: str | None
    method_preset: str | None

    def describe(self) -> str:
        """Presets and settings on one line, and what is not as published on another."""
        config = self.config
        used = ", ".join(p for p in (self.preset, self.method_preset) if p) or "none"
        values = " ".join(as_texts(self.options))
        training = (
            f"{config.network}, {config.epochs} epochs of batches of "
            f"{config.batch_size}, {setup.optimizer_options(config).describe()}, "
            f"weight decay {config.weight_decay:g}, {config.dtype}"
        )
        text = f"presets: {used}; {values or 'default options'}; {training}"
        other = self.not_as_published()
        return f"{text}\n  not as published: {other}" if other else text

    def not_as_published(self) -> str:
        """Where a preset of a published data set is not what the method's authors had.

        Flags that change a preset are not looked at.
        """
        if self.preset not in PUBLISHED:
            return ""
        if self.method_preset is None:
            return (
                f"no setting of {self.entry.name} for {self.preset} and this noise is "
                "known here, the training is the data set's"
            )
        return DIFFERENCES.get(self.method_preset, "")

    def build(self, study: setup.Data) -> Built:
        """The program of the method for a study's data.

        Raises:
          ValueError: settings that do not fit the data or the method.
        """
        config = self.config
        setup.check(config)
        execution = setup.execution_of(config, study)
        steps = -(-len(study.train) // config.batch_size)
        images = study.train.inputs.ndim == 4 and not config.standardize
        if not images and config.augment != "none":
            raise ValueError(
                f"augment: got {config.augment!r} for inputs of shape "
                f"{study.train.inputs.shape[1:]} and standardize={config.standardize}, "
                "expected none unless they are images with values in [0, 1]"
            )
        optimizer = setup.optimizer_options(config)
        mean, deviation = channel_statistics(study.train.inputs) if images else ([], [])
        setting = setup.Setting(
            model=setup.network_of(config, study, execution),
            optimizer=make_optimizer(optimizer, config.epochs, steps),
            epochs=config.epochs,
            weak=weak_augmentation(config.augment),
            strong=setup.strong_augmentation(config.augment, mean),
            preprocess=(
                data.normalize(mean, deviation)
                if mean and config.normalize
                else as_float
            ),
            noise_rate=study.noise_rate,
        )
        with errors_name_options(self.label, self.entry, self.options):
            recipe = setup.make_recipe(self.entry, setting, self.options)
        devices = jax.device_count()
        program = RecipeProgram(
            recipe,
            ExampleSpec(len(study.train), study.train.num_classes, pad_to=devices),
            batch_size=config.batch_size,
            execution=execution,
            mesh=data_mesh() if devices > 1 else None,
            block_size=1000,
        )
        return Built(program, execution)


def resolve(
    chosen: Mapping[str, Entry], preset: str | None, given: Mapping[str, Any]
) -> dict[str, MethodConfig]:
    """The settings of every method.

    Args:
      chosen: label -> entry of every method.
      preset: as given, or None for that of the data set's name.
      given: the fields that were given as flags.

    Raises:
      ValueError: an unknown preset, bad options, or methods that were
        published with symmetric noise of different kinds, unless flags say which.
    """
    dataset = given.get("dataset", NoisyLabelsConfig.dataset)
    preset, fields = preset_of(PRESETS, preset, dataset)
    base = dict(fields)
    shared = NoisyLabelsConfig(**{**base, **given})
    check_given(given, shared)
    scope = preset or shared.dataset
    method_presets = {
        label: _method_preset(entry.name, scope, shared)
        for label, entry in chosen.items()
    }
    given_options = read_options(given.get("options", ()), chosen)
    base = base | _published_noise(method_presets, shared.noise, given)
    found = {}
    for label, method_preset in method_presets.items():
        entry = chosen[label]
        own = METHOD_PRESETS.get(method_preset or "", {})
        own = {key: value for key, value in own.items() if key not in NOISE_FIELDS}
        assert not set(own) & set(SHARED_FIELDS), method_preset
        options = read_options(own.get("options", ()), {label: entry})[label]
        options |= given_options[label]
        fields = {**base, **own, **given, "options": as_texts(options)}
        config = NoisyLabelsConfig(**fields)
        found[label] = MethodConfig(
            label, entry, config, options, preset, method_preset
        )
    optimizer_flags.check_given(given, *(method.config for method in found.values()))
    return found


def _published_noise(
    method_presets: Mapping[str, str | None], noise: str, given: Mapping[str, Any]
) -> dict[str, Any]:
    """How the noise is drawn: as the methods were published, where they agree.

    Args:
      method_presets: by method.
      noise: its model.
      given: the fields that were given as flags, which decide.

    Raises:
      ValueError: methods that were published with different ones.
    """
    symmetric = noise in ("symmetric", "uniform")
    if not symmetric and noise not in ("asymmetric", "pairflip", "class_flip"):
        return {}
    found: dict[str, Any] = {}
    for field in NOISE_FIELDS if symmetric else ("noise_count",):
        values = {
            name: METHOD_PRESETS[preset][field]
            for name, preset in method_presets.items()
            if preset is not None and field in METHOD_PRESETS[preset]
        }
        if field in given or not values:
            continue
        (first, value), *others = values.items()
        for name, other in others:
            if other != value:
                raise ValueError(
                    f"{field}: {first} was published with {value} and {name} with "
                    f"{other}, expected --{field} for a comparison on the same labels"
                )
        found[field] = value
    return found


def _method_preset(name: str, scope: str, config: NoisyLabelsConfig) -> str | None:
    """The most specific preset of a method."""
    kind = config.label_set if config.noise == "key" else config.noise
    # Two names of one model.
    kind = "symmetric" if kind == "uniform" else kind
    exact = f"{name}/{scope}/{kind}-{100 * config.noise_rate:g}"
    for candidate in (exact, f"{name}/{scope}/{kind}", f"{name}/{scope}"):
        if candidate in METHOD_PRESETS:
            return candidate
    return None
