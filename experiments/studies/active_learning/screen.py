"""Whether any function of purity and informativeness beats their product or sum.

MQNet learns such a function from the answers of a round. How much there is to learn
can be told beforehand, with the answers of the whole pool: the function that is best
for the next query is what the masked loss (that of the classifier for IN examples, 0
for OOD ones) is in the mean at every (purity, informativeness). It is estimated here by
kernel regression and asked for its b best examples, beside the product's and the sum's
own. Where it is not ahead by more than its error over repeats, no meta-model can be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.ndimage
import scipy.special
import scipy.stats

from robustjax import checks
from robustjax.methods.active_learning import MQNetNotes, Proposal

PREFIX = "screen_"
RULES = ("random", "sum", "product", "best")
"""`screen_<rule>` is the mean masked loss of the b examples that it would ask for."""

_GRID = 64
# In cells of the grid: from a hundredth of the pool to a third.
_BANDWIDTHS = (1.0, 2.0, 4.0, 8.0, 16.0)
_FOLDS = 10


def screened(
    purity: np.ndarray,
    informativeness: np.ndarray,
    values: np.ndarray,
    count: int,
    *,
    seed: int = 0,
) -> dict[str, float]:
    """The mean value of the best examples by each rule.

    The best smooth function is fitted to the values of nine tenths of the examples and
    asked for its best among the last tenth, in turns, so that no example's own value
    helps to choose it; the width of its kernel is that with the smallest squared error
    there. That every tenth gives equally many costs it a little. Purity and
    informativeness enter it as ranks, which leaves out no function of the two.

    Args:
      purity: (n,) finite numbers, as the rules add and multiply them.
      informativeness: (n,) likewise.
      values: (n,) what an answer is worth, such as the masked loss.
      count: b, 1 … n: how many are asked for.
      seed: of the folds, and of the order of equal scores.

    Returns:
      `screen_<rule>` -> mean value; of "random" that of all n.

    Raises:
      ValueError: lengths that differ, fewer than 20 examples, or a count out of range.
    """
    size = checks.same_length(
        purity=purity, informativeness=informativeness, values=values
    )
    checks.at_least("purity", size, 2 * _FOLDS)
    checks.in_range("count", count, 1, size)
    rng = np.random.default_rng(seed)
    values = np.asarray(values, np.float64)
    places = [(scipy.stats.rankdata(x) - 0.5) / size for x in (purity, informativeness)]
    scores = {
        "sum": np.asarray(purity, np.float64) + informativeness,
        "product": np.asarray(purity, np.float64) * informativeness,
        "best": _expected(np.stack(places), values, rng),
    }
    ties = rng.random(size)
    found = {f"{PREFIX}random": float(values.mean())}
    for rule, score in scores.items():
        asked = np.lexsort((ties, -score))[:count]
        found[f"{PREFIX}{rule}"] = float(values[asked].mean())
    return found


def _expected(
    places: np.ndarray, values: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Ranks (n,) within each tenth of what the others tell to expect; places (2, n).

    The expected values themselves would not do: a tenth of large values leaves smaller
    ones to the others, and is expected to be worth less for that.
    """
    fold = rng.permutation(np.arange(len(values)) % _FOLDS)
    found = np.empty((len(_BANDWIDTHS), len(values)))
    for held in range(_FOLDS):
        told, asked = fold != held, fold == held
        cells_told = tuple(np.minimum((places[:, told] * _GRID).astype(int), _GRID - 1))
        totals, counts = np.zeros((2, _GRID, _GRID))
        np.add.at(totals, cells_told, values[told])
        np.add.at(counts, cells_told, 1.0)
        level = values[told].mean()
        cells = places[:, asked] * _GRID - 0.5
        for number, width in enumerate(_BANDWIDTHS):
            smooth = [
                scipy.ndimage.gaussian_filter(grid, width, mode="reflect")
                for grid in (totals, counts)
            ]
            # A hundredth of an example at the common mean, where there are no others.
            expected = (smooth[0] + 1e-2 * level / _GRID**2) / (
                smooth[1] + 1e-2 / _GRID**2
            )
            found[number, asked] = scipy.ndimage.map_coordinates(
                expected, cells, order=1, mode="nearest"
            )
    errors = ((found - values) ** 2).mean(axis=1)
    expected = found[int(np.argmin(errors))]
    ranks = np.empty(len(values))
    for held in range(_FOLDS):
        own = fold == held
        ranks[own] = scipy.stats.rankdata(expected[own]) / own.sum()
    return ranks


def screen_round(
    proposal: Proposal, true_labels: np.ndarray, num_classes: int, *, seed: int = 0
) -> Mapping[str, float]:
    """Screens the round of an MQNet, whatever it asks for.

    Args:
      proposal: of the round, before its answers.
      true_labels: (N,) of the whole pool, k for OOD.
      num_classes: k.
      seed: see `screened`.

    Returns:
      See `screened`; nothing for other strategies, and where purity was not defined.
    """
    notes: Any = proposal.query.notes
    if not isinstance(notes, MQNetNotes) or proposal.view is None:
        return {}
    purity, informativeness = np.asarray(notes.converted).T
    if purity.min() == purity.max() or len(notes.rows) < 2 * _FOLDS:
        return {}
    rows = np.asarray(notes.rows)
    labels = np.asarray(true_labels)[rows]
    is_in = labels < num_classes
    logits = np.asarray(proposal.view.observation.logits)[rows, :num_classes]
    log_p = scipy.special.log_softmax(logits.astype(np.float64), axis=1)
    losses = -log_p[np.arange(len(rows)), np.where(is_in, labels, 0)]
    count = min(len(proposal.rows), len(rows))
    masked = np.where(is_in, losses, 0.0)
    return screened(purity, informativeness, masked, count, seed=seed)
