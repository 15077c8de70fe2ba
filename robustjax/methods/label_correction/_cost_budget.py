"""A budget in units of cost, where some labels are dearer to ask for than others."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from robustjax import checks
from robustjax.selection import Spending, most_within_budget
from robustjax.selection._within_budget import affordable, check_costs

# What becomes of the quotient of sums such as 0.3 / 0.1.
_SLACK = 1e-9


@dataclasses.dataclass(frozen=True, eq=False)
class CostBudget:
    """What labels cost, and what all rounds and every one of them may.

    In a round, examples are asked about in the order of a method's scores, by score per
    cost or by score alone, as long as what is left of the round's budget pays for them;
    those that it does not pay for are passed over, see `selection.top_within_budget`.
    What is left over in the end is not spent later. Rounds differ in how many labels
    they ask for: there are as many places as the cheapest examples would take, and -1
    stands where none is asked for.

    With equal costs the picks are those of a `Budget` of so many labels.

    Attributes:
      total: what all rounds may cost.
      batch: what a round may; the last may have less.
      costs: (N,) finite positive numbers, or (R, N), a row per repeat: known before a
        label is asked for, so that they must not depend on the true one.
      per_cost: whether the order is by score per cost, or by score alone.
    """

    total: float
    batch: float
    costs: Any
    per_cost: bool = True

    def __post_init__(self) -> None:
        """Raises `ValueError` for costs or amounts that no pool could have."""
        # A copy: whoever changes theirs later must not change what a run asks.
        object.__setattr__(self, "costs", check_costs(self.costs).copy())
        for name, value in (("budget", self.total), ("batch", self.batch)):
            checks.in_range(name, value, 0, np.inf, low_open=True, high_open=True)
        if self.batch > self.total:
            raise ValueError(
                f"batch: got {self.batch:g}, expected at most the budget, "
                f"{self.total:g}"
            )
        each = np.where(affordable(self.costs, self.batch), self.costs, 0)
        whole = float(each.sum(axis=-1).min())
        if whole and self.total > whole * (1 + _SLACK):
            raise ValueError(
                f"budget: got {self.total:g}, expected at most the cost of all "
                f"examples that a round can pay for, {whole:g}"
            )
        cheapest = float(self.costs.min(axis=-1).max())
        last = self._amount(self.rounds - 1)
        for name, value, whose in (
            ("batch", self.batch, "a round has"),
            ("budget", last, "its last round has"),
        ):
            if value < cheapest * (1 - _SLACK):
                raise ValueError(
                    f"{name}: {whose} {value:g}, expected at least the cost of the "
                    f"cheapest example, {cheapest:g}"
                )

    def check(self, num_examples: int) -> None:
        """Raises `ValueError` unless there is a cost for each example."""
        if self.costs.shape[-1] != num_examples:
            raise ValueError(
                f"costs: got {self.costs.shape[-1]}, expected one for each of "
                f"{num_examples} examples"
            )

    def check_repeats(self, repeats: int) -> None:
        """Raises `ValueError` unless all repeats, or each of them, have costs."""
        if self.costs.ndim == 2 and len(self.costs) != repeats:
            raise ValueError(
                f"costs: got {len(self.costs)} rows, expected one for each of "
                f"{repeats} repeats"
            )

    @property
    def rounds(self) -> int:
        """Rounds of queries."""
        return max(1, math.ceil(self.total / self.batch * (1 - _SLACK)))

    @property
    def places(self) -> int:
        """For queries of all rounds."""
        return self.asked(self.rounds)

    def count(self, round_number: int) -> int:
        """Places for queries in a round, counted from 0."""
        return most_within_budget(self.costs, self._amount(round_number))

    def asked(self, round_number: int) -> int:
        """Places for queries before a round."""
        full = min(round_number, self.rounds - 1)
        before = full * self.count(0)
        return before + (self.count(full) if round_number > full else 0)

    def spending(self, round_number: int, repeats: int) -> Spending:
        """What a round may spend, with a row for each of the repeats."""
        costs = np.broadcast_to(self.costs, (repeats, self.costs.shape[-1]))
        amount = self._amount(round_number)
        return Spending.of(costs, amount, per_cost=self.per_cost)

    def spent(self, picks: np.ndarray) -> np.ndarray:
        """(R,) float64, what (R, Q) picks cost together; -1 is no pick."""
        costs = np.broadcast_to(self.costs, (len(picks), self.costs.shape[-1]))
        each = np.take_along_axis(costs, np.maximum(picks, 0), axis=1)
        return np.sum(each, axis=1, where=picks >= 0)

    def _amount(self, round_number: int) -> float:
        return min(self.batch, self.total - round_number * self.batch)
