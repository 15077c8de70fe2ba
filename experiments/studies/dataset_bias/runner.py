"""Trains one method of a dataset-bias study and watches how far the bias leads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.dataset_bias import outcomes
from experiments.studies.dataset_bias.programs import Built
from experiments.studies.dataset_bias.setup import Data
from experiments.study.examples import given_probability, state_columns
from experiments.study.journal import Cell, Journal
from experiments.study.repeats import Prepared, StandIn, Watched, alone, run_repeats
from robustjax import arrays, losses, scores, transforms
from robustjax.data import BiasedDataset
from robustjax.training import RecipeProgram, StopRequest, TrainState, on_host

ACCURACIES: dict[str, Callable[[np.ndarray], float]] = {
    "unbiased": scores.unbiased_accuracy,
    "conflicting": scores.conflicting_accuracy,
    "aligned": scores.aligned_accuracy,
}
LOSSES = ("aligned_loss", "conflicting_loss", "wrong_loss")
# Of a method's memory, what `examples.csv` has already, or what its weight is made of.
_NO_SCORES = ("average", "class", "groups", "bias", "label")


def defined_accuracies(test: BiasedDataset) -> list[str]:
    """Which of `ACCURACIES` the cells of a test set allow.

    Raises:
      ValueError: none of them.
    """
    there = test.group_counts > 0
    own = np.eye(len(there), dtype=bool)
    defined = {
        "unbiased": there.all(),
        "conflicting": there[~own].all(),
        "aligned": there[own].all(),
    }
    if not any(defined.values()):
        target, bias = np.argwhere(~there)[0].tolist()
        raise ValueError(
            f"test_split: {test.dataset.name} has no example in {(~there).sum()} of "
            f"{there.size} pairs of label and bias (first: label {target}, bias "
            f"{bias}), expected one in every pair"
        )
    return [name for name in ACCURACIES if defined[name]]


class Watch:
    """Measures accuracies and losses after an epoch, on the device."""

    def __init__(self, study: Data, repeats: slice, program: RecipeProgram):
        """Puts the test set and a sample of every kind of training example there.

        Args:
          study: data and labels.
          repeats: which of them are trained.
          program: that predicts.
        """
        train, wrong = study.train, study.is_wrong
        rng = np.random.default_rng(study.config.seed)
        kinds = (train.is_aligned & ~wrong, ~train.is_aligned & ~wrong, wrong)
        rows = [np.flatnonzero(kind) for kind in kinds]
        most = study.config.watch_examples
        rows = [
            np.sort(rng.choice(each, min(most, len(each)), replace=False))
            for each in rows
        ]
        self._parts = {n: r for n, r in zip(LOSSES, rows) if len(r)}
        self._program, self._test = program, study.test
        self._names = defined_accuracies(study.test)
        sample = np.concatenate(rows)
        self._inputs = jnp.asarray(
            np.concatenate([study.test.dataset.inputs, train.dataset.inputs[sample]])
        )
        self._given = jnp.asarray(study.given[repeats][:, sample])

    def __call__(self, epoch: int, state: TrainState) -> dict[str, np.ndarray]:
        """Metrics (R,) after an epoch."""
        del epoch
        logits = self._program.predict(state, self._inputs)
        count = len(self._test)
        test = self._test
        cells = [
            scores.cell_accuracies(
                each, test.dataset.labels, test.bias, test.dataset.num_classes
            )
            for each in np.asarray(jnp.argmax(logits[:, :count], axis=-1))
        ]
        found = {
            name: np.array([ACCURACIES[name](each) for each in cells])
            for name in self._names
        }
        if self._parts:
            loss = jax.vmap(losses.cross_entropy)(logits[:, count:], self._given)
            ends = np.cumsum([len(rows) for rows in self._parts.values()])[:-1]
            for name, part in zip(self._parts, np.split(np.asarray(loss), ends, 1)):
                found[name] = part.mean(axis=1)
        return found


def final_measures(watched: Watched) -> dict[str, np.ndarray]:
    """The numbers (R,) that are reported for a method.

    Every accuracy after the last epoch and, but for the aligned one, the highest of all
    epochs ("..._best"), which looks at the test set: an upper bound that is published
    often, not a result.
    """
    values = {n: v for n, v in watched.values.items() if n in ACCURACIES}
    found = {name: each[:, -1] for name, each in values.items()}
    return found | {
        f"{name}_best": each.max(axis=1)
        for name, each in values.items()
        if name != "aligned"
    }


def example_scores(rows: Any, given: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """What a method holds of every example, by name: (R, N).

    Args:
      rows: of its loss state, leaves (R, N_padded, ...).
      given: (R, N) labels.
      classes: C.

    Returns:
      `state_columns`; for a relative difficulty, "weight", LfF's W, of the averages of
      both networks' losses.
    """
    found = {
        name: values
        for name, values in state_columns(rows, given, classes).items()
        if name not in _NO_SCORES
    }
    for node in _nodes(rows):
        if "average" in node and node["average"].ndim == 3:
            found["weight"] = np.stack(
                [
                    _weight(average, own, given.shape[1], classes)
                    for average, own in zip(node["average"], node["class"])
                ]
            )
    return found


def _nodes(rows: Any) -> Iterator[dict[str, Any]]:
    """All dictionaries within nested dictionaries and tuples."""
    if isinstance(rows, dict):
        yield rows
        rows = tuple(rows.values())
    if isinstance(rows, tuple | list):
        for each in rows:
            yield from _nodes(each)


def _weight(average: jax.Array, own: jax.Array, count: int, classes: int) -> np.ndarray:
    biased, debiased = (
        transforms.read_averaged_losses(
            {"average": average[:, place], "class": own}, count, classes
        )
        for place in (0, 1)
    )
    return np.asarray(transforms.difficulty_ratio(biased, debiased), np.float64)


def split_measures(
    suspected: np.ndarray, conflicting: np.ndarray
) -> dict[str, np.ndarray]:
    """How well a split (R, N) finds the conflicting examples (N,)."""
    found = [scores.split_quality(each, conflicting) for each in suspected]
    return {
        f"split_{name}": np.array([getattr(each, name) for each in found])
        for name in scores.SplitQuality._fields
    }


def run_method(
    name: str,
    built: Built,
    study: Data,
    groups: list[range],
    journal: Journal,
    stop: StopRequest,
    stand_in: StandIn = alone,
) -> None:
    """Trains (or continues) all repeats of one method.

    Args:
      name: of the method.
      built: of the method.
      study: data and labels.
      groups: the repeats that train as one program.
      journal: gets everything.
      stop: checked after every epoch.
      stand_in: what trains in the program's place.
    """
    config, train = study.config, study.train
    inputs = arrays.floats("inputs", train.dataset.inputs)
    fields, program = {"method": name}, built.program

    def prepare(group: range) -> Prepared:
        repeats = slice(group.start, group.stop)
        return Prepared(
            program.make_data(inputs, study.given[repeats]),
            program.init(study.repeat_keys[repeats], inputs),
            Watch(study, repeats, program),
        )

    def conclude(cell: Cell, state: TrainState, watched: Watched) -> None:
        given = study.given[watched.repeats.start : watched.repeats.stop]
        predicted, probability = given_probability(program, state, inputs, given)
        # Of several processes each has a part of the rows.
        rows = on_host(state.loss_state.rows)
        memory = example_scores(rows, given, train.dataset.num_classes)
        measures = final_measures(watched)
        if "conflicting" in memory:
            measures |= split_measures(memory["conflicting"] > 0, ~train.is_aligned)
        if "two_encoders" in built.entry.needs:
            measures |= outcomes.swap_accuracies(built, study, state)
        cell.result(
            fields, measures, repeats=watched.repeats, epochs=program.recipe.epochs
        )
        for number, repeat in enumerate(watched.repeats):
            cell.keep(
                name,
                train.dataset.ids,
                {"repeat": repeat},
                predicted=predicted[number],
                given_probability=probability[number],
                **{column: values[number] for column, values in memory.items()},
            )
        if watched.repeats.start == 0:
            if "two_encoders" in built.entry.needs:
                outcomes.keep_features(cell, name, built, study, state)
                outcomes.keep_reconstructions(cell, name, built, study, state)
            if built.entry.name == "bias_swap":
                outcomes.keep_swapped_images(cell, name, study, state)

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
        shown=("loss", "unbiased", "conflicting"),
        watch_every_epochs=config.watch_every_epochs,
        stand_in=stand_in,
    )
