"""Exact k-nearest neighbours, block by block: no N×N array ever exists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from robustjax import arrays, checks, conditioning
from robustjax import storage as stored
from robustjax.graph._neighbor_search import Found, merged, search
from robustjax.graph._neighbor_views import NarrowViews, Views
from robustjax.placement import Placement, on_host, per_example
from robustjax.row_source import RowSource, check_source
from robustjax.sharded_rows import ShardedRows, placed

METRICS = ("euclidean", "cosine")

# Candidates kept beyond k from the fast pass, for the exact one to choose among.
_SPARE = 6
# Similarities held at once, in numbers; small enough to stay in a CPU's cache. A
# matrix product of fewer rows than the minimum would waste the cores.
_BLOCK_NUMBERS = 4_000_000
_MIN_BLOCK_ROWS = 32
# Rows that are asked for together.
_ASKED = 8_192
_DOUBLE_BLOCK_ROWS, _DOUBLE_NUMBERS = 64, 2**23
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


def nearest_neighbors(
    points: Any,
    k: int,
    *,
    rows: Any = None,
    metric: str = "euclidean",
    block_rows: int | None = None,
    storage: Any = jnp.float32,
    mesh: Mesh | None = None,
) -> Neighbors:
    """Finds the k nearest neighbours of every point among all others, exactly.

    One blocked matrix product finds a few candidates more than asked for, whose
    distances are then computed from differences; equal distances go to the lowest
    index. Rows whose candidates float32 cannot tell from the rest (tight clusters far
    apart, many copies of a point) are found again in float64, more slowly. An offset
    and a scale are taken out in the precision of the points; what float32 cannot hold
    is ranked in float64. Peak memory is `block_rows × N` numbers beside the points.

    Of a file the points are read in blocks, twice and once more for every row that has
    to be found again; memory then holds a block and what was found.

    Points of a JAX array that devices hold in parts of rows stay there: of these the
    host sees, a block at a time, what has to be found again.

    In a narrow storage neighbours and distances are those of the centred rows (for the
    cosine centred unit rows), rounded: with norms `|a|`, `|b|` of these a Euclidean
    distance is off by at most `u (|a| + |b|)`, u = 2⁻⁸ for bfloat16 and 2⁻¹¹ for
    float16 (there beside 2⁻²³ √d of the largest entry, below which its numbers are
    coarser), and the cosine one is half the square of such a distance. A neighbour may
    be missed for one that is farther by no more than twice that.

    Args:
      points: (N, d) numbers, rows of a file (`data.open_rows`), or a JAX array that
        devices hold in parts of rows; where several processes have these, all call.
      k: 1 … N-1.
      rows: (M,) numbers of the points whose neighbours are asked for; by default all.
      metric: "euclidean" or "cosine".
      block_rows: rows per block; by default about 4 million similarities each.
      storage: float32, bfloat16 or float16, in which devices keep the points; products
        are summed in float32. Of float32 points they keep two copies, and of the latter
        two one of half the size: a quarter of the memory.
      mesh: devices among which the points are divided, one axis of kind Auto; each
        finds candidates among its own. By default the devices that hold the points,
        or one that has all.

    Returns:
      `Neighbors`, of M rows.

    Raises:
      ValueError: k outside its range, a wrong rank, non-finite points, distances that
        float32 cannot hold, an unknown metric, a zero vector under the cosine metric,
        rows out of range, another storage, or a narrow one of points in a file, a
        mesh of other axes, or of other devices than hold the points; points that
        processes divide otherwise than by rows.

    Example:
      >>> import numpy as np
      >>> from robustjax import graph
      >>> graph.nearest_neighbors(np.array([[0.0], [1.0], [5.0]]), 1).indices.tolist()
      [[1], [0], [1]]
    """
    checks.one_of("metric", metric, METRICS)
    place, points = placed("points", points, mesh)
    in_file = isinstance(points, RowSource) and not isinstance(points, ShardedRows)
    kind = stored.check_storage("storage", storage, in_file=in_file)
    given: np.ndarray | RowSource
    if isinstance(points, RowSource):
        given = check_source("points", points, nonzero=metric == "cosine")
    else:
        given = arrays.numbers("points", points, 2)
        checks.finite("points", given)
    size = len(given)
    if not 1 <= k < size:
        raise ValueError(
            f"k: got {k} for N = {size} points, expected 1 … {size - 1} neighbours "
            "(a point is not its own neighbour)"
        )
    asked = np.arange(size)
    if rows is not None:
        asked = checks.labels("rows", per_example(rows), size)
    if metric == "cosine" and isinstance(given, np.ndarray):
        zero = np.flatnonzero(~given.any(axis=1))
        if zero.size:
            raise ValueError(
                f"points: row {int(zero[0])} is zero and has no cosine distance"
            )
    narrow = kind != "float32"
    views = NarrowViews(given, metric, kind) if narrow else Views(given, metric)
    indices, squares, left_out = _search(views, asked, k, block_rows, place)
    doubtful = np.flatnonzero(~(squares[:, -1] < left_out))
    if doubtful.size:
        found = _in_double(views.read, asked[doubtful], k)
        indices[doubtful], squares[doubtful] = found
    distances = squares / 2 if metric == "cosine" else np.sqrt(squares)
    return Neighbors(*jax.device_put((indices, distances.astype(np.float32))))


def _search(
    views: Views, asked: np.ndarray, k: int, block_rows: int | None, place: Placement
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The k best on the host, and the bound of all others.

    Returns:
      (M, k) indices, (M, k) float64 squared distances in the points' own unit, and
      (M,) lower bounds of those to points that were not looked at.
    """
    size, number = views.shape[0], len(asked)
    count = min(k + _SPARE, size - 1)
    ratio = place.whole(views.ratio)
    found: list[Found] = []
    for part in views.parts(place):
        # The first part is the largest; rows asked for are grouped alike for all.
        if block_rows is None:
            held = part.points.shape[0] // place.devices
            block_rows = max(_MIN_BLOCK_ROWS, _BLOCK_NUMBERS // max(1, held))
            block_rows = min(number, block_rows, 1024)
        runs = -(-number // _ASKED)
        together = -(-number // (runs * block_rows)) * block_rows
        for run, start in enumerate(range(0, number, together)):
            own = asked[start : start + together]
            own = np.pad(own, (0, together - len(own)), mode="edge").astype(np.int32)
            here = _from_devices(
                search(
                    part,
                    views.asked(own, place),
                    ratio,
                    place=place,
                    count=count,
                    block_rows=block_rows,
                    metric=views.by,
                )
            )
            if run == len(found):
                found.append(here)
            else:
                found[run] = _from_devices(
                    merged(found[run], here, views.ratio, count=count)
                )
    return _ranked(views, asked, k, found)


def _from_devices(found: Found) -> Found:
    """With NumPy's arrays."""
    return Found(*(on_host(each) for each in found))


def _ranked(
    views: Views, asked: np.ndarray, k: int, found: list[Found]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See `_search`."""
    number = len(asked)
    candidates = np.concatenate([each.indices for each in found])[:number]
    squares = np.concatenate([each.squares for each in found])[:number]
    left_out = np.concatenate([each.left_out for each in found])[:number]
    indices = np.array(candidates[:, :k])
    squares = np.array(squares[:, :k], np.float64) * views.unit**2
    # Beside what float32 cannot hold, what it would take for equal.
    again = np.arange(number)
    if not views.wide:
        again = np.flatnonzero(squares[:, 0] < _TINY_SQUARE * views.unit**2)
    if again.size:
        ranked, exact = _ranked_in_double(views.read, asked[again], candidates[again])
        indices[again], squares[again] = ranked[:, :k], exact[:, :k]
    return indices, squares, left_out.astype(np.float64) * views.scale**2


def _ranked_in_double(
    read: conditioning.Reader, rows: np.ndarray, indices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Candidates (n, count) of some rows by their exact distances, and the squares."""
    indices = np.sort(indices, axis=1)
    squares = np.empty(indices.shape)
    width = indices.shape[1] * read.shape[1]
    for here in arrays.blocks(len(indices), width):
        safe = np.maximum(indices[here], 0)
        difference = read(safe) - read(rows[here])[:, None]
        squares[here] = np.einsum("bcd,bcd->bc", difference, difference)
    squares[indices < 0] = np.inf
    order = np.argsort(squares, axis=1, kind="stable")
    return (
        np.take_along_axis(indices, order, axis=1),
        np.take_along_axis(squares, order, axis=1),
    )


def _in_double(
    read: conditioning.Reader, rows: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours and squares of some rows in float64, where float32 is confused."""
    size, width = read.shape
    mean = sum(read(here).sum(axis=0) for here in arrays.blocks(size, width)) / size
    indices = np.full((len(rows), k), -1, np.int32)
    squares = np.full((len(rows), k), np.inf)
    # Rows of a file are read in the order of what is asked for once, and not per block.
    own = np.concatenate([read(rows[b]) for b in arrays.blocks(len(rows), width)])
    for here in _double_blocks(size, width):
        block = read(here)
        points = block - mean
        half_norm = np.sum(points**2, axis=1) / 2
        for start in range(0, len(rows), _DOUBLE_BLOCK_ROWS):
            some = slice(start, start + _DOUBLE_BLOCK_ROWS)
            half = half_norm[None] - (own[some] - mean) @ points.T
            place = rows[some] - here.start
            inside = np.flatnonzero((place >= 0) & (place < len(block)))
            half[inside, place[inside]] = np.inf
            least = min(k, len(block)) - 1
            bound = np.partition(half, least, axis=1)[:, least]
            for i in range(len(half)):
                at = start + i
                norm = np.sum((own[at] - mean) ** 2) / 2
                slack = 1e-12 * (norm + abs(bound[i]))
                near = np.flatnonzero(half[i] <= bound[i] + slack)
                near = near[np.isfinite(half[i][near])]
                square = np.sum((block[near] - own[at]) ** 2, axis=1)
                every = np.concatenate([squares[at], square])
                names = np.concatenate([indices[at], near + here.start])
                best = np.lexsort((names, every))[:k]
                squares[at], indices[at] = every[best], names[best]
    return indices, squares


def _double_blocks(size: int, width: int) -> Iterator[slice]:
    """Runs of points that are looked at together in float64, up to 64 MiB."""
    step = max(1, _DOUBLE_NUMBERS // width)
    for start in range(0, size, step):
        yield slice(start, min(start + step, size))


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
