"""Batch selection by entropy propagation, in one compiled loop (Kim, ECCV 2022)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks
from robustjax.graph._diffusion import ClampedDiffusion
from robustjax.selection._greedy import check_picks
from robustjax.selection._top import fast_argmax
from robustjax.selection._within_budget import Paid, Spending, worth

MODES = ("literal", "delta")
"""Values of `mode` in `propagate_entropy`."""


def propagate_entropy(
    entropies: Any,
    candidates: Any,
    usable: Any,
    diffusion: ClampedDiffusion,
    *,
    num_queries: int,
    mode: str = "literal",
    spending: Spending | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Picks a diverse batch of uncertain examples, one after the other.

    Each pick is the candidate of largest current entropy; its entropy is set to zero
    and the news spreads over the graph before the next pick (Alg. 1, lines 15 to 22).

    Two readings of the spreading:
      * "literal" diffuses the *whole* vector, as printed. Every pick also smooths
        all other entropies, 10 steps at a time: after some fifty picks little of the
        model's own ranking is left, and picks follow the candidate set and the
        distance to earlier picks.
      * "delta" spreads only the *decrease*. The response h of the graph to a node
        held at 1 for the same steps (h = 1 at the node, below 1 elsewhere) scales
        the subtraction `e <- e - e[x] h`; entropies far from all picks keep their
        values. Not the paper's; an ablation that keeps its stated intent.

    Picks are exact arg-maxima, ties to the earlier candidate; a pick never repeats.
    Where traced candidates hold fewer usable ones than queries, others follow, and
    all entropies that are returned are NaN. Rounding decides between near-ties, so
    two correct programs may differ there.

    With a budget of cost, each pick is the candidate of largest current entropy per
    cost among those that what is left of the budget pays for, until it pays for none.
    The entropies change with every pick, so nothing is promised of their sum.

    Args:
      entropies: (N,) non-negative floats.
      candidates: (M,) distinct int32 node indices, M >= num_queries.
      usable: (M,) bool, False for candidates that must not be picked.
      diffusion: the prepared map, see `graph.clamped_diffusion`.
      num_queries: Q, static; with a budget, at most so many.
      mode: "literal" or "delta", static.
      spending: what examples cost and what the batch may; None for no costs.

    Returns:
      (Q,) int32 picks in order, with a budget -1 behind the last one, and the (N,)
      entropies after it.

    Raises:
      ValueError: fewer (without a budget, usable) candidates than queries, candidates
        out of range or repeated, entropies that are negative or not finite, lengths
        that differ, truth values that are neither 0 nor 1, or an unknown mode.
    """
    checks.one_of("mode", mode, MODES)
    checks.at_least("num_queries", num_queries, 1)
    arrays.check_resolved("entropies", entropies)
    entropies = arrays.float32("entropies", entropies, 1)
    checks.rank("candidates", candidates, 1)
    if np.shape(candidates)[0] < num_queries:
        raise ValueError(
            f"candidates: got {np.shape(candidates)[0]}, expected at least num_queries "
            f"= {num_queries}"
        )
    checks.rank("usable", usable, 1)
    checks.same_length(candidates=candidates, usable=usable)
    if not checks.is_traced((entropies, candidates, usable)):
        checks.finite("entropies", entropies)
        candidates = checks.labels("candidates", candidates, entropies.shape[0])
        check_picks(candidates, entropies.shape[0])
        # A pick's is set to zero, which must not make it more uncertain.
        checks.in_range("entropies", jnp.min(entropies), 0)
        usable = np.asarray(checks.truths("usable", usable))
        if spending is None and usable.sum() < num_queries:
            raise ValueError(
                f"usable: got {usable.sum()} usable candidates, expected at least "
                f"num_queries = {num_queries}"
            )
    candidates, usable = jnp.asarray(candidates), jnp.asarray(usable, bool)
    ones = jnp.ones_like(entropies)

    def spread(e: jax.Array, node: jax.Array) -> jax.Array:
        if mode == "literal":
            return diffusion(e, node)
        # Clamping 1 - h to zero is clamping h to one, and K 1 = 1.
        response = (1 - diffusion(ones, node)).at[node].set(1.0)
        return jnp.maximum(e - e[node] * response, 0.0)

    if spending is not None:
        checks.same_length(entropies=entropies, prices=spending.prices)
        return _within(spending, entropies, candidates, usable, num_queries, spread)

    def pick(
        step: jax.Array, carry: tuple[jax.Array, jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        e, left, picks = carry
        # Of those left, the ones that are not usable come last.
        value = jnp.where(usable, e[candidates], jnp.finfo(e.dtype).min)
        place = fast_argmax(jnp.where(left, value, -jnp.inf))
        node = candidates[place]
        return spread(e, node), left.at[place].set(False), picks.at[step].set(node)

    left = jnp.ones(candidates.shape, bool)
    start = (entropies, left, jnp.zeros(num_queries, jnp.int32))
    e, _, picks = jax.lax.fori_loop(0, num_queries, pick, start)
    return picks, jnp.where(jnp.sum(usable) >= num_queries, e, jnp.nan)


class _Carry(NamedTuple):
    """A batch that is being picked.

    Attributes:
      entropies: (N,) by now.
      left: (M,) bool, candidates that were not picked and are affordable.
      picks: (Q,) int32.
      made: () int32, how many.
      paid: for them.
    """

    entropies: jax.Array
    left: jax.Array
    picks: jax.Array
    made: jax.Array
    paid: Paid


def _within(
    spending: Spending,
    entropies: jax.Array,
    candidates: jax.Array,
    usable: jax.Array,
    most: int,
    spread: Callable[[jax.Array, jax.Array], jax.Array],
) -> tuple[jax.Array, jax.Array]:
    """Picks until the budget pays for no candidate."""
    prices, divisors = spending.prices[candidates], spending.divisors[candidates]

    def affordable(left: jax.Array, paid: Paid) -> jax.Array:
        return left & paid.plus(prices).within(spending.limit)

    def goes_on(carry: _Carry) -> jax.Array:
        return (carry.made < most) & jnp.any(carry.left)

    def pick(carry: _Carry) -> _Carry:
        value = worth(carry.entropies[candidates], divisors)
        place = fast_argmax(jnp.where(carry.left, value, -jnp.inf))
        node = candidates[place]
        paid = carry.paid.plus(prices[place])
        return _Carry(
            spread(carry.entropies, node),
            # What is not affordable now never is again.
            affordable(carry.left.at[place].set(False), paid),
            carry.picks.at[carry.made].set(node),
            carry.made + 1,
            paid,
        )

    nothing = Paid.nothing()
    picks = jnp.full(most, -1, jnp.int32)
    start = _Carry(entropies, affordable(usable, nothing), picks, jnp.int32(0), nothing)
    done = jax.lax.while_loop(goes_on, pick, start)
    return done.picks, done.entropies
