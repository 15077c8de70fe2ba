"""Open-set queries by informativeness alone, and at random.

How uncertain the classifier is of an example tells nothing of whether the example
belongs to the task: these are the baselines of methods that ask for purity as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from robustjax import checks
from robustjax.methods.active_learning._open_set_round import Query, RoundView
from robustjax.methods.active_learning._query_common import (
    Memoryless,
    highest,
    in_logits,
    open_rows,
    shuffled,
)
from robustjax.scores._uncertainty import (
    entropy,
    least_confidence,
    low_max_logit,
    margin_uncertainty,
)

_MEASURES: dict[str, Callable[[jax.Array], jax.Array]] = {
    "conf": least_confidence,
    "conf_logit": low_max_logit,
    "margin": margin_uncertainty,
    "entropy": entropy,
}

INFORMATIVENESS = ("ll", *_MEASURES)
"""Names for `informativeness`."""


def wanted_by(measure: str) -> frozenset[str]:
    """What `informativeness` of this name needs, see `QueryStrategy.wants`."""
    return frozenset({"loss_prediction"} if measure == "ll" else ())


def informativeness(view: RoundView, measure: str) -> np.ndarray:
    """Scores of all examples of the pool, larger meaning more informative.

    A classifier with an output for OOD examples is looked at without it.

    Args:
      view: of the round.
      measure: "ll", the predicted loss (Yoo and Kweon, CVPR 2019); "conf", one minus
        the largest probability; "conf_logit", minus the largest logit, which is what
        the authors of MQNet rank by under that name; "margin", one minus the gap
        between the two largest probabilities; "entropy".

    Returns:
      (N,) float32, on the host.

    Raises:
      ValueError: an unknown measure, or "ll" without predicted losses.
    """
    checks.one_of("informativeness", measure, INFORMATIVENESS)
    if measure != "ll":
        return np.asarray(jax.jit(_MEASURES[measure])(in_logits(view)))
    predicted = view.observation.predicted_losses
    if predicted is None:
        raise ValueError(
            "predicted_losses: got None, expected those of a classifier with "
            "loss prediction"
        )
    return np.asarray(predicted, np.float32)


@dataclasses.dataclass(frozen=True)
class RandomQuery(Memoryless):
    """Asks for examples drawn uniformly.

    Attributes:
      name: for reports.
    """

    name: str = "random"

    def select(self, view: RoundView, memory: Any, count: int) -> Query:
        """See `QueryStrategy`."""
        del memory
        return Query(shuffled(view, open_rows(view, count))[:count])


@dataclasses.dataclass(frozen=True)
class MostInformative(Memoryless):
    """Asks for the highest informativeness; equal scores in random order.

    Attributes:
      measure: see `informativeness`.
      name: for reports.

    Raises:
      ValueError: an unknown measure.
    """

    measure: str
    name: str

    def __post_init__(self) -> None:
        """Checks the arguments early."""
        checks.one_of("measure", self.measure, INFORMATIVENESS)

    @property
    def wants(self) -> frozenset[str]:
        """Predicted losses, if it ranks by them."""
        return wanted_by(self.measure)

    def select(self, view: RoundView, memory: Any, count: int) -> Query:
        """See `QueryStrategy`."""
        del memory
        return Query(highest(view, informativeness(view, self.measure), count))
