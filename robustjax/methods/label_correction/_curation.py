"""Label correction for someone who has noisy labels today, and a callback that knows.

It tells which labels to look at next, and trains a classifier that is not ruined by the
wrong ones meanwhile. (For a person who answers in files see `label_exchange`; for a
ranked list alone `label_ranking.rank_labels`.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import numpy as np

from robustjax import checks, data
from robustjax.methods.label_correction._correction_loop import (
    Budget,
    CorrectionMethod,
)
from robustjax.methods.label_correction._cost_budget import CostBudget
from robustjax.methods.label_correction._label_ranking import make_run
from robustjax.methods.label_correction._round_training import (
    ClassifierSettings,
    EpochReport,
)

LabelCallback = Callable[[np.ndarray], np.ndarray]
"""`(Q,) ids -> (Q,) class indices`."""


class Corrected(NamedTuple):
    """The outcome of label correction.

    Attributes:
      labels: (N,) int32, corrected where asked.
      queried: (G,) rows of the data set in the order they were asked.
      probabilities: (N, C) predictions of the final classifier.
    """

    labels: np.ndarray
    queried: np.ndarray
    probabilities: np.ndarray


def correct_labels(
    dataset: data.Dataset,
    oracle: LabelCallback,
    *,
    budget: float,
    batch: float,
    costs: Any = None,
    per_cost: bool = True,
    method: CorrectionMethod | None = None,
    settings: ClassifierSettings | None = None,
    seed: int = 0,
    on_epoch: EpochReport | None = None,
) -> Corrected:
    """Corrects labels by asking a callback about the most promising examples.

    Args:
      dataset: features (or images) with the noisy labels, see `data.make_dataset`.
      oracle: is given ids and returns their true classes.
      budget: labels to ask for in all; with costs, what they may cost.
      batch: labels per round, or what a round may cost; the classifier is retrained in
        between.
      costs: (N,) what every label costs, finite and above 0, known beforehand; None
        where all cost the same.
      per_cost: whether to ask by score per cost, or by score alone; see `CostBudget`.
      method: by default `ActiveLabelCorrection` with "delta" diffusion.
      settings: of the classifier; by default those of `ClassifierSettings`, with
        batches no larger than the data set.
      seed: of all randomness.
      on_epoch: called with the kind of training, the epoch and its metrics.

    Raises:
      ValueError: a budget or costs that do not fit, `per_cost` false without costs, or
        answers that are no classes.
    """
    if costs is None and not per_cost:
        raise ValueError("per_cost: got False without costs, expected them")
    plan: Budget | CostBudget
    if costs is None:
        # A number of labels: what is not whole is refused there.
        plan = Budget(cast(int, budget), cast(int, batch))
    else:
        plan = CostBudget(budget, batch, costs, per_cost)
    run = make_run(dataset, plan, method, settings, seed, on_epoch)
    state = run.start(dataset.labels[None])
    for number in range(plan.rounds):
        state, picks, _ = run.propose(state, number)
        asked = picks[0, picks[0] >= 0]
        # Of nobody, where nothing is left that a round can pay for.
        answers = np.zeros(0, np.int32)
        if asked.size:
            answers = np.asarray(oracle(dataset.ids[asked]))
        checks.rank("answers", answers, 1)
        # Behind the last one that was asked, nothing is read.
        missing = picks.shape[1] - len(asked)
        answers = np.pad(answers, (0, missing))
        state = run.receive(state, number, answers[None])
    model, state = run.finish(state)
    asked = np.asarray(state.picks[0])
    return Corrected(
        labels=np.asarray(state.labels[0]),
        queried=asked[asked >= 0],
        probabilities=np.asarray(jax.nn.softmax(model.logits[0])),
    )
