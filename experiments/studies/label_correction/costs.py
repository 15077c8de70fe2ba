"""What labels cost in a study: drawn, by class, or from a file."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import numpy as np

from robustjax import checks, data, methods
from robustjax.tools.given_scores import read_costs

# Of the noise's key; the run's own draws must not change with costs.
_STREAM = 0x636F7374
_FORMS = (
    "expected a deviation such as lognormal:0.5, a cost for each class such as "
    "classes:1:1:5, or a .csv file"
)


class LabelCosts:
    """What `--label_costs` asks for.

    None may depend on the true label, which is not known before it is asked for: a cost
    by class goes by the label that is given.

    Attributes:
      text: as it was given.
    """

    def __init__(self, text: str):
        """Reads the flag.

        Raises:
          ValueError: another form, or numbers out of range.
        """
        self.text = text
        kind, _, rest = text.partition(":")
        self._sigma: float | None = None
        self._of_class: np.ndarray | None = None
        if text.endswith(".csv"):
            return
        if kind not in ("lognormal", "classes"):
            raise ValueError(f"label_costs: got {text!r}, {_FORMS}")
        try:
            numbers = [float(part) for part in rest.split(":")]
        except ValueError:
            raise ValueError(f"label_costs: got {text!r}, {_FORMS}") from None
        if any(not math.isfinite(n) or n <= 0 for n in numbers):
            raise ValueError(f"label_costs: got {text!r}, expected numbers above 0")
        if kind == "classes":
            self._of_class = np.array(numbers)
        elif len(numbers) == 1:
            (self._sigma,) = numbers
        else:
            raise ValueError(f"label_costs: got {text!r}, expected one deviation")

    def each(
        self, train: data.Dataset, given: np.ndarray, keys: jax.Array
    ) -> np.ndarray:
        """(R, N) float64 costs.

        Log-normal ones have a mean of 1 over the examples of a repeat, so that budgets
        count labels of average cost.

        Args:
          train: the examples.
          given: (R, N) given labels.
          keys: (R,) PRNG keys of the repeats' noise.

        Raises:
          ValueError: another number of classes; a faulty file.
        """
        if self._sigma is not None:
            normal = np.stack(
                [
                    jax.random.normal(jax.random.fold_in(key, _STREAM), given.shape[1:])
                    for key in keys
                ]
            )
            drawn = np.exp(self._sigma * normal.astype(np.float64))
            return np.asarray(drawn / drawn.mean(axis=1, keepdims=True))
        if self._of_class is not None:
            if len(self._of_class) != train.num_classes:
                raise ValueError(
                    f"label_costs: got {len(self._of_class)} costs, expected one for "
                    f"each of {train.num_classes} classes"
                )
            return np.asarray(self._of_class[given])
        with checks.errors_name(costs="label_costs"):
            return np.broadcast_to(read_costs(self.text, train), given.shape)


def read_flags(
    label_costs: str | None, cost_blind: Sequence[str], labels: Sequence[str]
) -> LabelCosts | None:
    """The costs that flags ask for, or None.

    Args:
      label_costs: the flag.
      cost_blind: which methods take no regard to them.
      labels: of the methods that run.

    Raises:
      ValueError: methods that do not run, or without costs; see `LabelCosts`.
    """
    if label_costs is None:
        if cost_blind:
            raise ValueError(
                f"cost_blind: got {','.join(cost_blind)} without --label_costs"
            )
        return None
    for name in cost_blind:
        if name not in labels:
            raise ValueError(
                f"cost_blind: got {name!r}, expected some of {', '.join(labels)}"
            )
    return LabelCosts(label_costs)


def budget_of(total: int, batch: int, costs: np.ndarray) -> methods.CostBudget:
    """The budget of a study; its errors name the flags."""
    with checks.errors_name(costs="label_costs"):
        return methods.CostBudget(total, batch, costs)
