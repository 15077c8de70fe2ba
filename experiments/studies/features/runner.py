"""Trains one method on one number of examples, all repeats."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any, Protocol

import jax
import numpy as np

from experiments.common.repeats import (
    Curves,
    Prepared,
    group_size,
    read_curves,
    run_repeats,
)
from experiments.studies.features.adversarial import AdversarialClassification
from experiments.studies.features.boxes import Boxes
from experiments.studies.features.classification import Classification
from experiments.studies.features.localization import Localization
from experiments.studies.features.programs import Network, Training
from experiments.studies.features.setup import Study
from robustjax.training import (
    MetricLog,
    StopRequest,
    TrainState,
    data_mesh,
    state_sharding,
)


class Measure(Protocol):
    """What a task measures of one repeat's network; the first is the main one."""

    headline: tuple[str, ...]

    def __call__(self, params: Any, model_state: Any) -> dict[str, float]:
        """Measures by name."""


def make_measure(study: Study, network: Network) -> Measure:
    """What the study's task measures."""
    kinds: dict[str, Callable[[Study, Network], Measure]] = {
        "classification": Classification,
        "boxes": Boxes,
        "localization": Localization,
    }
    if study.config.training == "adversarial":
        return AdversarialClassification(study, network)
    return kinds[study.config.task](study, network)


def run_name(method: str, count: int) -> str:
    """The name of a method on a number of examples, in the log and on disk."""
    return f"{method}_{count}"


def activations_path(folder: pathlib.Path, method: str, count: int) -> pathlib.Path:
    """Where the activations of the first repeat are kept for a picture."""
    return folder / run_name(method, count) / "activations.npz"


class Watch:
    """Measures a group of repeats after an epoch, one after the other."""

    def __init__(
        self,
        measure: Measure,
        variables: Callable[[Any, Any], tuple[Any, Any]],
        last_epoch: int,
        picture: pathlib.Path | None,
    ):
        """Takes what to measure.

        Args:
          measure: of one repeat.
          variables: see `Training`.
          last_epoch: counted from 0; activations are kept after it.
          picture: file for the activations of the first repeat of this group, or
            None.
        """
        self._measure, self._variables = measure, variables
        self._last_epoch = last_epoch
        self._picture = picture

    def __call__(self, epoch: int, state: TrainState) -> dict[str, np.ndarray]:
        """Measures (R,) after an epoch."""
        found = []
        for repeat in range(len(state.epoch)):
            params, model_state = jax.tree.map(
                lambda x, repeat=repeat: x[repeat], (state.params, state.model_state)
            )
            params, model_state = self._variables(params, model_state)
            found.append(self._measure(params, model_state))
            if epoch < self._last_epoch:
                continue
            if isinstance(self._measure, AdversarialClassification):
                found[-1] |= self._measure.at_end(params, model_state)
            picture = self._picture if repeat == 0 else None
            if picture and isinstance(self._measure, Classification):
                self._measure.save_activations(params, model_state, picture)
        return {name: np.array([each[name] for each in found]) for name in found[0]}


def run_method(
    method: str,
    count: int,
    training: Training,
    study: Study,
    network: Network,
    measure: Measure,
    pool: jax.Array,
    folder: pathlib.Path,
    log: MetricLog,
    stop: StopRequest,
) -> Curves:
    """Trains (or continues) all repeats of a method on a number of examples.

    Args:
      method: its name.
      count: target examples, a key of `study.roles`.
      training: of both.
      study: data and draws.
      network: of the study.
      measure: what is watched.
      pool: the images of `study.pool` on the device, shared by everything.
      folder: of the study; checkpoints get a folder of their own.
      log: gets a record per epoch and group of repeats.
      stop: checked after every epoch.
    """
    config = study.config
    program = training.program
    epochs = program.recipe.epochs
    height, width = study.target.test.inputs.shape[1:3]

    def repeated(values: np.ndarray, repeats: int) -> np.ndarray:
        return np.broadcast_to(values, (repeats, *values.shape))

    def prepare(repeats: slice) -> Prepared:
        keys = study.repeat_keys[repeats]
        extras = {}
        if study.boxes is not None:
            extras["box"] = repeated(study.boxes, len(keys))
        data = program.make_data(pool, repeated(study.labels, len(keys)), extras)
        # Parameters are made for the size that augmentation leaves.
        sample = pool[:1, :height, :width]
        state = training.begin(program.init(keys, sample), repeats)
        if jax.device_count() > 1:
            layout = state_sharding(state, data_mesh(), repeats=True)
            state = jax.device_put(state, layout)
        picture = None
        if repeats.start == 0 and config.picture_examples:
            picture = activations_path(folder, method, count)
        watch = Watch(measure, training.variables, epochs - 1, picture)
        return Prepared(data, state, watch)

    run_repeats(
        run_name(method, count),
        program,
        prepare,
        repeats=config.repeats,
        at_once=group_size(config.parallel_repeats, config.repeats, network.execution),
        folder=folder,
        log=log,
        stop=stop,
        checkpoint_every_epochs=config.checkpoint_every_epochs,
        shown=("loss", measure.headline[0]),
        watch_every_epochs=config.watch_every_epochs,
    )
    return read_curves(run_name(method, count), log, training.images, epochs)
