"""Exact k-nearest neighbours, block by block: no N×N array ever exists."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from robustjax import arrays, checks, conditioning

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
# Cosines above it come from the sine.
_SMALL_ANGLE = 0.7
# Squares of this size, of points near 1 in size, may have vanished in float32.
_TINY_SQUARE = 1e-30


class Neighbors(NamedTuple):
    """The k nearest neighbours of every point, nearest first, self excluded.

    Attributes:
      indices: (N, k) int32.
      distances: (N, k) float32, Euclidean, or `1 - cos` for the cosine metric.
    """

    indices: jax.Array
    distances: jax.Array


def largest_columns(values: jax.Array, count: int) -> jax.Array:
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


class _Found(NamedTuple):
    """Candidates of every row, and how near any other point may be.

    Attributes:
      indices: (N, count) int32, nearest first, equal distances by index.
      squares: (N, count) squared distances.
      left_out: (N,) a lower bound of the squared distances to all other points;
        infinite where there are none.
    """

    indices: jax.Array
    squares: jax.Array
    left_out: jax.Array


def _block_search(
    points: jax.Array, rows: jax.Array, count: int, block_rows: int, metric: str
) -> Callable[[jax.Array], _Found]:
    """The search of the candidates of a block of rows, by the first of them."""
    size, width = points.shape
    columns = -(-size // _GROUP) * _GROUP
    padded = jnp.pad(points, ((0, columns - size), (0, 0)))
    half_norm = jnp.sum(padded**2, axis=1) / 2
    half_norm = jnp.where(jnp.arange(columns) < size, half_norm, jnp.inf)
    largest_norm = jnp.sqrt(jnp.max(jnp.sum(padded**2, axis=1)))
    # Of the product, and one more for the points themselves.
    rounding = (_ROUNDING * np.sqrt(width) + 1) * jnp.finfo(jnp.float32).eps

    def block(start: jax.Array) -> _Found:
        place = start + jnp.arange(block_rows)
        safe = jnp.minimum(place, size - 1)
        queries = padded[safe]
        # ||a - b||^2 / 2 = ||a||^2 / 2 - similarity; HIGHEST keeps float32 exact on
        # devices whose default for matrix products is coarser.
        similarity = jnp.matmul(
            queries, padded.T, precision=jax.lax.Precision.HIGHEST
        ) - jnp.expand_dims(half_norm, 0)
        own = jnp.expand_dims(jnp.arange(columns), 0) == place[:, None]
        similarity = jnp.where(own, -jnp.inf, similarity)
        candidates = largest_columns(similarity, count)
        # The expanded square loses digits to cancellation: rank the candidates by
        # the sum of squared differences, ties to the lowest index.
        square = _squares(rows[candidates], rows[safe], metric)
        # No point that was left out is nearer than the last candidate seemed, less
        # what rounding may have added.
        norm = jnp.sqrt(jnp.sum(queries**2, axis=1))
        last = jnp.take_along_axis(similarity, candidates[:, -1:], axis=1)[:, 0]
        left_out = norm**2 - 2 * last - rounding * (norm + largest_norm) ** 2
        if count == size - 1:
            left_out = jnp.full_like(left_out, jnp.inf)
        square, candidates = jax.lax.sort((square, candidates), num_keys=2)
        return _Found(candidates, square, left_out)

    return block


@functools.partial(jax.jit, static_argnames=("k", "block_rows", "metric", "mesh"))
def _candidates(
    points: jax.Array,
    rows: jax.Array,
    *,
    k: int,
    block_rows: int,
    metric: str = "euclidean",
    mesh: Mesh | None = None,
) -> _Found:
    """Candidates by a fast pass over centred points, ranked by the differences of rows.

    Args:
      points: (N, d), centred, near 1 in size; for the cosine centred unit rows.
      rows: (N, d), whose differences count: not centred, which would round them.
      k: neighbours asked for; a few more are found.
      block_rows: rows per block.
      metric: what `rows` are compared by.
      mesh: whose devices share the blocks.
    """
    size = points.shape[0]
    count = min(k + _SPARE, size - 1)

    def search(points: jax.Array, rows: jax.Array, starts: jax.Array) -> _Found:
        block = _block_search(points, rows, count, block_rows, metric)
        found: _Found = jax.lax.map(block, starts)
        return found

    starts = jnp.arange(0, size, block_rows)
    if mesh is None:
        found = search(points, rows, starts)
    else:
        # Blocks beyond the last one are of its last row, and cut off below.
        starts = jnp.pad(starts, (0, -len(starts) % mesh.size), constant_values=size)
        whole, each = PartitionSpec(), PartitionSpec(mesh.axis_names[0])
        found = jax.shard_map(
            search, mesh=mesh, in_specs=(whole, whole, each), out_specs=each
        )(points, rows, starts)
    return _Found(
        found.indices.reshape(-1, count)[:size].astype(jnp.int32),
        found.squares.reshape(-1, count)[:size],
        found.left_out.reshape(-1)[:size],
    )


def _squares(others: jax.Array, queries: jax.Array, metric: str) -> jax.Array:
    """Squared distances (B, c), of unit vectors for the cosine, from differences.

    Args:
      others: (B, c, d).
      queries: (B, d), for the cosine with a largest entry near 1, like `others`.
      metric: "euclidean" or "cosine".
    """
    difference = others - queries[:, None]
    if metric == "euclidean":
        return jnp.sum(difference**2, axis=-1)
    # The sine of a small angle, from the part of the difference across the query:
    # unit vectors would be rounded before they are compared.
    norm = jnp.sum(queries**2, axis=-1)[:, None]
    other_norm = jnp.sum(others**2, axis=-1)
    along = jnp.sum(difference * queries[:, None], axis=-1) / norm
    across = difference - along[..., None] * queries[:, None]
    across = across / jnp.sqrt(other_norm)[..., None]
    sine = jnp.sum(across**2, axis=-1)
    cosine = (1 + along) * jnp.sqrt(norm / other_norm)
    near = 2 * sine / (1 + jnp.sqrt(jnp.maximum(1 - sine, 0.0)))
    return jnp.where(cosine > _SMALL_ANGLE, near, 2 * (1 - jnp.maximum(cosine, -1.0)))


def _ranked_in_double(
    read: conditioning.Reader, rows: np.ndarray, indices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Candidates (n, count) of some rows by their exact distances, and the squares."""
    indices = np.sort(indices, axis=1)
    squares = np.empty(indices.shape)
    width = indices.shape[1] * read.shape[1]
    for here in arrays.blocks(len(indices), width):
        difference = read(indices[here]) - read(rows[here])[:, None]
        squares[here] = np.einsum("bcd,bcd->bc", difference, difference)
    order = np.argsort(squares, axis=1, kind="stable")
    return (
        np.take_along_axis(indices, order, axis=1),
        np.take_along_axis(squares, order, axis=1),
    )


def _in_double(
    read: conditioning.Reader, rows: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours and squares of some rows in float64, where float32 is confused."""
    points = read(slice(None))
    points = points - points.mean(axis=0)
    half_norm = np.sum(points**2, axis=1) / 2
    indices = np.empty((len(rows), k), np.int32)
    squares = np.empty((len(rows), k))
    for start in range(0, len(rows), _DOUBLE_BLOCK_ROWS):
        here = rows[start : start + _DOUBLE_BLOCK_ROWS]
        half = half_norm[None] - points[here] @ points.T
        half[np.arange(len(here)), here] = np.inf
        bound = np.partition(half, k - 1, axis=1)[:, k - 1]
        for i, row in enumerate(here):
            slack = 1e-12 * (half_norm[row] + abs(bound[i]))
            near = np.flatnonzero(half[i] <= bound[i] + slack)
            square = np.sum((read(near) - read(row)) ** 2, axis=1)
            best = np.lexsort((near, square))[:k]
            indices[start + i] = near[best]
            squares[start + i] = square[best]
    return indices, squares


def nearest_neighbors(
    points: Any,
    k: int,
    *,
    metric: str = "euclidean",
    block_rows: int | None = None,
    mesh: Mesh | None = None,
) -> Neighbors:
    """Finds the k nearest neighbours of every point among all others, exactly.

    One blocked matrix product finds a few candidates more than asked for, whose
    distances are then computed from differences; equal distances go to the lowest
    index. Rows whose candidates float32 cannot tell from the rest (tight clusters far
    apart, many copies of a point) are found again in float64, more slowly. An offset
    and a scale are taken out in the precision of the points; what float32 cannot hold
    is ranked in float64. Peak memory is `block_rows × N` numbers beside the points.

    Args:
      points: (N, d) numbers.
      k: 1 … N-1.
      metric: "euclidean" or "cosine".
      block_rows: rows per block; by default about 4 million similarities each.
      mesh: devices that share the rows, one axis of kind Auto; each holds all points.
        By default one device does it.

    Returns:
      `Neighbors`.

    Raises:
      ValueError: k outside its range, a wrong rank, non-finite points, distances that
        float32 cannot hold, an unknown metric, a zero vector under the cosine metric,
        or a mesh of other axes.

    Example:
      >>> import numpy as np
      >>> from robustjax import graph
      >>> graph.nearest_neighbors(np.array([[0.0], [1.0], [5.0]]), 1).indices.tolist()
      [[1], [0], [1]]
    """
    given = arrays.numbers("points", points, 2)
    checks.one_of("metric", metric, METRICS)
    checks.finite("points", given)
    size = len(given)
    if not 1 <= k < size:
        raise ValueError(
            f"k: got {k} for N = {size} points, expected 1 … {size - 1} neighbours "
            "(a point is not its own neighbour)"
        )
    if mesh is not None:
        checks.one_auto_axis("mesh", mesh)
    if block_rows is None:
        block_rows = min(size, max(_MIN_BLOCK_ROWS, _BLOCK_NUMBERS // size), 1024)
    read: conditioning.Reader
    if metric == "cosine":
        zero = np.flatnonzero(~given.any(axis=1))
        if zero.size:
            raise ValueError(
                f"points: row {int(zero[0])} is zero and has no cosine distance"
            )
        # ||a - b||^2 = 2 (1 - cos) for unit vectors.
        read = conditioning.UnitRows(given)
    else:
        read = conditioning.Rows(given)
    indices, squares, left_out = _search(given, read, k, metric, block_rows, mesh)
    doubtful = np.flatnonzero(~(squares[:, -1] < left_out))
    if doubtful.size:
        indices[doubtful], squares[doubtful] = _in_double(read, doubtful, k)
    distances = squares / 2 if metric == "cosine" else np.sqrt(squares)
    return Neighbors(*jax.device_put((indices, distances.astype(np.float32))))


def _search(
    given: np.ndarray,
    read: conditioning.Reader,
    k: int,
    metric: str,
    block_rows: int,
    mesh: Mesh | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The k best on the host, and the bound of all others.

    Returns:
      (N, k) indices, (N, k) float64 squared distances in the points' own unit, and
      (N,) lower bounds of those to points that were not looked at.
    """
    centred = conditioning.centred_of("points", read)
    points, scale = jax.device_put(centred.points), centred.scale
    del centred  # Memory: on most devices the points have been copied.
    wide = arrays.is_wide(given)
    unit, by = 1.0, metric
    if wide:
        # Ranked again below.
        rows, by = points, "euclidean"
    elif metric == "cosine":
        rows = conditioning.scaled_rows("points", given)
    else:
        rows = jax.device_put(np.asarray(given, np.float32))
        if not 2.0**-40 < scale < 2.0**40:
            unit = scale
            rows = rows * jnp.float32(1 / unit)
    if mesh is not None:
        points, rows = jax.device_put(
            (points, rows), NamedSharding(mesh, PartitionSpec())
        )
    found = _candidates(points, rows, k=k, block_rows=block_rows, metric=by, mesh=mesh)
    indices = np.array(np.asarray(found.indices)[:, :k])
    squares = np.array(np.asarray(found.squares)[:, :k], np.float64)
    squares *= unit**2
    left_out = np.asarray(found.left_out, np.float64) * scale**2
    # Beside what float32 cannot hold, what it would take for equal.
    again = np.arange(len(given))
    if not wide:
        again = np.flatnonzero(squares[:, 0] < _TINY_SQUARE * unit**2)
    if again.size:
        all_found = np.asarray(found.indices)[again]
        ranked, exact = _ranked_in_double(read, again, all_found)
        indices[again], squares[again] = ranked[:, :k], exact[:, :k]
    return indices, squares, left_out


def mean_pairwise_distance(
    points: Any, *, max_points: int = 4096, seed: int = 0
) -> float:
    """Mean Euclidean distance between distinct points.

    Exact up to `max_points` points; beyond that, of a random subset of that many,
    whose error is far below a percent.

    Args:
      points: (N, d) finite numbers, N >= 2.
      max_points: the largest subset.
      seed: of the subset.

    Raises:
      ValueError: fewer than two points, NaN or infinity, another rank, or distances
        that float32 cannot hold.
    """
    given = arrays.numbers("points", points, 2)
    checks.finite("points", given)
    size = len(given)
    checks.at_least("number of points", size, 2)
    checks.at_least("max_points", max_points, 2)
    if size > max_points:
        rows = np.random.default_rng(seed).choice(size, max_points, replace=False)
        given = given[np.sort(rows)]
    centred = conditioning.centred("points", given)
    return float(_mean_distance(jax.device_put(centred.points))) * centred.scale


@jax.jit
def _mean_distance(points: jax.Array) -> jax.Array:
    """Of centred points."""
    size = points.shape[0]
    norm = jnp.sum(points**2, axis=1)
    product = jnp.matmul(points, points.T, precision=jax.lax.Precision.HIGHEST)
    square = norm[:, None] + norm[None] - 2 * product
    # The diagonal is zero up to cancellation; leave it out for good.
    square = jnp.where(jnp.eye(size, dtype=bool), 0.0, jnp.maximum(square, 0.0))
    return jnp.sum(jnp.mean(jnp.sqrt(square), axis=1)) / (size - 1)
