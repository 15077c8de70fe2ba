"""Exact k-nearest neighbours, block by block: no N×N array ever exists."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks

METRICS = ("euclidean", "cosine")

# Candidates kept beyond k from the fast pass, for the exact one to choose among.
_SPARE = 6
# Columns per group in the two-level search for the largest similarities.
_GROUP = 64
# Similarities held at once, in numbers; small enough to stay in a CPU's cache. A
# matrix product of fewer rows than the minimum would waste the cores.
_BLOCK_NUMBERS = 4_000_000
_MIN_BLOCK_ROWS = 32
# The error of a float32 product of d terms, in units of eps sqrt(d): sums of random
# signs stay well below this.
_ROUNDING = 4.0
_DOUBLE_BLOCK_ROWS = 64


class Neighbors(NamedTuple):
    """The k nearest neighbours of every point, nearest first, self excluded.

    Attributes:
      indices: (N, k) int32.
      distances: (N, k) float32, Euclidean, or `1 - cos` for the cosine metric.
    """

    indices: jax.Array
    distances: jax.Array


def _largest(values: jax.Array, count: int) -> jax.Array:
    """Columns of the `count` largest values of each row, ties to the lowest column.

    The top columns lie in the top groups of columns, ranked by their best member;
    finding those first replaces one long partial sort by two short ones.
    """
    rows, columns = values.shape
    groups = columns // _GROUP
    if groups <= count:
        return jax.lax.top_k(values, count)[1]
    grouped = values.reshape(rows, groups, _GROUP)
    best = jax.lax.top_k(jnp.max(grouped, axis=-1), count)[1]
    # In ascending order, so that equal values keep their order among columns.
    best = jnp.sort(best, axis=-1)
    members = jnp.take_along_axis(grouped, best[..., None], axis=1)
    place = jax.lax.top_k(members.reshape(rows, count * _GROUP), count)[1]
    group = jnp.take_along_axis(best, place // _GROUP, axis=1)
    return group * _GROUP + place % _GROUP


@functools.partial(jax.jit, static_argnames=("k", "block_rows"))
def _euclidean(
    points: jax.Array, *, k: int, block_rows: int
) -> tuple[Neighbors, jax.Array]:
    """Neighbours of centred points, and whether each row of them is certain."""
    size, width = points.shape
    columns = -(-size // _GROUP) * _GROUP
    padded = jnp.pad(points, ((0, columns - size), (0, 0)))
    half_norm = jnp.sum(padded**2, axis=1) / 2
    half_norm = jnp.where(jnp.arange(columns) < size, half_norm, jnp.inf)
    count = min(k + _SPARE, size - 1)
    largest_norm = jnp.sqrt(jnp.max(jnp.sum(padded**2, axis=1)))
    rounding = _ROUNDING * np.sqrt(width) * jnp.finfo(jnp.float32).eps

    def block(start: jax.Array) -> tuple[Neighbors, jax.Array]:
        rows = start + jnp.arange(block_rows)
        queries = padded[jnp.minimum(rows, size - 1)]
        # ||a - b||^2 / 2 = ||a||^2 / 2 - similarity; HIGHEST keeps float32 exact on
        # devices whose default for matrix products is coarser.
        similarity = jnp.matmul(
            queries, padded.T, precision=jax.lax.Precision.HIGHEST
        ) - jnp.expand_dims(half_norm, 0)
        own = jnp.expand_dims(jnp.arange(columns), 0) == rows[:, None]
        similarity = jnp.where(own, -jnp.inf, similarity)
        candidates = _largest(similarity, count)
        # The expanded square loses digits to cancellation: rank the candidates by
        # the sum of squared differences, ties to the lowest index.
        difference = padded[candidates] - queries[:, None]
        square = jnp.sum(difference**2, axis=-1)
        # No point that was left out is nearer than the last candidate seemed, less
        # what rounding may have added.
        norm = jnp.sqrt(jnp.sum(queries**2, axis=1))
        last = jnp.take_along_axis(similarity, candidates[:, -1:], axis=1)[:, 0]
        nearest_left_out = norm**2 - 2 * last - rounding * (norm + largest_norm) ** 2
        square, candidates = jax.lax.sort((square, candidates), num_keys=2)
        certain = (square[:, k - 1] < nearest_left_out) | (count == size - 1)
        return Neighbors(candidates[:, :k], jnp.sqrt(square[:, :k])), certain

    starts = jnp.arange(0, size, block_rows)
    found, certain = jax.lax.map(block, starts)
    neighbors = Neighbors(
        found.indices.reshape(-1, k)[:size].astype(jnp.int32),
        found.distances.reshape(-1, k)[:size],
    )
    return neighbors, certain.reshape(-1)[:size]


def _in_double(points: np.ndarray, rows: np.ndarray, k: int) -> Neighbors:
    """The neighbours of some rows in float64, for points that float32 confuses."""
    points = points.astype(np.float64)
    half_norm = np.sum(points**2, axis=1) / 2
    indices = np.empty((len(rows), k), np.int32)
    distances = np.empty((len(rows), k), np.float32)
    for start in range(0, len(rows), _DOUBLE_BLOCK_ROWS):
        here = rows[start : start + _DOUBLE_BLOCK_ROWS]
        half = half_norm[None] - points[here] @ points.T
        half[np.arange(len(here)), here] = np.inf
        bound = np.partition(half, k - 1, axis=1)[:, k - 1]
        for i, row in enumerate(here):
            slack = 1e-12 * (half_norm[row] + abs(bound[i]))
            near = np.flatnonzero(half[i] <= bound[i] + slack)
            square = np.sum((points[near] - points[row]) ** 2, axis=1)
            best = np.lexsort((near, square))[:k]
            indices[start + i] = near[best]
            distances[start + i] = np.sqrt(square[best])
    return Neighbors(jnp.asarray(indices), jnp.asarray(distances))


def nearest_neighbors(
    points: np.ndarray | jax.Array,
    k: int,
    *,
    metric: str = "euclidean",
    block_rows: int | None = None,
) -> Neighbors:
    """Finds the k nearest neighbours of every point among all others, exactly.

    One blocked matrix product finds a few candidates more than asked for, whose
    distances are then computed from differences; equal distances go to the lowest
    index. Rows whose candidates float32 cannot tell from the rest (tight clusters far
    apart, many copies of a point) are found again in float64, more slowly. Peak
    memory is `block_rows × N` numbers beside the points.

    Args:
      points: (N, d) floats.
      k: 1 … N-1.
      metric: "euclidean" or "cosine".
      block_rows: rows per block; by default about 4 million similarities each.

    Returns:
      `Neighbors`.

    Raises:
      ValueError: k outside its range, a wrong rank, non-finite points, an unknown
        metric, or a zero vector under the cosine metric.
    """
    checks.rank("points", points, 2)
    checks.one_of("metric", metric, METRICS)
    checks.finite("points", points)
    size = points.shape[0]
    if not 1 <= k < size:
        raise ValueError(
            f"k: got {k} for N = {size} points, expected 1 … {size - 1} neighbours "
            "(a point is not its own neighbour)"
        )
    points = jnp.asarray(points, jnp.float32)
    if metric == "cosine":
        norm = jnp.linalg.norm(points, axis=1, keepdims=True)
        if not bool(jnp.all(norm > 0)):
            row = int(jnp.argmin(norm))
            raise ValueError(f"points: row {row} is zero and has no cosine distance")
        points = points / norm
    else:
        # Distances do not change; cancellation in the fast pass does.
        points = points - jnp.mean(points, axis=0, keepdims=True)
    if block_rows is None:
        block_rows = min(size, max(_MIN_BLOCK_ROWS, _BLOCK_NUMBERS // size), 1024)
    found, certain = _euclidean(points, k=k, block_rows=block_rows)
    doubtful = np.flatnonzero(~np.asarray(certain))
    if doubtful.size:
        again = _in_double(np.asarray(points), doubtful, k)
        found = Neighbors(
            found.indices.at[doubtful].set(again.indices),
            found.distances.at[doubtful].set(again.distances),
        )
    if metric == "cosine":
        # ||a - b||^2 = 2 (1 - cos) for unit vectors.
        return found._replace(distances=found.distances**2 / 2)
    return found


def mean_pairwise_distance(
    points: np.ndarray | jax.Array, *, max_points: int = 4096, seed: int = 0
) -> float:
    """Mean Euclidean distance between distinct points.

    Exact up to `max_points` points; beyond that, of a random subset of that many,
    whose error is far below a percent.

    Args:
      points: (N, d) floats, N >= 2.
      max_points: the largest subset.
      seed: of the subset.

    Raises:
      ValueError: fewer than two points.
    """
    checks.rank("points", points, 2)
    size = points.shape[0]
    checks.at_least("number of points", size, 2)
    if size > max_points:
        rows = np.random.default_rng(seed).choice(size, max_points, replace=False)
        points = points[np.sort(rows)]
    return float(_mean_distance(jnp.asarray(points, jnp.float32)))


@jax.jit
def _mean_distance(points: jax.Array) -> jax.Array:
    size = points.shape[0]
    centred = points - jnp.mean(points, axis=0, keepdims=True)
    norm = jnp.sum(centred**2, axis=1)
    product = jnp.matmul(centred, centred.T, precision=jax.lax.Precision.HIGHEST)
    square = norm[:, None] + norm[None] - 2 * product
    # The diagonal is zero up to cancellation; leave it out for good.
    square = jnp.where(jnp.eye(size, dtype=bool), 0.0, jnp.maximum(square, 0.0))
    return jnp.sum(jnp.mean(jnp.sqrt(square), axis=1)) / (size - 1)
