"""Greedy coverage of a pool in a file, with the picks that it has in memory.

As `_lazy_coverage`, by the same bounds; but of similarities only a block's are there at
a time. The file goes by for every block of candidates, for every pick, and where bounds
are brought up to date once for every block of examples that are covered more than
before.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax.placement import Placement
from robustjax.row_source import RowSource, row_blocks
from robustjax.selection._confined_gains import confined_gains
from robustjax.selection._factored_pool import Factors, Pool, similarities
from robustjax.selection._greedy import Progress
from robustjax.selection._lazy_coverage import is_anew, slack_of, worthwhile

_RESIDENT = Placement()


def is_of_file(factors: Factors) -> bool:
    """Whether features are read when they are asked for."""
    return any(isinstance(x, RowSource) for x, _ in factors)


def blocks_of(factors: Factors) -> Iterator[slice]:
    """Runs of rows that are to be in memory together."""
    widest: RowSource | np.ndarray = max(
        (x for x, _ in factors), key=lambda x: int(x.shape[1])
    )
    return row_blocks(widest)


class Covered(NamedTuple):
    """What was picked, see `LazyState`."""

    picks: np.ndarray
    values: np.ndarray
    covered: np.ndarray


@functools.partial(jax.jit, static_argnames="similarity")
def _columns(
    candidates: Pool, block: Pool, high: jax.Array, *, similarity: str
) -> jax.Array:
    """All that candidates (K) can cover of some examples (B): (K, B)."""
    return jnp.minimum(similarities(candidates, block, similarity), high[None])


@jax.jit
def _more(columns: jax.Array, covered: jax.Array) -> jax.Array:
    return jnp.sum(jnp.maximum(columns - covered[None], 0.0), axis=1)


_confined = jax.jit(confined_gains, static_argnames=("place", "similarity"))


def _all_confined(
    pool: Pool,
    ground: Pool,
    rows: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    similarity: str,
) -> np.ndarray:
    """See `confined_gains`, on the host: (N,) float64."""
    found = np.zeros(len(pool.first))
    numbers = np.flatnonzero(rows)
    step = next(blocks_of(ground.factors)).stop
    for start in range(0, len(numbers), step):
        some = numbers[start : start + step]
        # Of one shape: programs are compiled for it.
        some = np.pad(some, (0, step - len(some)), mode="edge")
        there = np.arange(step) < len(numbers) - start
        given = jax.device_put((ground.take(some), there, low[some], high[some]))
        for here in blocks_of(pool.factors):
            sums = _confined(_RESIDENT, pool.take(here), *given, similarity=similarity)
            found[here] += np.asarray(sums)
    return found


def _best(bounds: np.ndarray, count: int) -> tuple[np.ndarray, np.floating, int]:
    """The rows of the largest bounds in order of index; the next bound, and its row."""
    size = len(bounds)
    wanted = min(count + 1, size)
    least = np.partition(bounds, size - wanted)[size - wanted]
    able = np.flatnonzero(bounds >= least)
    ranked = able[np.argsort(-bounds[able], kind="stable")]
    if count == size:
        return np.sort(ranked), np.float32(-np.inf), size
    left = int(ranked[count])
    return np.sort(ranked[:count]), bounds[left], left


def cover_of_file(
    pool: Pool,
    ground: Pool,
    low: np.ndarray,
    high: np.ndarray,
    extra: np.ndarray,
    bounds: np.ndarray,
    budget: int,
    similarity: str,
    candidates: int,
    on_progress: Progress | None,
) -> Covered:
    """Greedy picks, equal gains to the lowest index.

    Args:
      pool: N candidates on the host or in files.
      ground: G examples that are to be covered, likewise.
      low: see `Coverage`, as for the next two.
      high: (G,) float32.
      extra: (N,) float32.
      bounds: (N,) float32, see `first_state`.
      budget: the number of picks.
      similarity: see `cosine_kernel.SIMILARITIES`.
      candidates: evaluated together.
      on_progress: called after every pick.
    """
    size, height = len(extra), len(low)
    count = min(candidates, size)
    covered, seen = low.copy(), np.full(height, -np.inf, np.float32)
    bounds, gains = bounds.copy(), np.zeros(size)
    picks, values = np.zeros(budget, np.int32), np.zeros(budget, np.float32)
    level = top = -np.inf
    found = bool(np.isfinite(bounds).all())
    made, evaluated = 0, 0 if found else size
    while made < budget:
        changed = covered > seen
        many = float(changed.sum())
        if not found and worthwhile(many, evaluated, size, height):
            able = high > covered
            anew = bool(is_anew(many, float(able.sum()), level, top))
            if anew:
                gains = _all_confined(pool, ground, able, covered, high, similarity)
            else:
                gains = gains - _all_confined(
                    pool, ground, changed, seen, covered, similarity
                )
            top = float(gains.max())
            level = top if anew else level
            slack = float(slack_of(height, level, top))
            bounds = np.minimum(bounds, (extra + gains + slack).astype(np.float32))
            seen, evaluated = covered.copy(), 0
        chosen, left_bound, left = _best(bounds, count)
        few = jax.device_put(pool.take(chosen))
        exact = extra[chosen].astype(np.float64)
        for here in blocks_of(ground.factors):
            columns = _columns(
                few, ground.take(here), high[here], similarity=similarity
            )
            exact += np.asarray(_more(columns, covered[here]))
        exact = np.where(np.isneginf(bounds[chosen]), -np.inf, exact).astype(np.float32)
        best = int(exact.argmax())
        found = bool(
            exact[best] > left_bound
            or (exact[best] == left_bound and chosen[best] < left)
        )
        bounds[chosen] = exact
        evaluated += count
        if not found:
            continue
        for here in blocks_of(ground.factors):
            columns = _columns(
                few, ground.take(here), high[here], similarity=similarity
            )
            covered[here] = np.maximum(covered[here], columns[best])
        picks[made], values[made] = chosen[best], exact[best]
        bounds[chosen[best]] = -np.inf
        made += 1
        if on_progress is not None:
            on_progress(made, budget)
    return Covered(picks, values, covered)
