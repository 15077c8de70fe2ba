"""Choosing the subsets of a repeat, and keeping them on disk."""

from __future__ import annotations

import io
from typing import NamedTuple

import jax
import numpy as np

from experiments.studies.pruning.setup import Data
from experiments.studies.pruning.subset_methods import (
    is_nested,
    methods_of,
    sees_views,
    settings_of,
)
from experiments.studies.pruning.warmup import Evaluation
from experiments.study.journal import Cell
from robustjax import selection
from robustjax.training import StopRequest, progress_bar

SUBSET = "subset"


class Subset(NamedTuple):
    """What a method has kept.

    Attributes:
      indices: (M,) of the training set, in order of selection.
      neighborhood: (N,) float32, the reduced neighbourhood confidence of every
        example.
    """

    indices: np.ndarray
    neighborhood: np.ndarray


class SubsetStore:
    """The subsets of a repeat, in a cell of the journal."""

    def __init__(self, cell: Cell):
        """Reads which are there already."""
        self._cell = cell
        self._found = {
            (record["method"], record["fraction"]): raw
            for record, raw in cell.attached(SUBSET)
        }

    @property
    def finished(self) -> bool:
        """Whether all are there, and `examples.csv` knows of them."""
        return self._cell.finished

    def has(self, method: str, fraction: float) -> bool:
        """Whether a subset is there."""
        return (method, fraction) in self._found

    def write(
        self, method: str, fraction: float, subset: Subset, gains: np.ndarray
    ) -> None:
        """Keeps a subset, and what every pick has gained, (M,)."""
        content = io.BytesIO()
        np.savez(
            content,
            indices=subset.indices,
            neighborhood=subset.neighborhood,
            gains=gains,
        )
        raw = content.getvalue()
        name = f"{method}_{fraction:g}.npz"
        self._cell.attach(SUBSET, name, raw, method=method, fraction=fraction)
        self._found[method, fraction] = raw

    def read(self, method: str, fraction: float) -> Subset:
        """Reads a subset."""
        with np.load(io.BytesIO(self._found[method, fraction])) as arrays:
            return Subset(arrays["indices"], arrays["neighborhood"])

    def keep_examples(self, task: Data, repeat: int, evaluation: Evaluation) -> None:
        """Says of every example by what it was judged and who kept it when."""
        if self._cell.finished:
            return
        cell, ids, keys = self._cell, task.train.ids, {"repeat": repeat}
        cell.keep(
            "warmup",
            ids,
            keys,
            loss=evaluation.losses,
            margin=evaluation.margin,
            forgetting=evaluation.forgetting,
        )
        for (method, fraction), raw in self._found.items():
            with np.load(io.BytesIO(raw)) as arrays:
                order = np.full(len(ids), np.nan)
                gain = order.copy()
                order[arrays["indices"]] = np.arange(len(arrays["indices"]))
                gain[arrays["indices"]] = arrays["gains"]
            cell.keep(f"{method}_{fraction:g}", ids, keys, order=order, gain=gain)
        cell.finish()


def choose_subsets(
    task: Data,
    repeat: int,
    evaluation: Evaluation,
    store: SubsetStore,
    stop: StopRequest,
) -> None:
    """Chooses all subsets of a repeat that are not in the store yet.

    Args:
      task: data and labels.
      repeat: its number.
      evaluation: of the warmed-up classifier.
      store: where they go.
      stop: checked after every pick of the slower methods.
    """
    missing: dict[str, list[float]] = {}
    for method, fraction in task.subsets():
        if not store.has(method, fraction):
            missing.setdefault(method, []).append(fraction)
    name = f"subsets {repeat + 1}/{task.config.repeats}"
    with progress_bar(len(missing), name, unit="method") as bar:
        for method, fractions in missing.items():
            bar.set_postfix_str(method)
            _choose(task, repeat, evaluation, store, stop, method, fractions)
            bar.update(1)
            stop.check()


def _choose(
    task: Data,
    repeat: int,
    evaluation: Evaluation,
    store: SubsetStore,
    stop: StopRequest,
    method: str,
    fractions: list[float],
) -> None:
    """Chooses the subsets of one method, in one go if they are nested."""
    chosen = {}
    # As in any run with these flags, whichever fractions are missing.
    largest = max((f for m, f in task.subsets() if m == method), default=1.0)
    if is_nested(methods_of(task.config)[method].name):
        whole = select(task, repeat, evaluation, method, largest, stop)
        for fraction in fractions:
            count = task.budgets[fraction]
            chosen[fraction] = whole.indices[:count], whole.gains[:count]
    else:
        for fraction in fractions:
            found = select(task, repeat, evaluation, method, fraction, stop)
            chosen[fraction] = found.indices, found.gains
    confidence = selection.confidence_of(
        evaluation.view_probabilities, task.config.confidence
    )
    for fraction, (indices, gains) in chosen.items():
        neighborhood = selection.neighborhood_confidence(
            evaluation.view_features,
            confidence,
            indices,
            threshold=task.config.threshold,
        )
        subset = Subset(indices, np.asarray(neighborhood))
        store.write(method, fraction, subset, np.asarray(gains))


def select(
    task: Data,
    repeat: int,
    evaluation: Evaluation,
    label: str,
    fraction: float,
    stop: StopRequest,
) -> selection.Selection:
    """Runs one of the methods of pruning.

    Args:
      task: data and labels.
      repeat: its number.
      evaluation: of the warmed-up classifier.
      label: of the method.
      fraction: of the examples to keep.
      stop: checked now and then.
    """
    features, probabilities = evaluation.features, evaluation.probabilities
    known = methods_of(task.config)[label]
    if sees_views(known.name):
        features = evaluation.view_features
        probabilities = evaluation.view_probabilities
    elif known.name == "ssp" and task.ssp_features is not None:
        features = task.ssp_features
    found: selection.Selection = known.make(
        features,
        probabilities,
        task.given[repeat],
        fraction,
        key=jax.random.fold_in(task.repeat_keys[repeat], 2),
        losses=evaluation.losses,
        forgetting=evaluation.forgetting,
        learned=evaluation.learned,
        # A small area under the margin is hard.
        hardness=-evaluation.margin,
        on_progress=lambda made, budget: stop.check(),
        **settings_of(label, task.config),
    )
    return found
