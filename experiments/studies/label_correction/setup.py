"""From the flags of a label-correction study to its data, noise and trainer."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import numpy as np

from experiments.common import noise
from experiments.common.inputs import (
    FeatureOptions,
    arrays_of,
    to_features,
)
from experiments.studies.label_correction.config import RoundFlags
from experiments.studies.label_correction.costs import budget_of
from robustjax import checks, data, methods
from robustjax.methods.label_correction import CorrectionMethod, EpochReport
from robustjax.tools.inputs import load_splits
from robustjax.tools.optimizer import drop_epochs
from robustjax.training import StopRequest, data_mesh


class Data(NamedTuple):
    """What all methods of a study share.

    Attributes:
      config: the flags.
      settings: of the classifier.
      train: with the true labels.
      test: to measure accuracy on.
      task: the given labels of every repeat.
      budget: the queries.
      run_keys: (R,) PRNG keys of the runs.
    """

    config: RoundFlags
    settings: methods.ClassifierSettings
    train: data.Dataset
    test: data.Dataset
    task: noise.NoisyTask
    budget: methods.Budget | methods.CostBudget
    run_keys: jax.Array

    @property
    def noise_rate(self) -> float:
        """The share of wrong labels, of all repeats."""
        return float(self.task.is_noisy.mean())

    @property
    def title(self) -> str:
        """For plots."""
        return (
            f"{self.train.name}, {self.task.description}, {len(self.run_keys)} repeats"
        )


CostsOf = Callable[[data.Dataset, np.ndarray, jax.Array], np.ndarray]
"""From examples, their given labels (R, N) and keys (R,) to costs (R, N)."""


def prepare(
    config: RoundFlags,
    made: Iterable[CorrectionMethod] = (),
    costs_of: CostsOf | None = None,
) -> Data:
    """Checks the flags, loads the data and corrupts the labels.

    Args:
      config: the flags.
      made: the methods that will run.
      costs_of: what labels cost; None where they are counted.

    Raises:
      ValueError: a bad flag, before anything is trained.
    """
    checks.at_least("repeats", config.repeats, 1)
    checks.one_of("noise", config.noise, noise.MODELS)
    checks.in_range("noise_rate", config.noise_rate, 0, 1)
    settings = classifier_settings(config)
    features = _feature_options(config)
    train, test = load_splits(
        config.dataset,
        config.train_split,
        config.test_split,
        data_dir=config.data_dir,
        image_size=config.image_size,
    )
    settings.check(len(train), jax.device_count())
    budget: methods.Budget | methods.CostBudget
    budget = methods.Budget(config.budget, config.batch)
    if costs_of is None:
        budget.check(len(train))
    for method in made:
        _check_neighbors(method, len(train))
    noise_keys, run_keys = jax.random.split(
        jax.random.key(config.seed), (2, config.repeats)
    )
    task = noise.noise_of_flags(config, config, train, noise_keys)
    if costs_of is not None:
        costs = costs_of(train, task.labels, noise_keys)
        budget = budget_of(config.budget, config.batch, costs)
    # Last, for extracting features can take hours.
    train, test = to_features((train, test), features)
    if config.standardize:
        train, test = data.standardize(train, test)
    return Data(config, settings, train, test, task, budget, run_keys)


def _check_neighbors(method: CorrectionMethod, size: int) -> None:
    propagation = getattr(method, "propagation", None)
    if propagation is not None and propagation.neighbors >= size:
        raise ValueError(
            f"options ({method.name}.neighbors): got {propagation.neighbors} for "
            f"{size} examples, expected 1 … {size - 1}"
        )


def digested(study: Data) -> dict[str, np.ndarray]:
    """The arrays that the results depend on."""
    found = {**arrays_of(study.train, study.test), "given labels": study.task.labels}
    if isinstance(study.budget, methods.CostBudget):
        found["label costs"] = study.budget.costs
    return found


def default_name(config: RoundFlags, preset: str | None) -> str:
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


def classifier_settings(config: RoundFlags) -> methods.ClassifierSettings:
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


def _feature_options(config: RoundFlags) -> FeatureOptions:
    options = FeatureOptions(
        network=config.features,
        weights=config.weights,
        image_size=config.feature_image_size,
        batch_size=config.feature_batch_size,
        cache_dir=config.feature_cache,
    )
    options.check()
    return options
