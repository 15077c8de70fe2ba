"""Which examples conflict with a dataset's bias, without labels of the bias.

A biased network (trained with a loss that prefers what is easy, such as
`losses.gce_weighted_ce`) is right and sure where the bias agrees with the label, and
wrong and sure where it does not. Three published readings of that, side by side.
High means suspicious. Under label noise a wrong label looks the same: look at the
examples before believing either.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks
from robustjax.scores._given_labels import check_probabilities, check_unit_interval
from robustjax.scores._gradient_norms import last_layer_grand

CONFLICT_SCORES = ("swap", "relative_difficulty", "gradient_norm")
"""The scores of `bias_conflict_scores`, by name."""

CONFLICT_RULES = ("mean", "otsu", "largest_gap")
"""The rules of `conflict_threshold`, by name."""

CONFLICT_SCOPES = ("all", "class")
"""What one threshold of `conflict_threshold` is for."""

# Losses of probabilities that float32 rounds to 0.
_FLOOR = float(np.finfo(np.float32).tiny)


class BiasConflicts(NamedTuple):
    """Scores of every example, and who is suspected.

    Attributes:
      swap: (N,) float32 in [0, 1], BiaSwap's score.
      relative_difficulty: (N,) float32 in [0, 1], LfF's weight; None without a second
        network.
      gradient_norm: (N,) float32, PGD's last-layer gradient norm; without features the
        factor of it that depends on the prediction alone.
      by: which of them the split is by.
      threshold: (N,) float32, what the score is compared with: one number for all, or
        one of the example's class.
      conflicting: (N,) bool, whether the score is above the threshold.
      ranking: (N,) int64, all examples, the most suspicious first; ties by position.
    """

    swap: np.ndarray
    relative_difficulty: np.ndarray | None
    gradient_norm: np.ndarray
    by: str
    threshold: np.ndarray
    conflicting: np.ndarray
    ranking: np.ndarray


class SplitQuality(NamedTuple):
    """How well a split finds the conflicting examples.

    Attributes:
      precision: of the conflicting group, in [0, 1]; 0 where nobody is suspected.
      recall: of the conflicting group.
      f1: their harmonic mean.
      macro_precision: the mean of both groups' precision.
      macro_recall: the mean of both groups' recall.
      macro_f1: the mean of both groups' F1; what BiaSwap seems to print (its F1 is not
        the harmonic mean of its precision and recall).
    """

    precision: float
    recall: float
    f1: float
    macro_precision: float
    macro_recall: float
    macro_f1: float


def bias_swap_score(probabilities: jax.Array, labels: jax.Array) -> jax.Array:
    """`|1[argmax p = y] - max p|` (Kim, Lee, Choo, "BiaSwap", ICCV 2021).

    About 0 where a biased network is surely right, about 1 where it is surely wrong;
    unsure and right counts as suspicious, too.

    Args:
      probabilities: (..., C) floats in [0, 1].
      labels: (...) integers in 0 … C-1.

    Returns:
      (...) float32 in [0, 1]; NaN where a label is out of range.

    Raises:
      ValueError: shapes that do not match, or numbers outside [0, 1], unless they are
        traced.
    """
    p = arrays.float32("probabilities", probabilities)
    check_unit_interval("probabilities", p)
    own = arrays.labels_for(labels)
    if own.shape != p.shape[:-1]:
        raise ValueError(
            f"labels: got shape {own.shape} for probabilities {p.shape}, expected "
            f"{p.shape[:-1]}"
        )
    right = jnp.argmax(p, axis=-1) == own
    score = jnp.abs(right.astype(p.dtype) - jnp.max(p, axis=-1))
    return jnp.where((own >= 0) & (own < p.shape[-1]), score, jnp.nan)


def conflict_threshold(
    scores: Any, labels: Any, *, rule: str = "mean", scope: str = "all"
) -> np.ndarray:
    """The score above which an example is suspected.

    Args:
      scores: (N,) finite numbers.
      labels: (N,) integers.
      rule: "mean", BiaSwap's: simple, but with few conflicting examples and a network
        that is sure of itself it lies close to the aligned ones, and grows with its
        training. "otsu" parts the scores into two groups of the largest variance
        between them (Otsu, "A Threshold Selection Method from Gray-Level Histograms",
        IEEE Transactions on Systems, Man, and Cybernetics, 1979), of the scores
        themselves and not of a histogram: fewer suspects, and more of them rightly.
        "largest_gap" lies in the middle of the widest gap between neighbouring
        scores, and can be moved by a single example. Where all scores are equal,
        nobody is above any of them.
      scope: "all" for one threshold, "class" for one of every label's own examples,
        where classes differ in difficulty.

    Returns:
      (N,) float64, the threshold of every example: rounded to float32, it could lie
      on the other side of scores that are close together.

    Raises:
      ValueError: an unknown rule or scope, other shapes, NaN or infinity.
    """
    checks.one_of("rule", rule, CONFLICT_RULES)
    checks.one_of("scope", scope, CONFLICT_SCOPES)
    values = arrays.numbers("scores", scores, 1)
    checks.finite("scores", values)
    classes = checks.labels("labels", labels)
    checks.same_length(scores=values, labels=classes)
    wide = values.astype(np.float64)
    find = {"mean": _mean, "otsu": _otsu, "largest_gap": _largest_gap}[rule]
    found = np.empty(wide.size, np.float64)
    if scope == "all":
        found[:] = find(wide)
    else:
        for each in np.unique(classes):
            found[classes == each] = find(wide[classes == each])
    return found


def _mean(values: np.ndarray) -> float:
    # Of equal numbers, the mean may be rounded to either side of them.
    return float(np.clip(values.mean(), values.min(), values.max()))


def _between(low: float, high: float) -> float:
    """The middle of two neighbours, below the upper one whatever it is rounded to."""
    middle = low + (high - low) / 2
    return float(low if middle >= high else middle)


def _otsu(values: np.ndarray) -> float:
    ordered = np.sort(values)
    below = np.arange(1, ordered.size)
    above = ordered.size - below
    # Sums of what is far from 0 would have no digits left for differences.
    total = np.cumsum(ordered - ordered[0])
    apart = (total[-1] - total[:-1]) / above - total[:-1] / below
    # No threshold parts equal scores.
    between = np.where(np.diff(ordered) > 0, below * above * apart**2, -1.0)
    if not between.size or between.max() < 0:
        return float(ordered[-1])
    at = int(between.argmax())
    return _between(ordered[at], ordered[at + 1])


def _largest_gap(values: np.ndarray) -> float:
    ordered = np.sort(values)
    gaps = np.diff(ordered)
    if not gaps.size or gaps.max() == 0:
        return float(ordered[-1])
    at = int(gaps.argmax())
    return _between(ordered[at], ordered[at + 1])


def bias_conflict_scores(
    labels: Any,
    probabilities: Any,
    *,
    debiased_probabilities: Any = None,
    features: Any = None,
    order: float = 2.0,
    by: str = "swap",
    rule: str = "mean",
    scope: str = "all",
) -> BiasConflicts:
    """Three scores of how much an example conflicts with a dataset's bias.

    Probabilities should be a biased network's, in evaluation mode and without
    augmentation, over the whole training set: that of `methods.bias.gce_biased`, say.

    Args:
      labels: (N,) integers in 0 … C-1, the given ones.
      probabilities: (N, C), the biased network's.
      debiased_probabilities: (N, C), those of a network trained against the bias, for
        LfF's relative difficulty `l_B / (l_B + l_D)`, each loss over the largest of
        the label's class (Nam et al., NeurIPS 2020); that of the networks as they are,
        not averaged over training.
      features: (N, d), the inputs of the biased network's last layer, for the norm of
        its weights' gradient (PGD; Ahn et al., ICLR 2023). Without them the norm is
        that of the prediction's error, `||p - 1_y||`.
      order: r of that norm, > 0, infinity included.
      by: of `CONFLICT_SCORES`, which score the split and the ranking are by.
      rule: see `conflict_threshold`.
      scope: see `conflict_threshold`.

    Returns:
      `BiasConflicts`.

    Raises:
      ValueError: unknown names, shapes that do not match, labels out of range, numbers
        that are no probabilities, a split by a score that needs what was not given.
    """
    checks.one_of("by", by, CONFLICT_SCORES)
    checks.in_range("order", order, 0, low_open=True)
    p = check_probabilities(probabilities, name="probabilities")
    given = checks.labels("labels", labels, p.shape[1])
    checks.same_length(labels=given, probabilities=p)
    ratio = None
    if debiased_probabilities is not None:
        other = check_probabilities(
            debiased_probabilities, name="debiased_probabilities"
        )
        if other.shape != p.shape:
            raise ValueError(
                f"debiased_probabilities: got shape {other.shape}, expected {p.shape}, "
                "that of probabilities"
            )
        ratio = _relative_difficulty(given, p, other)
    elif by == "relative_difficulty":
        raise ValueError(
            "debiased_probabilities: got None, expected those of a second network for "
            "by='relative_difficulty'"
        )
    norm = _gradient_norm(given, p, features, order)
    swap = np.asarray(
        bias_swap_score(arrays.float32("probabilities", p), jnp.asarray(given))
    )
    chosen = dict(zip(CONFLICT_SCORES, (swap, ratio, norm)))[by]
    assert chosen is not None
    threshold = conflict_threshold(chosen, given, rule=rule, scope=scope)
    return BiasConflicts(
        swap,
        ratio,
        norm,
        by,
        threshold,
        chosen > threshold,
        np.argsort(-chosen, kind="stable"),
    )


def _relative_difficulty(
    labels: np.ndarray, biased: np.ndarray, debiased: np.ndarray
) -> np.ndarray:
    levels = []
    for p in (biased, debiased):
        own = p[np.arange(labels.size), labels].astype(np.float32)
        # Above 1 by rounding, the losses could cancel, and the quotient be anything.
        loss = -np.log(np.clip(own, _FLOOR, 1))
        largest = np.zeros(p.shape[1], np.float32)
        np.maximum.at(largest, labels, loss)
        safe = np.where(largest > 0, largest, 1)
        levels.append(loss / safe[labels])
    # 0 where both are 0, as in the transform.
    return levels[0] / (levels[0] + levels[1] + np.float32(1e-8))


def _gradient_norm(
    labels: np.ndarray, p: np.ndarray, features: Any, order: float
) -> np.ndarray:
    if features is None:
        # One feature of 1: what is left is the factor of the prediction.
        rows = np.ones((labels.size, 1), np.float32)
    else:
        rows = arrays.numbers("features", features, 2)
        checks.finite("features", rows)
        checks.same_length(features=rows, labels=labels)
    norm = last_layer_grand(
        arrays.float32("features", rows),
        arrays.float32("probabilities", p),
        jnp.asarray(labels),
        bias=False,
        order=order,
    )
    return np.asarray(norm)


def split_quality(conflicting: Any, truth: Any) -> SplitQuality:
    """Precision, recall and F1 of a split into conflicting and aligned examples.

    Args:
      conflicting: (N,) bool, who is suspected.
      truth: (N,) bool, who does conflict; both groups must occur.

    Returns:
      `SplitQuality`.

    Raises:
      ValueError: other shapes, anything but truths, or a truth of one group alone.
    """
    found, true = np.asarray(conflicting), np.asarray(truth)
    for name, array in (("conflicting", found), ("truth", true)):
        checks.rank(name, array, 1)
        if array.dtype != bool:
            raise ValueError(f"{name}: got {array.dtype}, expected bool")
    checks.same_length(conflicting=found, truth=true)
    if true.all() or not true.any():
        raise ValueError(
            f"truth: got {int(true.sum())} conflicting of {true.size} examples, "
            "expected some of either kind"
        )
    parts = []
    for one, other in ((found, true), (~found, ~true)):
        hit = int((one & other).sum())
        precision = hit / max(int(one.sum()), 1)
        recall = hit / int(other.sum())
        f1 = 2 * hit / (int(one.sum()) + int(other.sum()))
        parts.append((precision, recall, f1))
    means = (float(np.mean(each)) for each in zip(*parts))
    return SplitQuality(*parts[0], *means)
