"""Label correction for someone who has noisy labels today, and a callback that knows.

It tells which labels to look at next, and trains a classifier that is not ruined by the
wrong ones meanwhile. (For a person who answers in files see `label_exchange`; for a
ranked list alone `label_ranking.rank_labels`.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from robustjax import data
from robustjax.methods.label_correction._correction_loop import (
    Budget,
    CorrectionMethod,
)
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
    budget: int,
    batch: int,
    method: CorrectionMethod | None = None,
    settings: ClassifierSettings | None = None,
    seed: int = 0,
    on_epoch: EpochReport | None = None,
) -> Corrected:
    """Corrects labels by asking a callback about the most promising examples.

    Args:
      dataset: features (or images) with the noisy labels, see `data.make_dataset`.
      oracle: is given ids and returns their true classes.
      budget: labels to ask for in all.
      batch: labels per round; the classifier is retrained in between.
      method: by default `ActiveLabelCorrection` with "delta" diffusion.
      settings: of the classifier; by default those of `ClassifierSettings`, with
        batches no larger than the data set.
      seed: of all randomness.
      on_epoch: called with the kind of training, the epoch and its metrics.

    Raises:
      ValueError: a budget that does not fit, or answers that are no classes.
    """
    plan = Budget(budget, batch)
    run = make_run(dataset, plan, method, settings, seed, on_epoch)
    state = run.start(dataset.labels[None])
    for number in range(plan.rounds):
        state, picks, _ = run.propose(state, number)
        answers = np.asarray(oracle(dataset.ids[picks[0]]))
        state = run.receive(state, number, answers[None])
    model, state = run.finish(state)
    return Corrected(
        labels=np.asarray(state.labels[0]),
        queried=np.asarray(state.picks[0]),
        probabilities=np.asarray(jax.nn.softmax(model.logits[0])),
    )
