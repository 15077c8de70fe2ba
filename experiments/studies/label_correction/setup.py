"""From the flags of a label-correction study to its data, noise and trainer."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import NamedTuple

import jax
import numpy as np

from experiments.common import noise
from experiments.common.inputs import (
    FeatureOptions,
    arrays_of,
    load_splits,
    to_features,
)
from experiments.common.optimizer import drop_epochs
from experiments.studies.label_correction.config import CorrectionConfig
from experiments.study.flags import errors_name_flags
from robustjax import checks, data, methods
from robustjax.methods.label_correction import EpochReport
from robustjax.training import StopRequest, data_mesh


class Data(NamedTuple):
    """What all methods of a study share.

    Attributes:
      config: the flags.
      settings: of the classifier.
      options: of the methods.
      train: with the true labels.
      test: to measure accuracy on.
      task: the given labels of every repeat.
      budget: the queries.
      run_keys: (R,) PRNG keys of the runs.
    """

    config: CorrectionConfig
    settings: methods.ClassifierSettings
    options: methods.CorrectionOptions
    train: data.Dataset
    test: data.Dataset
    task: noise.NoisyTask
    budget: methods.Budget
    run_keys: jax.Array

    @property
    def title(self) -> str:
        """For plots."""
        return (
            f"{self.train.name}, {self.task.description}, {len(self.run_keys)} repeats"
        )


def prepare(config: CorrectionConfig) -> Data:
    """Checks the flags, loads the data and corrupts the labels.

    Raises:
      ValueError: a bad flag, before anything is trained.
    """
    checks.at_least("repeats", config.repeats, 1)
    checks.one_of("noise", config.noise, noise.MODELS)
    checks.in_range("noise_rate", config.noise_rate, 0, 1)
    settings, options = classifier_settings(config), method_options(config)
    features = _feature_options(config)
    train, test = load_splits(
        config.dataset,
        config.train_split,
        config.test_split,
        data_dir=config.data_dir,
        image_size=config.image_size,
    )
    settings.check(len(train), jax.device_count())
    budget = methods.Budget(config.budget, config.batch)
    budget.check(len(train))
    if config.neighbors >= len(train):
        raise ValueError(
            f"neighbors: got {config.neighbors} for {len(train)} examples, expected "
            f"1 … {len(train) - 1}"
        )
    noise_keys, run_keys = jax.random.split(
        jax.random.key(config.seed), (2, config.repeats)
    )
    task = noise.noise_of_flags(config, config, train, noise_keys)
    options = dataclasses.replace(options, noise_rate=float(task.is_noisy.mean()))
    # Last, for extracting features can take hours.
    train, test = to_features((train, test), features)
    if config.standardize:
        train, test = data.standardize(train, test)
    return Data(config, settings, options, train, test, task, budget, run_keys)


def digested(study: Data) -> dict[str, np.ndarray]:
    """The arrays that the results depend on."""
    return {**arrays_of(study.train, study.test), "given labels": study.task.labels}


def default_name(config: CorrectionConfig, preset: str | None) -> str:
    """The run folder's name where none is given."""
    name = preset or pathlib.Path(config.dataset).stem
    return name if config.noise == "uniform" else f"{name}-{config.noise}"


def make_trainer(
    study: Data,
    *,
    on_epoch: EpochReport | None = None,
    stop: StopRequest | None = None,
) -> methods.RoundTrainer:
    """The classifier's trainer, on all devices there are."""
    return methods.RoundTrainer(
        study.train.inputs,
        study.train.num_classes,
        study.settings,
        mesh=data_mesh() if jax.device_count() > 1 else None,
        on_epoch=on_epoch,
        stop=stop,
    )


def classifier_settings(config: CorrectionConfig) -> methods.ClassifierSettings:
    """The classifier's settings from the flags."""
    return methods.ClassifierSettings(
        hidden=config.hidden,
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        drop_epochs=drop_epochs(config.drop_at, config.epochs),
        drop_factor=config.drop_factor,
        dtype=config.dtype,
    )


def method_options(config: CorrectionConfig) -> methods.CorrectionOptions:
    """The methods' settings from the flags; the noise rate is not known yet.

    Raises:
      ValueError: a bad flag.
    """
    try:
        scale: str | float = float(config.weight_scale)
    except ValueError:
        scale = config.weight_scale
    with errors_name_flags(
        mode="diffusion_mode",
        step_size="diffusion_step_size",
        steps="diffusion_steps",
        space="graph_space",
    ):
        propagation = methods.Propagation(
            mode=config.diffusion_mode,
            neighbors=config.neighbors,
            step_size=config.diffusion_step_size,
            steps=config.diffusion_steps,
            space=config.graph_space,
        )
    with errors_name_flags(step_size="weight_step", scale="weight_scale"):
        alc = methods.ActiveLabelCorrection(
            propagation=propagation,
            candidates_per_query=config.candidates_per_query or None,
            weight_step=config.weight_step,
            weight_scale=scale,
            freeze_scale=config.freeze_scale,
            loss_pass=config.loss_pass,
            weighting=config.weighting,
            warm_start=config.warm_start,
            extra_epochs=config.extra_epochs,
        )
    with errors_name_flags(
        epochs="o2u_epochs", batch_size="o2u_batch_size", passes="simifeat_passes"
    ):
        return methods.CorrectionOptions(
            alc=alc,
            o2u_net=methods.O2UNet(
                epochs=config.o2u_epochs, batch_size=config.o2u_batch_size
            ),
            simifeat=methods.SimiFeat(passes=config.simifeat_passes),
        )


def _feature_options(config: CorrectionConfig) -> FeatureOptions:
    options = FeatureOptions(
        network=config.features,
        weights=config.weights,
        image_size=config.feature_image_size,
        batch_size=config.feature_batch_size,
        cache_dir=config.feature_cache,
    )
    options.check()
    return options
