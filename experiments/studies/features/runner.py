"""Trains one method of a study of features on one number of examples, all repeats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.studies.features.adversarial import AdversarialClassification
from experiments.studies.features.boxes import Boxes
from experiments.studies.features.classification import Classification
from experiments.studies.features.examples import keep_decided
from experiments.studies.features.localization import Localization
from experiments.studies.features.observation import Measurement
from experiments.studies.features.pictures import ACTIVATIONS
from experiments.studies.features.pretraining import Pretraining
from experiments.studies.features.programs import Network, Training
from experiments.studies.features.setup import Data
from experiments.study.journal import Cell, Journal
from experiments.study.repeats import Prepared, Watched, cell_name, run_repeats
from robustjax.training import (
    StopRequest,
    TrainState,
    data_mesh,
    place,
    state_sharding,
)

_SHOWN = ("loss", "test_accuracy", "test_iou", "max_box_accuracy")


class Parts(NamedTuple):
    """What is trained.

    Attributes:
      study: data and draws.
      network: that all methods share.
      measure: what is watched.
      trainings: (method, number of examples) -> its training.
      pretraining: of what comes before it, if anything.
      groups: the repeats that train as one program.
    """

    study: Data
    network: Network
    measure: Measurement
    trainings: Mapping[tuple[str, int], Training]
    pretraining: Pretraining | None
    groups: list[range]

    def cells(self, method: str, count: int) -> list[str]:
        """The names of the cells of a training, those of its pretraining first."""
        before = self.pretraining.cells(method) if self.pretraining else []
        own = [cell_name(run_name(method, count), group) for group in self.groups]
        return [*before, *own]


def make_measure(study: Data, network: Network) -> Measurement:
    """What the study's task measures."""
    kinds: dict[str, Callable[[Data, Network], Measurement]] = {
        "classification": Classification,
        "boxes": Boxes,
        "localization": Localization,
    }
    if study.config.training == "adversarial":
        return AdversarialClassification(study, network)
    return kinds[study.config.task](study, network)


def run_name(method: str, count: int) -> str:
    """The name of a method on a number of examples, for people and cells."""
    return f"{method}_{count}"


def run_method(
    method: str,
    count: int,
    parts: Parts,
    pool: jax.Array,
    journal: Journal,
    stop: StopRequest,
) -> None:
    """Trains (or continues) all repeats of a method on a number of examples.

    Args:
      method: its name.
      count: target examples, a key of `study.roles`.
      parts: of the study.
      pool: the images of `study.pool` on the device, shared by everything.
      journal: gets everything.
      stop: checked after every epoch.
    """
    study, measure = parts.study, parts.measure
    config, training = study.config, parts.trainings[method, count]
    if all(map(journal.finished, parts.cells(method, count))):
        return
    if parts.pretraining is not None:
        training = parts.pretraining.before(training, method, journal, stop)
    program = training.program
    epochs = program.recipe.epochs
    height, width = study.target.test.inputs.shape[1:3]
    fields = {"method": method, "num_examples": count}

    def repeated(values: np.ndarray, repeats: int) -> np.ndarray:
        return np.broadcast_to(values, (repeats, *values.shape))

    def variables(state: TrainState, number: int) -> tuple[Any, Any]:
        own = jax.tree.map(lambda x: x[number], (state.params, state.model_state))
        return training.variables(*own)

    def watch(epoch: int, state: TrainState) -> dict[str, np.ndarray]:
        found = []
        for number in range(len(state.epoch)):
            own = variables(state, number)
            found.append(measure(*own))
            if epoch == epochs - 1:
                found[-1] |= measure.at_end(*own)
        return {name: np.array([each[name] for each in found]) for name in found[0]}

    def prepare(group: range) -> Prepared:
        repeats = slice(group.start, group.stop)
        extras = {}
        if study.boxes is not None:
            extras["box"] = repeated(study.boxes, len(group))
        data = program.make_data(pool, repeated(study.labels, len(group)), extras)
        # Parameters are made for the size that augmentation leaves.
        sample = pool[:1, :height, :width]
        state = training.begin(
            program.init(study.repeat_keys[repeats], sample), repeats
        )
        if jax.device_count() > 1:
            layout = state_sharding(state, data_mesh(), repeats=True)
            state = place(state, layout)
        return Prepared(data, state, watch)

    def conclude(cell: Cell, state: TrainState, watched: Watched) -> None:
        cell.result(fields, watched.last(), repeats=watched.repeats, epochs=epochs)
        for number, repeat in enumerate(watched.repeats):
            own = variables(state, number)
            keep_decided(cell, study, measure, method, count, repeat, own)
            if repeat == 0 and config.picture_examples:
                content = measure.activations(*own)
                if content:
                    cell.attach("activations", ACTIVATIONS, content, **fields)

    run_repeats(
        run_name(method, count),
        fields,
        program,
        prepare,
        conclude,
        journal,
        stop,
        groups=parts.groups,
        checkpoint_every_epochs=config.checkpoint_every_epochs,
        shown=_SHOWN,
        watch_every_epochs=config.watch_every_epochs,
    )
