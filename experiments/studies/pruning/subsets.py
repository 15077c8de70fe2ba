"""Choosing the subsets of a repeat, and keeping them on disk."""

from __future__ import annotations

import io
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.studies.pruning.setup import Task
from experiments.studies.pruning.subset_methods import (
    is_nested,
    sees_views,
    settings_of,
)
from experiments.studies.pruning.warmup import Evaluation
from robustjax import selection
from robustjax.files import write_atomically
from robustjax.methods import entry
from robustjax.training import StopRequest, progress_bar, write_csv


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
    """The subsets of a study: `subsets/repeat_<number>/<method>_<fraction>.*`.

    `.npy` holds the indices in order of selection, `.csv` the same with gains, ids and
    labels, `_neighborhood.npy` what the subset gives to every example.
    """

    def __init__(self, folder: pathlib.Path):
        """Opens the store of a run folder."""
        self._folder = folder / "subsets"

    def path(self, repeat: int, method: str, fraction: float) -> pathlib.Path:
        """The file of indices."""
        return self._folder / f"repeat_{repeat}" / f"{method}_{fraction:g}.npy"

    def has(self, repeat: int, method: str, fraction: float) -> bool:
        """Whether it is there; the indices are written last."""
        return self.path(repeat, method, fraction).exists()

    def write(
        self,
        repeat: int,
        method: str,
        fraction: float,
        subset: Subset,
        rows: list[dict[str, Any]],
    ) -> None:
        """Writes all three files."""
        path = self.path(repeat, method, fraction)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_csv(path.with_suffix(".csv"), rows)
        _save(_neighborhood_path(path), subset.neighborhood)
        _save(path, subset.indices)

    def read(self, repeat: int, method: str, fraction: float) -> Subset:
        """Reads a subset."""
        path = self.path(repeat, method, fraction)
        return Subset(np.load(path), np.load(_neighborhood_path(path)))


def _neighborhood_path(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.stem}_neighborhood.npy")


def _save(path: pathlib.Path, array: np.ndarray) -> None:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    write_atomically(path, content.getvalue())


def choose_subsets(
    task: Task,
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
        if not store.has(repeat, method, fraction):
            missing.setdefault(method, []).append(fraction)
    name = f"subsets {repeat + 1}/{task.config.repeats}"
    with progress_bar(len(missing), name, unit="method") as bar:
        for method, fractions in missing.items():
            bar.set_postfix_str(method)
            _choose(task, repeat, evaluation, store, stop, method, fractions)
            bar.update(1)
            stop.check()


def _choose(
    task: Task,
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
    if is_nested(method):
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
    given = task.given[repeat]
    for fraction, (indices, gains) in chosen.items():
        neighborhood = selection.neighborhood_confidence(
            evaluation.view_features,
            confidence,
            indices,
            threshold=task.config.threshold,
        )
        rows = [
            {
                "order": place,
                "index": index,
                "id": task.train.ids[index],
                "gain": f"{gains[place]:.9g}",
                "label": given[index],
            }
            for place, index in enumerate(indices.tolist())
        ]
        subset = Subset(indices, np.asarray(neighborhood))
        store.write(repeat, method, fraction, subset, rows)


def select(
    task: Task,
    repeat: int,
    evaluation: Evaluation,
    method: str,
    fraction: float,
    stop: StopRequest,
) -> selection.Selection:
    """Runs one of the methods of pruning.

    Args:
      task: data and labels.
      repeat: its number.
      evaluation: of the warmed-up classifier.
      method: its name.
      fraction: of the examples to keep.
      stop: checked now and then.
    """
    features, probabilities = evaluation.features, evaluation.probabilities
    if sees_views(method):
        features = evaluation.view_features
        probabilities = evaluation.view_probabilities
    elif method == "ssp" and task.ssp_features is not None:
        features = task.ssp_features
    found: selection.Selection = entry(method, "pruning").make(
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
        **settings_of(method, task.config),
    )
    return found
