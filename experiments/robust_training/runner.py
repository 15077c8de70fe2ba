"""Trains one method of a noisy-label study: metrics, progress, exact resume."""

from __future__ import annotations

import pathlib
import time
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from experiments.robust_training.setup import Study
from robustjax.training import (
    CheckpointFolder,
    Execution,
    MetricLog,
    RecipeProgram,
    StopRequest,
    TrainState,
    fit,
)
from robustjax.training.progress import advance, progress_bar

# Accuracies that are followed from epoch to epoch; those of memorisation are on a
# sample of the training set, under its true and its given labels.
_WATCHED = ("test_accuracy", "validation_accuracy", "clean_correct")
_MEMORISATION = ("noisy_correct", "noisy_memorized")


class Curves(NamedTuple):
    """What one method achieved.

    Attributes:
      values: metric name -> (R, epochs).
      minutes: of training, over all repeats, compilation included and the watching
        of accuracies left out.
      examples_per_second: the data set's size over the time of a late epoch.
    """

    values: dict[str, np.ndarray]
    minutes: float
    examples_per_second: float


class Watch:
    """Measures accuracies after every epoch, on the device.

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


def repeats_at_once(study: Study, execution: Execution) -> int:
    """How many repeats train as one program."""
    if study.config.parallel_repeats:
        return min(study.config.parallel_repeats, study.repeats)
    # On CPU a batch of convolutional networks gains nothing over one after another.
    return 1 if execution.convolution == "patches" else study.repeats


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
    recipe = program.recipe
    inputs = jnp.asarray(study.train.inputs)
    size = repeats_at_once(study, execution)
    groups = [
        slice(first, min(first + size, study.repeats))
        for first in range(0, study.repeats, size)
    ]
    total = len(groups) * recipe.epochs
    with progress_bar(total, f"{name:>14}", unit="epoch") as bar:
        for number, repeats in enumerate(groups):
            checkpoints = CheckpointFolder(folder / name / f"repeats_{number}")
            bar.update(max(checkpoints.steps(), default=0))
            _run_group(
                name,
                number,
                program,
                program.make_data(inputs, study.given[repeats]),
                program.init(study.repeat_keys[repeats], inputs),
                Watch(study, repeats, program),
                checkpoints,
                log,
                bar,
                stop,
                study.config.checkpoint_every_epochs or recipe.epochs,
            )
    return read_curves(name, log, len(study.train), recipe.epochs)


def _run_group(
    name: str,
    number: int,
    program: RecipeProgram,
    train_data: Any,
    state: TrainState,
    watch: Watch,
    checkpoints: CheckpointFolder,
    log: MetricLog,
    bar: Any,
    stop: StopRequest,
    checkpoint_every_epochs: int,
) -> None:
    """Trains one group of repeats and logs every epoch."""
    started = time.monotonic()
    trained, rewound = 0.0, False

    def rewind(epoch: int) -> None:
        # A run that was killed may have logged epochs after its last checkpoint.
        nonlocal rewound
        if not rewound:
            log.rewind(
                lambda record: (
                    (record["method"], record["group"]) != (name, number)
                    or record["epoch"] < epoch
                )
            )
        rewound = True

    def evaluate(epoch: int, state: TrainState) -> dict[str, np.ndarray]:
        nonlocal trained
        trained = time.monotonic() - started
        return watch(epoch, state)

    def report(epoch: int, metrics: dict[str, np.ndarray]) -> None:
        nonlocal started
        rewind(epoch)
        means = {key: float(values.mean()) for key, values in metrics.items()}
        record = {
            "event": "epoch",
            "method": name,
            "group": number,
            "repeats": len(metrics["loss"]),
            "epoch": epoch,
            **means,
            "of_repeats": {
                key: [round(float(v), 6) for v in metrics[key]]
                for key in (*_WATCHED, *_MEMORISATION)
                if key in metrics
            },
            "seconds": round(trained, 3),
        }
        log.write(record, step=epoch, group=f"{name}/{number}")
        bar.set_postfix(
            loss=f"{means['loss']:.3f}",
            test=f"{means['test_accuracy']:.3f}",
            refresh=False,
        )
        advance(bar)
        started = time.monotonic()

    fit(
        program,
        state,
        train_data,
        epochs=program.recipe.epochs,
        report=report,
        evaluate=evaluate,
        stop=stop,
        checkpoints=checkpoints,
        checkpoint_every_epochs=checkpoint_every_epochs,
    )


def read_curves(name: str, log: MetricLog, examples: int, epochs: int) -> Curves:
    """The curves of a finished method from the log."""
    records = [r for r in log.records if r["method"] == name]
    by_group: dict[int, list[dict[str, Any]]] = {}
    for record in records:
        by_group.setdefault(record["group"], []).append(record)
    values = {
        key: np.concatenate(
            [
                np.array([r["of_repeats"][key] for r in by_group[group]]).T
                for group in sorted(by_group)
            ]
        )
        for key in records[0]["of_repeats"]
    }
    late = [r for r in records if r["epoch"] >= epochs // 2]
    second = float(np.median([r["seconds"] / r["repeats"] for r in late]))
    return Curves(
        values,
        minutes=sum(record["seconds"] for record in records) / 60,
        examples_per_second=examples / max(second, 1e-9),
    )
