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
from experiments.feature_training.boxes import Boxes
from experiments.feature_training.classification import Classification
from experiments.feature_training.localization import Localization
from experiments.feature_training.programs import Network
from experiments.feature_training.setup import Study
from robustjax.methods.feature_debiasing import with_roles
from robustjax.training import MetricLog, RecipeProgram, StopRequest, TrainState
from robustjax.training.mesh import data_mesh, state_sharding


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
    return kinds[study.config.task](study, network)


def run_name(method: str, count: int) -> str:
    """The name of a method on a number of examples, in the log and on disk."""
    return f"{method}_{count}"


def activations_path(folder: pathlib.Path, method: str, count: int) -> pathlib.Path:
    """Where the activations of the first repeat are kept for a picture."""
    return folder / run_name(method, count) / "activations.npz"


class Watch:
    """Measures a group of repeats after an epoch, one after the other."""

    def __init__(self, measure: Measure, last_epoch: int, picture: pathlib.Path | None):
        """Takes what to measure.

        Args:
          measure: of one repeat.
          last_epoch: counted from 0; activations are kept after it.
          picture: file for the activations of the first repeat of this group, or
            None.
        """
        self._measure = measure
        self._last_epoch = last_epoch
        self._picture = picture

    def __call__(self, epoch: int, state: TrainState) -> dict[str, np.ndarray]:
        """Measures (R,) after an epoch."""
        found = []
        for repeat in range(len(state.epoch)):
            params, model_state = jax.tree.map(
                lambda x, repeat=repeat: x[repeat], (state.params, state.model_state)
            )
            found.append(self._measure(params, model_state))
            wanted = repeat == 0 and epoch == self._last_epoch
            if wanted and self._picture and isinstance(self._measure, Classification):
                self._measure.save_activations(params, model_state, self._picture)
        return {name: np.array([each[name] for each in found]) for name in found[0]}


def run_method(
    method: str,
    count: int,
    program: RecipeProgram,
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
      program: of both.
      study: data and draws.
      network: of the study.
      measure: what is watched.
      pool: the images of `study.pool` on the device, shared by everything.
      folder: of the study; checkpoints get a folder of their own.
      log: gets a record per epoch and group of repeats.
      stop: checked after every epoch.
    """
    config = study.config
    epochs = program.recipe.epochs
    height, width = study.target.test.inputs.shape[1:3]

    def repeated(values: np.ndarray, repeats: int) -> np.ndarray:
        return np.broadcast_to(values, (repeats, *values.shape))

    def prepare(repeats: slice) -> Prepared:
        roles = study.roles[count][repeats]
        extras = {}
        if study.boxes is not None:
            extras["box"] = repeated(study.boxes, len(roles))
        data = program.make_data(pool, repeated(study.labels, len(roles)), extras)
        # Parameters are made for the size that augmentation leaves.
        sample = pool[:1, :height, :width]
        state = program.init(study.repeat_keys[repeats], sample)
        state = with_roles(state, roles)
        if jax.device_count() > 1:
            layout = state_sharding(state, data_mesh(), repeats=True)
            state = jax.device_put(state, layout)
        picture = None
        if repeats.start == 0 and config.picture_examples:
            picture = activations_path(folder, method, count)
        return Prepared(data, state, Watch(measure, epochs - 1, picture))

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
    steps = -(-count // (config.batch_size // 2))
    half = method == "standard" and config.standard_batch == "half"
    images = steps * config.batch_size // (2 if half else 1)
    return read_curves(run_name(method, count), log, images, epochs)
