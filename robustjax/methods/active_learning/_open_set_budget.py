"""What a round of open-set active learning may cost.

Costs are the examples' true ones, as Park et al. (NeurIPS 2022) count them: a
strategy's list is walked in its order and left before the example that would exceed
the round's budget. Their printed loop condition would overshoot by one example.
"""

from __future__ import annotations

import dataclasses
import numbers

import numpy as np

from robustjax import checks

# What becomes of the floor of a quotient of costs such as 0.3 / 0.1.
_SLACK = 1e-9


@dataclasses.dataclass(frozen=True)
class OpenSetBudget:
    """What may be asked.

    Attributes:
      per_round: b, the cost of a round's queries at most; with costs of 1, their
        number.
      rounds: how often the oracle is asked; None for as long as there is something to
        ask, where the caller counts.
      cost_in: what the label of an IN example costs.
      cost_ood: what it costs to learn that an example is OOD.
    """

    per_round: float
    rounds: int | None
    cost_in: float = 1.0
    cost_ood: float = 1.0

    def __post_init__(self) -> None:
        """Raises `ValueError` for costs <= 0, or rounds that cannot ask anything.

        Also for rounds that are no integer.
        """
        for name in ("cost_in", "cost_ood", "per_round"):
            value = getattr(self, name)
            checks.in_range(name, value, 0, np.inf, low_open=True, high_open=True)
        if self.rounds is not None:
            if not isinstance(self.rounds, numbers.Integral):
                raise ValueError(
                    f"rounds: got {self.rounds!r}, expected an integer >= 1"
                )
            checks.at_least("rounds", self.rounds, 1)
        dearest = max(self.cost_in, self.cost_ood)
        if self.per_round < dearest:
            raise ValueError(
                f"per_round: got {self.per_round:g}, expected at least the cost of one "
                f"example, {dearest:g}"
            )

    def check(self, num_examples: int, initial: int) -> None:
        """Raises `ValueError` if the pool could run out before the last round.

        That is, if it would although every example had the higher cost. Where the
        pool does run out, the last rounds take what is left.

        Args:
          num_examples: of the pool.
          initial: labelled before the first round.
        """
        if self.rounds is None:
            return
        fewest = int(self.per_round / max(self.cost_in, self.cost_ood) + _SLACK)
        asked = initial + (self.rounds - 1) * fewest
        if asked >= num_examples:
            raise ValueError(
                f"rounds: got {self.rounds} with {fewest} or more queries each and "
                f"{initial} examples labelled before, expected fewer: the pool of "
                f"{num_examples} is asked up before the last round"
            )

    @property
    def most(self) -> int:
        """The queries of a round whose examples all have the lower cost."""
        return int(self.per_round / min(self.cost_in, self.cost_ood) + _SLACK)

    def costs(self, is_in: np.ndarray) -> np.ndarray:
        """(Q,) float64 costs of examples."""
        checks.truth("is_in", is_in)
        return np.where(is_in, self.cost_in, self.cost_ood).astype(np.float64)

    def affordable(self, is_in: np.ndarray) -> int:
        """How many of a list (Q,) bool, in its order, the round's budget pays for."""
        paid = np.cumsum(self.costs(is_in))
        return int(np.sum(paid <= self.per_round * (1 + _SLACK)))
