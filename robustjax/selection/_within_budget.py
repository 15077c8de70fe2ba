"""The best of what a budget pays for, where labels do not all cost the same.

The 0/1 knapsack's greedy by ratio (Dantzig, "Discrete-Variable Extremum Problems",
Operations Research 5, 1957), with what is left over spent on whatever still fits.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks

# Costs, budget and their quotients are rounded to float32 once each; sums are not.
_SLACK = 2.0**-21
_LARGEST = float(np.finfo(np.float32).max)


class Spending(NamedTuple):
    """What a batch may cost, in units of the cheapest example.

    In these units examples that all cost the same cost exactly 1, so that scores per
    cost are the scores.

    Attributes:
      prices: (..., N) float32, at least 1.
      divisors: (..., N) float32, what scores are divided by: the prices, or ones where
        the order takes no regard to cost.
      limit: (...) float32, what the batch may cost, at least 1.
    """

    prices: jax.Array
    divisors: jax.Array
    limit: jax.Array

    @classmethod
    def of(cls, costs: Any, budget: float, *, per_cost: bool = True) -> Spending:
        """Checks costs and a budget.

        Args:
          costs: (N,) finite positive numbers, or (R, N), a row per repeat.
          budget: what a batch may cost, at least the cost of the cheapest example.
          per_cost: whether the order is by score per cost, or by score alone.

        Raises:
          ValueError: no costs, another rank, costs that are not finite or not above 0
            or too far apart for float32, a budget below the cheapest.
        """
        values = check_costs(costs)
        _check_budget(values, budget)
        cheapest = values.min(axis=-1)
        prices = arrays.cast("costs", values / cheapest[..., None])
        limit = np.minimum(float(budget) / cheapest, _LARGEST).astype(np.float32)
        divisors = prices if per_cost else np.ones_like(prices)
        return cls(*jax.device_put((prices, divisors, limit)))


def check_costs(costs: Any) -> np.ndarray:
    """Returns costs, (N,) or (R, N), in double precision after checking them.

    Raises:
      ValueError: see `Spending.of`.
    """
    values = arrays.numbers("costs", costs)
    checks.rank("costs", values, (1, 2))
    if not values.size:
        raise ValueError("costs: got none, expected one for every example")
    checks.finite("costs", values)
    values = values.astype(np.float64)
    wrong = np.argwhere(values <= 0)
    if len(wrong):
        place = tuple(wrong[0])
        raise ValueError(
            f"costs: got {values[place]:g} at row {place[-1]}, expected numbers above 0"
        )
    return values


def _check_budget(costs: np.ndarray, budget: float) -> None:
    checks.in_range("budget", budget, 0, np.inf, low_open=True, high_open=True)
    cheapest = float(costs.min(axis=-1).max())
    if budget < cheapest * (1 - _SLACK):
        raise ValueError(
            f"budget: got {budget:g}, expected at least the cost of the cheapest "
            f"example, {cheapest:g}"
        )


def affordable(costs: Any, budget: Any) -> np.ndarray:
    """Whether a budget pays for each by itself, up to the rounding of the costs."""
    return np.asarray(np.asarray(costs, np.float64) <= budget * (1 + _SLACK))


def most_within_budget(costs: Any, budget: float) -> int:
    """How many examples a budget pays for at most: the cheapest ones.

    Args:
      costs: (N,) finite positive numbers, or (R, N), a row per repeat.
      budget: what they may cost together.

    Returns:
      A number in 1 … N, of the repeat for which it is largest.

    Raises:
      ValueError: see `Spending.of`.
    """
    values = check_costs(costs)
    _check_budget(values, budget)
    paid = np.cumsum(np.sort(values, axis=-1), axis=-1)
    return int(np.max(np.sum(affordable(paid, budget), axis=-1)))


def typical_count(spending: Spending) -> int:
    """How many examples of average cost the budgets pay for on average, at least 1.

    The average is over those that cost no more than the budget.
    """
    prices = np.asarray(spending.prices, np.float64)
    limit = np.asarray(spending.limit, np.float64)
    single = affordable(prices, limit[..., None])
    count = np.mean(limit / np.mean(prices, axis=-1, where=single))
    return max(1, int(count * (1 + _SLACK)))


def worth(scores: jax.Array, divisors: jax.Array) -> jax.Array:
    """Scores per cost; negative ones times cost, so that dearer is never better."""
    return jnp.where(scores >= 0, scores / divisors, scores * divisors)


class Paid(NamedTuple):
    """A sum of costs that is exact for all purposes: the rounded sum and its error.

    Attributes:
      total: () float32.
      error: () float32, what is missing in it.
    """

    total: jax.Array
    error: jax.Array

    @classmethod
    def nothing(cls) -> Paid:
        """Before the first example."""
        return cls(jnp.float32(0), jnp.float32(0))

    def plus(self, price: jax.Array) -> Paid:
        """With another example, or each of several (Knuth's two-sum)."""
        total = self.total + price
        added = total - self.total
        error = (self.total - (total - added)) + (price - added)
        return Paid(total, self.error + error)

    def within(self, limit: jax.Array) -> jax.Array:
        """Whether the limit pays for it, up to the rounding of the costs."""
        return (self.total - limit) + self.error <= _SLACK * limit


@functools.partial(jax.jit, static_argnames="count")
def walk(
    ranked: jax.Array,
    available: jax.Array,
    prices: jax.Array,
    limit: jax.Array,
    *,
    count: int,
) -> jax.Array:
    """Walks down a ranking and takes whatever is available and still affordable.

    Args:
      ranked: (N,) floats, the largest first, equal ones in order of index.
      available: (N,) bool.
      prices: (N,) floats, in the unit of the limit.
      limit: () what all may cost.
      count: how many at most, static.

    Returns:
      (count,) int32 indices in the order of the walk, -1 behind the last one taken.
    """
    lowest = jnp.finfo(ranked.dtype).min
    ranked = jnp.where(available, jnp.maximum(ranked, lowest), -jnp.inf)
    order = jax.lax.top_k(ranked, ranked.shape[0])[1]

    def visit(
        carry: tuple[Paid, jax.Array], row: jax.Array
    ) -> tuple[tuple[Paid, jax.Array], jax.Array]:
        paid, taken = carry
        then = paid.plus(prices[row])
        take = available[row] & then.within(limit) & (taken < count)
        paid = jax.tree.map(lambda a, b: jnp.where(take, a, b), then, paid)
        return (paid, taken + take), take

    start = (Paid.nothing(), jnp.int32(0))
    _, take = jax.lax.scan(visit, start, order)
    (place,) = jnp.nonzero(take, size=count, fill_value=ranked.shape[0])
    return order.at[place].get(mode="fill", fill_value=-1).astype(jnp.int32)


def top_within_budget(
    scores: Any,
    costs: Any,
    available: Any,
    budget: float,
    *,
    count: int | None = None,
    per_cost: bool = True,
) -> tuple[jax.Array, jax.Array]:
    """The available examples of largest score per cost that a budget pays for.

    Examples are visited by score per cost, the largest first and equal ones in order of
    index (negative scores are multiplied by cost, so that dearer is never better). Each
    is taken if what is left of the budget pays for it, and left out otherwise; a
    cheaper one behind it may still be taken. What is left over in the end is less than
    the cheapest available example that was not taken costs, unless `count` ended it.

    With scores that are not negative, and without `count`, the sum of scores is that of
    the best affordable choice up to one example: it falls short of the optimum by at
    most the ratio of the first example that was left out times what was left when it
    was, which is less than that example's score. Where nothing is left then, or all
    costs are the same, it is the optimum. (It need not be near it where a single
    example takes most of the budget.) With `per_cost` false nothing of this is
    promised.

    All arrays may be traced where `count` is given, `budget` too; the shapes depend on
    `count` alone.

    Args:
      scores: (N,) finite floats.
      costs: (N,) finite numbers above 0.
      available: (N,) bool.
      budget: what all may cost together, at least the cost of the cheapest example; it
        is exceeded by no more than the rounding of costs to float32, five parts in ten
        million.
      count: how many at most, 1 … N, static; by default as many as the budget can pay
        for, `most_within_budget(costs, budget)`.
      per_cost: whether the order is by score per cost, or by score alone.

    Returns:
      (count,) int32 indices in that order, -1 behind the last one, and (count,) bool,
      False there.

    Raises:
      ValueError: wrong ranks or lengths; a count out of range; availability that is
        neither 0 nor 1, scores that are NaN or infinite, costs or a budget out of range
        (see `Spending.of`), unless traced.

    Example:
      >>> from robustjax import selection
      >>> scores, costs = [6.0, 5.0, 4.0, 1.0], [4.0, 1.0, 2.0, 1.0]
      >>> picks, taken = selection.top_within_budget(scores, costs, [True] * 4, 4.0)
      >>> picks[taken].tolist()  # The first one would take all of the budget.
      [1, 2, 3]
    """
    for name, values in (
        ("scores", scores),
        ("costs", costs),
        ("available", available),
    ):
        checks.rank(name, values, 1)
    size = checks.same_length(scores=scores, costs=costs, available=available)
    traced = checks.is_traced((costs, budget))
    if traced and count is None:
        raise ValueError("count: got None with traced costs, expected an integer")
    if traced:
        costs = arrays.float32("costs", costs, 1)
        cheapest = jnp.min(costs)
        prices, limit = costs / cheapest, jnp.float32(budget) / cheapest
        divisors = prices if per_cost else jnp.ones_like(prices)
    else:
        prices, divisors, limit = Spending.of(costs, budget, per_cost=per_cost)
    if count is None:
        count = most_within_budget(costs, budget)
    checks.at_least("count", count, 1)
    if count > size:
        raise ValueError(f"count: got {count}, expected at most the {size} examples")
    arrays.check_resolved("scores", scores)
    scores = arrays.float32("scores", scores, 1)
    if not checks.is_traced(scores):
        checks.finite("scores", scores)
    available = jnp.asarray(checks.truths("available", available), bool)
    ranked = worth(scores, divisors)
    picks = walk(ranked, available, prices, limit, count=count)
    return picks, picks >= 0
