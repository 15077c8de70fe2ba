"""Greedy coverage by similarity, with all similarities kept or made when needed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from robustjax.placement import Placement, on_host
from robustjax.selection._class_layout import one_class
from robustjax.selection._confined_gains import direction_sum, sums_of_shifted
from robustjax.selection._coverage_of_file import (
    Covered,
    blocks_of,
    cover_of_file,
    is_of_file,
)
from robustjax.selection._factored_pool import Factors, Pool, take_rows
from robustjax.selection._greedy import Progress, Selection, selection
from robustjax.selection._kept_similarities import (
    TILE,
    KeptState,
    advance_kept,
    kept_similarities,
)
from robustjax.selection._lazy_coverage import (
    LazyState,
    advance_lazily,
    first_state,
    slack_of,
)

_State = TypeVar("_State", KeptState, LazyState)


class Coverage(NamedTuple):
    """Candidates, and what they are to cover.

    Attributes:
      size: N.
      pool: N candidates, divided among devices, with what fills them up; on the host
        or in files where one device has none of them.
      ground: G examples, likewise, or None where they are the candidates.
      low: (G,) float32, to where an example counts as covered at the start.
      high: (G,) float32, up to where it can be covered.
      eta: >= 0, how far a candidate's largest similarity to the ground counts beside
        what it covers.
      likeness: these similarities, (N,) float32 and at least 0, for where not all
        similarities are kept anyway; None where eta is 0.
    """

    size: int
    pool: Pool
    ground: Pool | None
    low: np.ndarray
    high: np.ndarray
    eta: float = 0.0
    likeness: Callable[[], np.ndarray] | None = None

    def extra(self) -> np.ndarray:
        """(N,) float32, what a candidate is worth beside what it covers."""
        if self.likeness is None:
            return np.zeros(self.size, np.float32)
        return np.float32(self.eta) * self.likeness()


def _padded(pool: Pool, size: int) -> Pool:
    """With copies of the first example up to a size."""
    extra = size - pool.first.shape[0]
    return (
        pool
        if not extra
        else jax.tree.map(
            lambda x: jnp.pad(x, [(0, extra)] + [(0, 0)] * (x.ndim - 1), mode="edge"),
            pool,
        )
    )


@jax.jit
def _likeness(kernel: jax.Array, eta: jax.Array, number: jax.Array) -> jax.Array:
    """`eta` times the largest of the first rows of a kernel (G, N), at least 0."""

    def row(at: jax.Array, largest: jax.Array) -> jax.Array:
        return jnp.maximum(largest, kernel[at])

    return eta * jax.lax.fori_loop(0, number, row, jnp.zeros(kernel.shape[1]))


def _of_kept(
    coverage: Coverage, budget: int, similarity: str
) -> tuple[Callable[[KeptState, np.int32], KeptState], KeptState, np.ndarray]:
    """Greedy picks on the whole matrix of similarities, and `extra`, (N,)."""
    size, pool, ground, low, high, eta, _ = coverage
    width = -(-size // TILE) * TILE
    height = -(-low.shape[0] // TILE) * TILE
    # What fills up covers nothing, is covered by nothing and is not to be picked.
    fill = (0, height - low.shape[0])
    floor, ceiling = (jnp.asarray(np.pad(end, fill)) for end in (low, high))
    candidates = _padded(pool, width)
    if ground is None:
        kernel = kept_similarities(candidates, None, similarity=similarity)
    else:
        kernel = kept_similarities(
            _padded(ground, height), candidates, similarity=similarity
        )
    worth = jnp.zeros(width)
    if eta:
        worth = _likeness(kernel, np.float32(eta), np.int32(low.shape[0]))
    state = KeptState(
        floor,
        jnp.where(jnp.arange(width) < size, 0.0, -jnp.inf),
        jnp.float32(-jnp.inf),
        jnp.zeros(budget, jnp.int32),
        jnp.zeros(budget, jnp.float32),
        jnp.int32(0),
    )
    advance = functools.partial(
        advance_kept,
        kernel,
        ceiling,
        worth,
        symmetric=ground is None,
        by_rows=jax.default_backend() == "cpu",
    )
    return advance, state, on_host(worth)[:size]


def _first_bounds(coverage: Coverage, extra: np.ndarray, similarity: str) -> np.ndarray:
    """Bounds (N,) on gains before the first pick, inf where they take all pairs."""
    pool, ground, low = coverage.pool, coverage.ground, coverage.low
    if similarity != "shifted" or len(pool.factors) > 1 or low.any():
        return np.full_like(extra, np.inf)
    ground = pool if ground is None else ground
    total = sum(direction_sum(block) for block in _parts(ground.factors))
    number = np.float32(ground.first.shape[0])
    parts = [sums_of_shifted(block, total, number) for block in _parts(pool.factors)]
    gains = np.concatenate([on_host(part) for part in parts])[: len(extra)]
    most = gains.max()
    bounds: np.ndarray = extra + gains + np.float32(slack_of(len(low), most, most))
    return bounds


def _parts(factors: Factors) -> Iterator[Factors]:
    """Features that are in files block by block, others as they are."""
    if not is_of_file(factors):
        yield factors
        return
    for here in blocks_of(factors):
        yield take_rows(factors, here)


def _of_lazy(
    place: Placement,
    coverage: Coverage,
    extra: np.ndarray,
    budget: int,
    similarity: str,
    candidates: int,
) -> tuple[Callable[[LazyState, np.int32], LazyState], LazyState]:
    """Greedy picks on blocks of similarities, made when they are needed."""
    size = coverage.size
    bounds = _first_bounds(coverage, extra, similarity)
    state = first_state(place, coverage.low, bounds, budget)
    advance = functools.partial(
        advance_lazily,
        place,
        coverage.pool,
        coverage.pool if coverage.ground is None else coverage.ground,
        place.rows(coverage.high, 0),
        *place.whole((extra, one_class(size))),
        similarity=similarity,
        candidates=min(candidates, size),
    )
    return advance, state


def _all_picks(
    advance: Callable[[_State, np.int32], _State],
    state: _State,
    budget: int,
    on_progress: Progress | None,
) -> _State:
    """The state after the last pick, reported now and then."""
    made = 0
    step = budget if on_progress is None else max(1, budget // 100)
    while made < budget:
        state = advance(state, np.int32(min(made + step, budget)))
        made = int(state.made)
        if on_progress is not None:
            on_progress(made, budget)
    return state


def greedy_coverage(
    place: Placement,
    coverage: Coverage,
    budget: int,
    similarity: str,
    candidates: int,
    keep_bytes: int,
    on_progress: Progress | None,
) -> Selection:
    """Greedy for `sum_i clip(max_{j in A} s_ij, low_i, high_i) - low_i + extra_A`.

    `extra` is `eta` times the largest similarity to the ground.
    """
    size, height = coverage.size, coverage.low.shape[0]
    of_file = place.mesh is None and is_of_file(coverage.pool.factors)
    few = 4 * (size + TILE) * (height + TILE) <= keep_bytes
    state: KeptState | LazyState | Covered
    if place.mesh is None and few and not of_file:
        advance, first, extra = _of_kept(coverage, budget, similarity)
        state = _all_picks(advance, first, budget, on_progress)
    elif of_file:
        extra = coverage.extra()
        ground = coverage.pool if coverage.ground is None else coverage.ground
        state = cover_of_file(
            coverage.pool,
            ground,
            coverage.low,
            coverage.high,
            extra,
            _first_bounds(coverage, extra, similarity),
            budget,
            similarity,
            candidates,
            on_progress,
        )
    else:
        extra = coverage.extra()
        lazy = _of_lazy(place, coverage, extra, budget, similarity, candidates)
        state = _all_picks(*lazy, budget, on_progress)
    picks = on_host(state.picks)
    covered = on_host(state.covered).astype(np.float64)[:height]
    value = covered - coverage.low.astype(np.float64)
    own = extra.astype(np.float64)[picks]
    reached = float(value.sum() + own.sum())
    return selection(picks, on_host(state.values), reached, size)
