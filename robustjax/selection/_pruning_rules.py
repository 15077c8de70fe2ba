"""The rules of data pruning, each a function of the same inputs; see `pruning`."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from robustjax import arrays, scores
from robustjax.selection._coverage_centric import coverage_centric
from robustjax.selection._greedy import Progress, Selection, selection
from robustjax.selection._k_center import k_center
from robustjax.selection._prototype_distance import prototype_distances
from robustjax.selection._prune4rel import prune4rel
from robustjax.selection._pruning_options import check_pruning_option
from robustjax.selection._ranking import middle_scores, rank_by_class


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Checked arrays of the N examples, or None; see `pruning.select`.

    Attributes:
      size: N.
      features: (N, d).
      probabilities: (N, C).
      labels: (N,) int32.
      losses: (N,).
      el2n: (N,).
      grand: (N,).
      forgetting: (N,).
      learned: (N,) bool.
      hardness: (N,).
      classes: (N,) int32, among which the budget is shared if it is.
    """

    size: int
    features: Any = None
    probabilities: Any = None
    labels: Any = None
    losses: Any = None
    el2n: Any = None
    grand: Any = None
    forgetting: Any = None
    learned: Any = None
    hardness: Any = None
    classes: Any = None


@dataclasses.dataclass(frozen=True)
class Task:
    """What is wanted.

    Attributes:
      budget: the number of picks.
      balance: how they are shared among classes.
      key: of random draws and of ties, or None.
      mesh: of devices that share the work, or None.
      on_progress: for what takes long.
    """

    budget: int
    balance: str
    key: jax.Array | None
    mesh: Mesh | None = None
    on_progress: Progress | None = None

    def ties(self, size: int) -> np.ndarray | None:
        """Places among equal scores, at random if there is a key."""
        if self.key is None:
            return None
        tie_key = jax.random.fold_in(self.key, 1)
        return np.asarray(jax.random.permutation(tie_key, size))


def confidence_of(probabilities: Any, kind: str = "max_prob") -> np.ndarray:
    """The confidence of predictions.

    Args:
      probabilities: (N, C) floats, C >= 2, whose rows sum to 1.
      kind: "max_prob", the largest probability, or "diff_prob", the largest less the
        second largest.

    Returns:
      (N,) floats in [0, 1], of the probabilities' dtype.

    Raises:
      ValueError: an unknown kind, one class alone, NaN or infinity, rows that are no
        distribution.
    """
    check_pruning_option("confidence", kind)
    p = arrays.numbers("probabilities", probabilities, 2)
    scores.check_probabilities(p, name="probabilities")
    if kind == "max_prob":
        return p.max(axis=1)
    second, first = np.partition(p, p.shape[1] - 2, axis=1)[:, -2:].T
    return first - second


def _keep(
    values: Any, inputs: Inputs, task: Task, *, largest: bool, ranks: Any = None
) -> Selection:
    """The examples with the largest or smallest values, which become the gains."""
    values = np.asarray(values)
    order = values if ranks is None else np.asarray(ranks)
    picks = rank_by_class(
        order if largest else -np.asarray(order, np.float64),
        task.budget,
        labels=inputs.classes,
        balance=task.balance,
        ties=task.ties(inputs.size),
    )
    gains = arrays.cast("scores", values[picks])
    return selection(picks, gains, float(gains.sum(dtype=np.float64)), inputs.size)


def uniform(inputs: Inputs, task: Task) -> Selection:
    """At random without replacement."""
    assert task.key is not None
    draws = np.asarray(jax.random.permutation(task.key, inputs.size))
    return _keep(np.zeros(inputs.size), inputs, task, largest=True, ranks=draws)


def small_loss(inputs: Inputs, task: Task) -> Selection:
    """The smallest cross-entropies of the given labels."""
    values = inputs.losses
    if values is None:
        own = np.take_along_axis(inputs.probabilities, inputs.labels[:, None], axis=1)
        floor = np.finfo(own.dtype).tiny
        values = -np.log(np.maximum(own[:, 0], floor))
    return _keep(values, inputs, task, largest=False)


def most_confident(
    inputs: Inputs, task: Task, *, confidence: str = "max_prob"
) -> Selection:
    """The most confident predictions."""
    values = confidence_of(inputs.probabilities, confidence)
    return _keep(values, inputs, task, largest=True)


def margin(inputs: Inputs, task: Task) -> Selection:
    """The smallest differences of the two largest probabilities."""
    values = confidence_of(inputs.probabilities, "diff_prob")
    return _keep(values, inputs, task, largest=False)


def farthest_first(inputs: Inputs, task: Task) -> Selection:
    """Farthest-first traversal of the features."""
    return k_center(
        inputs.features,
        task.budget,
        key=task.key,
        mesh=task.mesh,
        on_progress=task.on_progress,
    )


def forgetting(inputs: Inputs, task: Task, *, never_learned: str = "most") -> Selection:
    """The most forgetting events."""
    check_pruning_option("never_learned", never_learned)
    if inputs.learned is None and never_learned == "most":
        raise ValueError(
            "learned: got None, expected (N,) bool, whether each example was ever "
            "classified correctly; without it pass never_learned='least'"
        )
    # Without the flag, never-learned examples have 0 events like the easy ones.
    learned = np.ones(inputs.size, bool) if inputs.learned is None else inputs.learned
    values = scores.forgettability(
        inputs.forgetting, learned, never_learned=never_learned
    )
    return _keep(values, inputs, task, largest=True)


def _el2n(inputs: Inputs) -> Any:
    if inputs.el2n is not None:
        return inputs.el2n
    return scores.el2n(inputs.probabilities, inputs.labels)


def el2n(inputs: Inputs, task: Task) -> Selection:
    """The largest error norms."""
    return _keep(_el2n(inputs), inputs, task, largest=True)


def grand(inputs: Inputs, task: Task) -> Selection:
    """The largest gradient norms."""
    values = inputs.grand
    if values is None:
        values = scores.last_layer_grand(
            inputs.features, inputs.probabilities, inputs.labels
        )
    return _keep(values, inputs, task, largest=True)


def ssp(
    inputs: Inputs,
    task: Task,
    *,
    clusters: int | None = None,
    keep: str = "hard",
    metric: str = "cosine",
) -> Selection:
    """Far from the nearest prototype ("hard"), or close to it ("easy")."""
    assert task.key is not None
    check_pruning_option("keep", keep)
    if clusters is None:
        if inputs.probabilities is not None:
            clusters = inputs.probabilities.shape[1]
        elif inputs.labels is not None:
            clusters = int(inputs.labels.max()) + 1
        else:
            raise ValueError(
                "clusters: got None, expected their number where neither "
                "probabilities nor labels tell the number of classes"
            )
    values = prototype_distances(
        inputs.features, clusters, task.key, metric=metric, mesh=task.mesh
    )
    return _keep(values, inputs, task, largest=keep == "hard")


def moderate(inputs: Inputs, task: Task) -> Selection:
    """The middle of the sorted distances to the medians of the given classes."""
    values = scores.median_distances(inputs.features, inputs.labels)
    ranks = middle_scores(
        values,
        labels=None if task.balance == "none" else inputs.classes,
        ties=task.ties(inputs.size),
    )
    return _keep(values, inputs, task, largest=True, ranks=ranks)


def ccs(
    inputs: Inputs, task: Task, *, strata: int = 50, hard_cutoff: float = 0.1
) -> Selection:
    """Strata of a hardness score, the hardest examples cut off."""
    assert task.key is not None
    values = inputs.hardness
    values = np.asarray(_el2n(inputs) if values is None else values)
    picks = coverage_centric(
        values, task.budget, task.key, strata=strata, hard_cutoff=hard_cutoff
    )
    gains = arrays.cast("scores", values[picks])
    return selection(picks, gains, float(gains.sum(dtype=np.float64)), inputs.size)


def confident_neighbors(
    inputs: Inputs,
    task: Task,
    *,
    confidence: str = "max_prob",
    threshold: float = 0.975,
    temperature: float = 1.0,
    objective: str = "own",
    similarity: str = "shifted",
    ranking: str = "stable",
) -> Selection:
    """Prune4ReL, of all together or class by class."""
    shared = task.balance != "none"
    return prune4rel(
        inputs.features,
        confidence_of(inputs.probabilities, confidence),
        task.budget,
        threshold=threshold,
        temperature=temperature,
        objective=objective,
        labels=inputs.classes if shared else None,
        balance=task.balance if shared else "even",
        similarity=similarity,
        ranking=ranking,
        key=task.key,
        mesh=task.mesh,
        on_progress=task.on_progress,
    )
