"""Trains one method of a noisy-label study and watches what it memorises."""

from __future__ import annotations

import jax
import numpy as np

from experiments.studies.label_noise.setup import Data
from experiments.study.examples import given_probability, state_columns
from experiments.study.journal import Cell, Journal
from experiments.study.repeats import Prepared, StandIn, Watched, alone, run_repeats
from robustjax.scores import ood_detection_metrics
from robustjax.training import (
    RecipeProgram,
    StopRequest,
    Stream,
    TrainState,
    on_host,
)

# What DivideMix calls its rows.
_DIVIDES = "clean_probability"


class Watch:
    """Measures accuracies after an epoch, on the device.

    Fractions of memorisation are those of Liu et al. (NeurIPS 2020), Fig. 1: of the
    examples with a wrong label, those predicted as their true class
    ("noisy_correct") and as the wrong label ("noisy_memorized"); of those with a
    right label, those predicted right ("clean_correct").

    Of a method that divides its examples by the probability that their label is right
    (DivideMix), "division" is how well that tells right labels from wrong ones: the
    area under the ROC curve, over all examples and the mean of both networks, 0.5
    before the first division, when all labels are taken for right.
    """

    def __init__(self, study: Data, repeats: slice, program: RecipeProgram):
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
        self._inputs = jax.device_put(np.concatenate(parts))
        self._ends = np.cumsum([len(part) for part in parts])[:-1]
        self._wrong = study.given[repeats] != study.train.labels[None]
        self._true = study.train.labels[sample]
        self._given = study.given[repeats][:, sample]
        self._test = study.test.labels
        self._validation = study.validation_labels[repeats]

    def __call__(self, epoch: int, state: TrainState) -> dict[str, np.ndarray]:
        """Metrics (R,) after an epoch."""
        del epoch
        logits = self._program.predict(state, self._inputs)
        predicted = np.argmax(np.asarray(logits), axis=-1)
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
        rows = state.loss_state.rows
        if isinstance(rows, dict) and _DIVIDES in rows and self._is_mixed():
            found["division"] = _division(on_host(rows[_DIVIDES]), self._wrong)
        return found

    def _is_mixed(self) -> bool:
        """Whether every repeat has right labels and wrong ones."""
        return bool((self._wrong.any(axis=1) & ~self._wrong.all(axis=1)).all())


def _division(clean: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """(R,) the mean of both networks' areas under the ROC curve.

    Args:
      clean: (R, N_padded, 2) probabilities that a label is right.
      wrong: (R, N) whether it is not.
    """
    return np.array(
        [
            np.mean(
                [
                    ood_detection_metrics(-own[~bad], -own[bad]).auroc
                    for own in values[: len(bad)].T
                ]
            )
            for values, bad in zip(clean, wrong, strict=True)
        ]
    )


def _share(what: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Per row, the share of truths among the chosen; 0 where none is chosen."""
    return (what & among).sum(axis=1) / np.maximum(among.sum(axis=1), 1)


def final_measures(watched: Watched) -> dict[str, np.ndarray]:
    """The accuracies (R,) that are reported for a method.

    "last" is the test accuracy after the last epoch, "last_10" the mean over the last
    ten epochs (left out of shorter trainings, of which it would be the mean of all,
    and where not each of the ten was measured), "best_on_test" the highest of all (it
    looks at the test set: an upper bound that is published often, not a result),
    "at_best_validation" that of the epoch with the highest accuracy on the held-out
    noisy labels. Shares of memorisation and the division are those after the last.
    """
    test, epochs = watched.values["test_accuracy"], watched.epochs
    found = {"last": test[:, -1]}
    if len(epochs) >= 10 and epochs[-1] - epochs[-10] == 9:
        found["last_10"] = test[:, -10:].mean(axis=1)
    found["best_on_test"] = test.max(axis=1)
    if "validation_accuracy" in watched.values:
        best = watched.values["validation_accuracy"].argmax(axis=1)
        found["at_best_validation"] = test[np.arange(len(test)), best]
    for name in ("noisy_correct", "noisy_memorized", "division"):
        if name in watched.values:
            found[name] = watched.values[name][:, -1]
    return found


def run_method(
    name: str,
    program: RecipeProgram,
    study: Data,
    groups: list[range],
    journal: Journal,
    stop: StopRequest,
    stand_in: StandIn = alone,
) -> None:
    """Trains (or continues) all repeats of one method.

    Args:
      name: of the method.
      program: of the method.
      study: data and labels.
      groups: the repeats that train as one program.
      journal: gets everything.
      stop: checked after every epoch.
      stand_in: what trains in the program's place.
    """
    config, train = study.config, study.train
    inputs: jax.Array | Stream
    if config.stream:
        inputs = Stream(train.inputs)
    else:
        inputs = jax.device_put(np.asarray(train.inputs))
    fields = {"method": name}

    def prepare(group: range) -> Prepared:
        repeats = slice(group.start, group.stop)
        return Prepared(
            program.make_data(inputs, study.given[repeats]),
            program.init(study.repeat_keys[repeats], inputs),
            Watch(study, repeats, program),
        )

    def conclude(cell: Cell, state: TrainState, watched: Watched) -> None:
        given = study.given[watched.repeats.start : watched.repeats.stop]
        cell.result(
            fields,
            final_measures(watched),
            repeats=watched.repeats,
            epochs=program.recipe.epochs,
        )
        predicted, probability = given_probability(program, state, inputs, given)
        memory = state_columns(state.loss_state.rows, given, train.num_classes)
        for number, repeat in enumerate(watched.repeats):
            cell.keep(
                name,
                train.ids,
                {"repeat": repeat},
                predicted=predicted[number],
                given_probability=probability[number],
                **{column: values[number] for column, values in memory.items()},
            )

    run_repeats(
        name,
        fields,
        program,
        prepare,
        conclude,
        journal,
        stop,
        groups=groups,
        checkpoint_every_epochs=config.checkpoint_every_epochs,
        shown=("loss", "test_accuracy"),
        watch_every_epochs=config.watch_every_epochs,
        stand_in=stand_in,
    )
