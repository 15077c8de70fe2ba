"""Greedy maximisation of covered neighbourhoods on a sparse similarity matrix.

The objective is `F(S) = sum_i tanh(sum over j in S of s_ij C_j / eta)` with s_ij = 0 up
to a threshold. It is monotone and submodular, so lazy evaluation (Minoux, 1978) makes
the picks of the plain greedy algorithm: gains only fall, hence an old gain bounds the
present one, and only the few largest need to be computed again.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import conditioning
from robustjax.placement import Placement, on_host
from robustjax.selection._class_layout import (
    ClassLayout,
    best_of_classes,
    examples_at,
)
from robustjax.selection._cosine_kernel import (
    cosines,
    one_where_equal,
    placed_inverse_norms,
    thresholded,
)
from robustjax.selection._equal_rows import first_equal_rows
from robustjax.selection._greedy import Progress, Selection, selection

# Gains computed again together, and neighbours summed together.
_EVALUATED = 32
_CHUNK = 128
# Similarities held at once, in numbers.
_BLOCK_NUMBERS = 4_000_000
_BYTES_PER_ENTRY = 8
# The number of entries is rounded up, so that programs are compiled for few of them.
_ROUND_UP = 2**16


class SparseKernel(NamedTuple):
    """Similarities above a threshold, row by row; symmetric, diagonal included.

    Attributes:
      starts: (N + 1,) int32, where the entries of every row start.
      columns: (M,) int32, ascending within a row; the tail is padding.
      values: (M,) float32.
    """

    starts: jax.Array
    columns: jax.Array
    values: jax.Array


@functools.partial(jax.jit, static_argnames=("similarity", "rows"))
def _block(
    points: jax.Array,
    inverse: jax.Array,
    first: jax.Array,
    start: jax.Array,
    threshold: jax.Array,
    *,
    similarity: str,
    rows: int,
) -> jax.Array:
    index = jnp.minimum(start + jnp.arange(rows), points.shape[0] - 1)
    cosine = cosines(points[index], points, inverse[index], inverse)
    cosine = one_where_equal(cosine, first[index], first)
    return thresholded(cosine, threshold, similarity)


def threshold_kernel(
    place: Placement,
    features: Any,
    threshold: float,
    *,
    similarity: str = "shifted",
    max_bytes: int = 4 * 2**30,
) -> SparseKernel:
    """All similarities above a threshold, found block by block.

    Args:
      place: where the features are to lie; the matrix is on one device.
      features: (N, d) finite floats, no row zero.
      threshold: in [0, 1].
      similarity: see `cosine_kernel.SIMILARITIES`.
      max_bytes: the largest matrix, at 8 bytes per entry; while it is built, its parts
        take as much again.

    Raises:
      ValueError: more entries than `max_bytes` holds, told as soon as that is seen.
    """
    given = conditioning.scaled_source("features", features)
    points = place.rows(given)
    inverse = placed_inverse_norms(points, place)
    first = place.rows(first_equal_rows(given))
    size = len(given)
    rows = max(1, min(size, _BLOCK_NUMBERS // size, 1024))
    most = min(max_bytes // _BYTES_PER_ENTRY, np.iinfo(np.int32).max - 2 * _ROUND_UP)
    counts = np.zeros(size, np.int64)
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for start in range(0, size, rows):
        block = on_host(
            _block(
                points,
                inverse,
                first,
                np.int32(start),
                np.float32(threshold),
                similarity=similarity,
                rows=rows,
            )
        )[: size - start, :size]
        here = block > 0
        counts[start : start + len(block)] = here.sum(axis=1)
        parts.append((np.nonzero(here)[1].astype(np.int32), block[here]))
        if counts.sum() > most:
            done = start + len(block)
            raise ValueError(
                f"max_bytes: {done} of {size} examples have {counts.sum()} neighbours "
                f"above the threshold {threshold:g}, more than the {most} that "
                f"{max_bytes} bytes hold; expected a higher threshold, more memory, "
                'or objective="own", which needs no such matrix'
            )
    # At least one chunk of padding: a slice at the last row's end stays within.
    pad = np.zeros(_CHUNK + -(int(counts.sum()) + _CHUNK) % _ROUND_UP, np.int32)
    return SparseKernel(
        jnp.asarray(np.concatenate([[0], np.cumsum(counts)]), jnp.int32),
        jnp.asarray(np.concatenate([*(columns for columns, _ in parts), pad])),
        jnp.asarray(
            np.concatenate([*(values for _, values in parts), pad], dtype=np.float32)
        ),
    )


class _State(NamedTuple):
    level: jax.Array
    bounds: jax.Array
    picks: jax.Array
    gains: jax.Array
    made: jax.Array


def _chunk(
    kernel: SparseKernel, row: jax.Array, number: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Columns and values of a part of a row, and which of them are the row's."""
    start = kernel.starts[row] + number * _CHUNK
    there = start + jnp.arange(_CHUNK) < kernel.starts[row + 1]
    # Beyond the row's end the slice may be cut short; nothing of it is used then.
    columns = jax.lax.dynamic_slice(kernel.columns, (start,), (_CHUNK,))
    values = jax.lax.dynamic_slice(kernel.values, (start,), (_CHUNK,))
    return columns, values, there


def _num_chunks(kernel: SparseKernel, row: jax.Array) -> jax.Array:
    return -(-(kernel.starts[row + 1] - kernel.starts[row]) // _CHUNK)


def _gain(
    kernel: SparseKernel, level: jax.Array, row: jax.Array, confidence: jax.Array
) -> jax.Array:
    """The gain of one pick; levels and confidence are divided by the temperature."""

    def add(number: jax.Array, total: jax.Array) -> jax.Array:
        columns, values, there = _chunk(kernel, row, number)
        # tanh(a + c) - tanh(a), without the difference: u = exp(-2a), w = exp(-2c).
        u = jnp.exp(-2 * level[columns])
        c = values * confidence
        w = jnp.exp(-2 * c)
        gain = 2 * u * -jnp.expm1(-2 * c) / ((1 + u * w) * (1 + u))
        return total + jnp.sum(jnp.where(there, gain, 0.0))

    return jax.lax.fori_loop(0, _num_chunks(kernel, row), add, jnp.float32(0))


@functools.partial(jax.jit, static_argnames="evaluated")
def _advance(
    kernel: SparseKernel,
    confidence: jax.Array,
    layout: ClassLayout,
    turns: jax.Array,
    state: _State,
    stop: jax.Array,
    *,
    evaluated: int,
) -> _State:
    """Evaluates and picks until `stop` picks are made."""
    size = confidence.shape[0]

    def step(state: _State) -> _State:
        turn = turns[state.made][None]
        best, positions = best_of_classes(state.bounds, layout, turn, evaluated + 1)
        order = jnp.sort(positions[0, :-1])
        rows = examples_at(layout, order, size)
        safe = jnp.minimum(rows, size - 1)
        usable = (rows < size) & (state.bounds[safe] > -jnp.inf)
        fresh = jax.vmap(lambda row: _gain(kernel, state.level, row, confidence[row]))
        gains = jnp.where(usable, fresh(safe), -jnp.inf)
        bounds = state.bounds.at[jnp.where(usable, rows, size)].set(gains, mode="drop")
        place = jnp.argmax(gains)
        gain, row = gains[place], safe[place]
        # The best that was not evaluated is worth at most its old gain.
        first = (gain == best[0, -1]) & (order[place] < positions[0, -1])
        found = (gain > best[0, -1]) | first

        def add(number: jax.Array, level: jax.Array) -> jax.Array:
            columns, values, there = _chunk(kernel, row, number)
            columns = jnp.where(there, columns, size)
            return level.at[columns].add(values * confidence[row], mode="drop")

        chunks = jnp.where(found, _num_chunks(kernel, row), 0)
        level = jax.lax.fori_loop(0, chunks, add, state.level)
        slot = jnp.where(found, state.made, state.picks.shape[0])
        return _State(
            level,
            bounds.at[jnp.where(found, row, size)].set(-jnp.inf, mode="drop"),
            state.picks.at[slot].set(row, mode="drop"),
            state.gains.at[slot].set(gain, mode="drop"),
            state.made + found,
        )

    return jax.lax.while_loop(lambda state: state.made < stop, step, state)


def greedy(
    kernel: SparseKernel,
    confidence: jax.Array,
    budget: int,
    temperature: float,
    phases: Sequence[tuple[ClassLayout, np.ndarray, int]],
    on_progress: Progress | None = None,
) -> Selection:
    """The greedy selection for `sum_i tanh(NN_i / eta)`.

    Args:
      kernel: s_ij, sparse.
      confidence: (N,) float32, non-negative.
      budget: 1 … N.
      temperature: eta > 0.
      phases: (layout, classes of the turns, picks after which the phase ends), the
        last end being the budget. The layout's order decides between equal gains.
      on_progress: called now and then with the picks made and the budget.

    Returns:
      `Selection` with the gains in the objective and its value.
    """
    size = confidence.shape[0]
    confidence = confidence / temperature
    state = _State(
        jnp.zeros(size, jnp.float32),
        jnp.full(size, jnp.inf, jnp.float32),
        jnp.zeros(budget, jnp.int32),
        jnp.zeros(budget, jnp.float32),
        jnp.int32(0),
    )
    made = 0
    for layout, turns, end in phases:
        step = end if on_progress is None else max(1, budget // 100)
        while made < end:
            made = min(made + step, end)
            state = _advance(
                kernel,
                confidence,
                layout,
                jnp.asarray(turns, jnp.int32),
                state,
                jnp.int32(made),
                evaluated=min(_EVALUATED, size),
            )
            if on_progress is not None:
                jax.block_until_ready(state)
                on_progress(made, budget)
    value = float(np.tanh(np.asarray(state.level, np.float64)).sum())
    return selection(state.picks, state.gains, value, size)
