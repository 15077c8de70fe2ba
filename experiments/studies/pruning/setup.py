"""From the flags of a pruning study to its data, noise and network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments.common import noise, optimizer_flags
from experiments.common.inputs import arrays_of
from experiments.studies.label_noise import setup as robust_setup
from experiments.studies.label_noise.config import NoisyLabelsConfig
from experiments.studies.pruning import subset_methods
from experiments.studies.pruning.config import DataPruningConfig
from experiments.studies.pruning.presets import PRESETS
from experiments.study.flags import Use, check_of_use, errors_name_flags
from experiments.study.presets import preset_of
from robustjax import checks, corruption, data, selection
from robustjax.methods import Entry, entry
from robustjax.selection import check_features
from robustjax.tools.array_files import read_array
from robustjax.tools.inputs import load_foreign
from robustjax.tools.method_options import (
    Values,
    as_labeled_texts,
    as_methods,
    options_of,
    preset_options,
    read_options,
)
from robustjax.training import Execution, Stream

RELABELERS = ("sop_plus", "divide_mix", "ce")
VIEWS = ("plain", "strong")
SECOND_VIEWS = ("strong", "weak")
# Noise, validation and trainings take the seed's key in parts; this is none of them.
_FOREIGN = 4


class Data(NamedTuple):
    """What all subsets of a study share.

    Attributes:
      config: the flags.
      train: with the true labels.
      test: to measure accuracy on.
      is_foreign: (N,) bool, whether an image of `train` belongs to no class.
      given: (R, N) given labels of `train`.
      description: of the noise.
      noise_rate: measured, over all repeats.
      repeat_keys: (R,) PRNG keys.
      model: the network.
      execution: how it is run.
      ssp_features: (N, d) for ssp, or None for those of the warm-up.
      budgets: fraction -> number of examples, `full` included if it is asked for.
    """

    config: DataPruningConfig
    train: data.Dataset
    test: data.Dataset
    is_foreign: np.ndarray
    given: np.ndarray
    description: str
    noise_rate: float
    repeat_keys: jax.Array
    model: nn.Module
    execution: Execution
    ssp_features: np.ndarray | None
    budgets: dict[float, int]

    def is_noisy(self, repeat: int) -> np.ndarray:
        """(N,) bool, whether the given label is wrong, as any of a foreign image is."""
        wrong: np.ndarray = self.given[repeat] != self.train.labels
        return wrong | self.is_foreign

    @property
    def images(self) -> bool:
        """Whether the inputs are images with values that augmentations understand."""
        return self.train.inputs.ndim == 4 and not self.config.standardize

    @property
    def title(self) -> str:
        """For plots."""
        return (
            f"{self.train.name}, {self.description}\nre-labelling by "
            f"{self.config.relabeler}, {self.config.repeats} repeat(s)"
        )

    def on_device(self, inputs: Any) -> jax.Array | Stream:
        """Inputs of training or some of them, as `--stream` says."""
        return Stream(inputs) if self.config.stream else jnp.asarray(inputs)

    def digested(self) -> dict[str, np.ndarray | None]:
        """The arrays that the results depend on."""
        return {
            **arrays_of(self.train, self.test),
            "given labels": self.given,
            "ssp_features": self.ssp_features,
        }

    def subsets(self) -> list[tuple[str, float]]:
        """All (label of a method, fraction)."""
        labels = subset_methods.methods_of(self.config)
        pruning = [label for label in labels if label != subset_methods.FULL]
        found = [(label, f) for f in self.config.fractions for label in pruning]
        if subset_methods.FULL in labels:
            found.append((subset_methods.FULL, 1.0))
        return found


def resolve(
    preset: str | None, given: Mapping[str, Any]
) -> tuple[str | None, DataPruningConfig]:
    """The preset's name and the settings.

    Args:
      preset: as given, or None for that of the data set's name.
      given: the fields that were given as flags; options join the preset's.

    Raises:
      ValueError: an unknown preset, method or re-labelling model.
    """
    dataset = given.get("dataset", DataPruningConfig.dataset)
    preset, base = preset_of(PRESETS, preset, dataset)
    config = DataPruningConfig(**{**base, **given})
    noise.check_given(given, config)
    optimizer_flags.check_given(given, config)
    checks.one_of("relabeler", config.relabeler, RELABELERS)
    methods = subset_methods.methods_of(config)
    parts = {**methods, **_relabeler(config)}
    own = preset_options(parts, base.get("options", ()))
    options = as_labeled_texts(read_options((*own, *given.get("options", ())), parts))
    relabeler = f"with relabeler={config.relabeler}, expected it for sop_plus alone"
    second_view = Use("second_view", config.relabeler == "sop_plus", relabeler)
    check_of_use(given, [second_view])
    return preset, dataclasses.replace(
        config, options=options, methods=as_methods(methods)
    )


def _relabeler(config: DataPruningConfig) -> dict[str, Entry]:
    return {config.relabeler: entry(config.relabeler, "label_noise")}


def relabeler_options(config: DataPruningConfig) -> Values:
    """The options of the re-labelling model that are set.

    Raises:
      ValueError: one that it does not have, or of another type.
    """
    ((label, model),) = _relabeler(config).items()
    return options_of(config.options, label, model)


def _noisy_labels_config(config: DataPruningConfig) -> NoisyLabelsConfig:
    """The flags that training under label noise has, too."""
    shared = {field.name for field in dataclasses.fields(NoisyLabelsConfig)}
    values = {
        name: value
        for name, value in dataclasses.asdict(config).items()
        if name in shared and name != "options"
    }
    return NoisyLabelsConfig(**values)


def check(config: DataPruningConfig) -> None:
    """Raises `ValueError` for a bad flag, before any data is loaded."""
    subset_methods.check(config)
    relabeler_options(config)
    checks.one_of("evaluation_view", config.evaluation_view, VIEWS)
    checks.one_of("second_view", config.second_view, SECOND_VIEWS)
    robust_setup.check(_noisy_labels_config(config))
    checks.in_range("warmup_epochs", config.warmup_epochs, 1, config.epochs)
    checks.in_range("foreign_share", config.foreign_share, 0, 1, high_open=True)
    if bool(config.foreign) != bool(config.foreign_share):
        raise ValueError(
            f"foreign_share: got {config.foreign_share:g} with "
            f"foreign={config.foreign!r}, expected both or none"
        )
    for flag in ("standardize", "stream"):
        if config.foreign and getattr(config, flag):
            raise ValueError(f"foreign: got {config.foreign!r} with --{flag}")


def prepare(config: DataPruningConfig) -> Data:
    """Loads the data, corrupts the labels and makes the network.

    Raises:
      ValueError: a bad flag, before anything is trained.
    """
    check(config)
    shared = _noisy_labels_config(config)
    study = robust_setup.prepare(shared)
    execution = robust_setup.execution_of(shared, study)
    fractions = [*config.fractions]
    if subset_methods.FULL in subset_methods.methods_of(config):
        fractions.append(1.0)
    size = len(study.train)
    train, is_foreign, words = _with_foreign(config, study.train)
    wrong = (study.given != study.train.labels) | is_foreign
    if words:
        words += f", so that {wrong.mean():.2%} of the labels are wrong in all"
    task = Data(
        config=config,
        train=train,
        test=study.test,
        is_foreign=is_foreign,
        given=study.given,
        description=study.description + words,
        noise_rate=float(wrong.mean()),
        repeat_keys=study.repeat_keys,
        model=robust_setup.network_of(shared, study, execution),
        execution=execution,
        ssp_features=_ssp_features(config, size),
        budgets={f: selection.budget_from_fraction(f, size) for f in fractions},
    )
    if not task.images and (config.augment, config.evaluation_view) != (
        "none",
        "plain",
    ):
        raise ValueError(
            f"augment, evaluation_view: got {config.augment!r} and "
            f"{config.evaluation_view!r} for inputs of shape "
            f"{study.train.inputs.shape[1:]} and standardize={config.standardize}, "
            "expected none and plain unless they are images with values in [0, 1]"
        )
    if not task.images and config.second_view != "strong":
        raise ValueError(
            f"second_view: got {config.second_view} for inputs of shape "
            f"{study.train.inputs.shape[1:]} and standardize={config.standardize}, "
            "expected it for images with values in [0, 1] alone"
        )
    return task


def _with_foreign(
    config: DataPruningConfig, train: data.Dataset
) -> tuple[data.Dataset, np.ndarray, str]:
    """The training set with its foreign images, who they are, and words on them."""
    if not config.foreign:
        return train, np.zeros(len(train), bool), ""
    if train.inputs.ndim != 4 or isinstance(train.inputs, data.FileRows):
        raise ValueError(
            f"foreign: got {config.foreign!r} for inputs of shape "
            f"{train.inputs.shape[1:]} of {train.name}, expected images in memory"
        )
    with errors_name_flags(
        **dict.fromkeys(
            ("dataset", "path", "split", "labels", "ood_names", "images", "foreign"),
            "foreign",
        ),
        share="foreign_share",
    ):
        other = load_foreign(
            config.foreign,
            "train",
            train,
            data_dir=config.data_dir,
            image_size=config.image_size,
        )
        found = corruption.foreign_inputs(
            jax.random.fold_in(jax.random.key(config.seed), _FOREIGN),
            train.inputs,
            other.inputs,
            config.foreign_share,
        )
    count = int(found.is_foreign.sum())
    if not 0 < count < len(train):
        raise ValueError(
            f"foreign_share: got {config.foreign_share:g}, which is {count} of the "
            f"{len(train)} training images, expected some and not all"
        )
    words = f"; {count / len(train):.2%} of the images are of {other.name}"
    return dataclasses.replace(train, inputs=found.inputs), found.is_foreign, words


def _ssp_features(config: DataPruningConfig, size: int) -> np.ndarray | None:
    if config.ssp_features is None:
        return None
    if "ssp" not in {e.name for e in subset_methods.methods_of(config).values()}:
        raise ValueError("ssp_features: got a file, expected ssp among the methods")
    features = read_array(config.ssp_features, "ssp_features")
    check_features("ssp_features", features, nonzero=True)
    if len(features) != size:
        raise ValueError(
            f"ssp_features: got {len(features)} rows, expected the {size} of the "
            "training set"
        )
    return features
