"""Batch selection by entropy propagation, in one compiled loop (Kim, ECCV 2022)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks
from robustjax.graph._diffusion import ClampedDiffusion
from robustjax.selection._greedy import check_picks
from robustjax.selection._top import fast_argmax

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

    Args:
      entropies: (N,) non-negative floats.
      candidates: (M,) distinct int32 node indices, M >= num_queries.
      usable: (M,) bool, False for candidates that must not be picked.
      diffusion: the prepared map, see `graph.clamped_diffusion`.
      num_queries: Q, static.
      mode: "literal" or "delta", static.

    Returns:
      (Q,) int32 picks in order, and the (N,) entropies after the last one.

    Raises:
      ValueError: fewer (usable) candidates than queries, candidates out of range or
        repeated, entropies that are negative or not finite, lengths that differ, truth
        values that are neither 0 nor 1, or an unknown mode.
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
        if usable.sum() < num_queries:
            raise ValueError(
                f"usable: got {usable.sum()} usable candidates, expected at least "
                f"num_queries = {num_queries}"
            )
    candidates, usable = jnp.asarray(candidates), jnp.asarray(usable, bool)
    ones = jnp.ones_like(entropies)

    def pick(
        step: jax.Array, carry: tuple[jax.Array, jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        e, left, picks = carry
        # Of those left, the ones that are not usable come last.
        value = jnp.where(usable, e[candidates], jnp.finfo(e.dtype).min)
        place = fast_argmax(jnp.where(left, value, -jnp.inf))
        node = candidates[place]
        if mode == "literal":
            e = diffusion(e, node)
        else:
            # Clamping 1 - h to zero is clamping h to one, and K 1 = 1.
            response = (1 - diffusion(ones, node)).at[node].set(1.0)
            e = jnp.maximum(e - e[node] * response, 0.0)
        return e, left.at[place].set(False), picks.at[step].set(node)

    left = jnp.ones(candidates.shape, bool)
    start = (entropies, left, jnp.zeros(num_queries, jnp.int32))
    e, _, picks = jax.lax.fori_loop(0, num_queries, pick, start)
    return picks, jnp.where(jnp.sum(usable) >= num_queries, e, jnp.nan)
