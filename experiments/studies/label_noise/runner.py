"""Trains one method of a noisy-label study and watches what it memorises."""

from __future__ import annotations

import pathlib

import jax.numpy as jnp
import numpy as np

from experiments.common.repeats import (
    Curves,
    Prepared,
    group_size,
    read_curves,
    run_repeats,
)
from experiments.studies.label_noise.setup import Study
from robustjax.training import (
    Execution,
    MetricLog,
    RecipeProgram,
    StopRequest,
    TrainState,
)


class Watch:
    """Measures accuracies after an epoch, on the device.

    Fractions of memorisation are those of Liu et al. (NeurIPS 2020), Fig. 1: of the
    examples with a wrong label, those predicted as their true class
    ("noisy_correct") and as the wrong label ("noisy_memorized"); of those with a
    right label, those predicted right ("clean_correct").
    """

    def __init__(self, study: Study, repeats: slice, program: RecipeProgram):
        """Puts the test set, the validation set and a sample on the device.

        Args:
          study: data and labels.
          repeats: which of them are trained.
          program: that predicts.
        """
        rng = np.random.default_rng(study.config.seed)
        count = min(study.config.watch_examples, len(study.train))
        sample = np.sort(rng.choice(len(study.train), count, replace=False))
        self._program = program
        parts = [study.test.inputs]
        if study.validation is not None:
            parts.append(study.validation.inputs)
        if count:
            parts.append(study.train.inputs[sample])
        self._inputs = jnp.asarray(np.concatenate(parts))
        self._ends = np.cumsum([len(part) for part in parts])[:-1]
        self._true = study.train.labels[sample]
        self._given = study.given[repeats][:, sample]
        self._test = study.test.labels
        self._validation = study.validation_labels[repeats]

    def __call__(self, epoch: int, state: TrainState) -> dict[str, np.ndarray]:
        """Metrics (R,) after an epoch."""
        del epoch
        logits = self._program.predict(state, self._inputs)
        predicted = np.asarray(jnp.argmax(logits, axis=-1))
        test, *others = np.split(predicted, self._ends, axis=1)
        found = {"test_accuracy": (test == self._test[None]).mean(axis=1)}
        if self._validation.size:
            right = others.pop(0) == self._validation
            found["validation_accuracy"] = right.mean(axis=1)
        if self._true.size:
            sample = others.pop(0)
            wrong = self._given != self._true[None]
            right = sample == self._true[None]
            found["clean_correct"] = _share(right, ~wrong)
            found["noisy_correct"] = _share(right, wrong)
            found["noisy_memorized"] = _share(sample == self._given, wrong)
        return found


def _share(what: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Per row, the share of truths among the chosen; 0 where none is chosen."""
    return (what & among).sum(axis=1) / np.maximum(among.sum(axis=1), 1)


def run_method(
    name: str,
    program: RecipeProgram,
    study: Study,
    execution: Execution,
    folder: pathlib.Path,
    log: MetricLog,
    stop: StopRequest,
) -> Curves:
    """Trains (or continues) all repeats of one method.

    Args:
      name: of the method.
      program: of the method.
      study: data and labels.
      execution: how the network is run.
      folder: of the study; the method keeps its checkpoints in one of its own.
      log: gets a record per epoch and group of repeats.
      stop: checked after every epoch.
    """
    config = study.config
    inputs = jnp.asarray(study.train.inputs)

    def prepare(repeats: slice) -> Prepared:
        return Prepared(
            program.make_data(inputs, study.given[repeats]),
            program.init(study.repeat_keys[repeats], inputs),
            Watch(study, repeats, program),
        )

    run_repeats(
        name,
        program,
        prepare,
        repeats=study.repeats,
        at_once=group_size(config.parallel_repeats, study.repeats, execution),
        folder=folder,
        log=log,
        stop=stop,
        checkpoint_every_epochs=config.checkpoint_every_epochs,
        shown=("loss", "test_accuracy"),
        watch_every_epochs=config.watch_every_epochs,
    )
    return read_curves(name, log, len(study.train), program.recipe.epochs)
