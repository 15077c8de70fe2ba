"""Whether questions that purity chose are about wanted examples more than chance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from robustjax import answers, data
from robustjax.methods.active_learning import QueryStrategy

# A one-sided test at this level; fewer answers of either kind say too little.
_LEVEL, _FEWEST = 0.05, 10
_OTHERS = ("ccal", "similar_flcmi", "similar_flcg", "similar_logdet")


class Counted(NamedTuple):
    """Answers of one kind.

    Attributes:
      wanted: that name a class.
      foreign: that name none.
    """

    wanted: int
    foreign: int

    @property
    def total(self) -> int:
        """Both."""
        return self.wanted + self.foreign


def beats_chance(chosen: Counted, drawn: Counted) -> float:
    """The p-value of Fisher's exact test that chosen examples are wanted more often.

    Args:
      chosen: answers to questions that were chosen.
      drawn: answers to questions that were drawn at random.

    Returns:
      The probability of at least so many wanted ones among the chosen if both kinds of
      questions are alike, all margins given.
    """
    return float(stats.fisher_exact([chosen, drawn], alternative="greater").pvalue)


def purity_warning(
    history: answers.History,
    labels: np.ndarray,
    dataset: data.Dataset,
    strategy: QueryStrategy,
) -> str | None:
    """A sentence where purity is not seen to beat chance on what was answered.

    Chance is what the rounds had that were drawn at random, before anything was
    labelled; without them, or with few answers, nothing is said.

    Args:
      history: the log of the exchange.
      labels: (N,) by now: 0 … k-1, k for foreign, negative where nothing is known.
      dataset: whose ids are meant, with k classes.
      strategy: that asks.
    """
    if not hasattr(strategy, "purity") and strategy.name not in _OTHERS:
        return None
    row_of = {identity: row for row, identity in enumerate(dataset.ids.tolist())}
    was_chosen = _was_chosen(history)
    chosen, drawn = (
        _count(
            labels,
            [row_of[i] for i, mine in was_chosen.items() if mine == kind],
            dataset.num_classes,
        )
        for kind in (True, False)
    )
    if min(chosen.total, drawn.total) < _FEWEST:
        return None
    p = beats_chance(chosen, drawn)
    if p <= _LEVEL:
        return None
    shares = [f"{c.wanted} ({c.wanted / c.total:.0%})" for c in (chosen, drawn)]
    name = strategy.name
    other = f"--options={name}.purity=… or " if hasattr(strategy, "purity") else ""
    return (
        f"of {chosen.total} answers to questions that {name} chose, {shares[0]} name a "
        f"class, of {drawn.total} to random ones {shares[1]}: it is not seen to beat "
        f"chance (Fisher's exact test, one-sided, p = {p:.2g}, level {_LEVEL:g}); "
        f"{other}--method=random may suit this pool better"
    )


def _was_chosen(history: answers.History) -> dict[int | str, bool]:
    """Whether the question that was answered was chosen, by example.

    What was left blank is asked about again, of which one question is answered.
    """
    found: dict[int | str, bool] = {}
    answered: set[int | str] = set()
    for event in history:
        if isinstance(event, answers.Asked):
            # Questions that suggest something were asked by a classifier.
            suggests = any(question.suggested for question in event.questions)
            asked = {question.id for question in event.questions} - answered
            found |= dict.fromkeys(asked, suggests)
            continue
        for answer in event.answers:
            # A blank takes an answer back.
            (answered.add if answer.said else answered.discard)(answer.id)
    return found


def _count(labels: np.ndarray, rows: list[int], classes: int) -> Counted:
    said = labels[np.asarray(rows, np.int64)]
    wanted = int(np.sum((said >= 0) & (said < classes)))
    return Counted(wanted, int(np.sum(said == classes)))
