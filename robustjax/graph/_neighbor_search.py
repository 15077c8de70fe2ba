"""The fast pass of the search for neighbours: candidates, and what they may miss.

Points lie on the devices, all of them or a part at a time; each device finds candidates
among its own for every row that is asked for, and the candidates of all parts are then
put together.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from robustjax.placement import Placement
from robustjax.storage import products, squares, widened

# Columns per group in the two-level search for the largest similarities.
_GROUP = 64
# The error of a float32 product of d terms, in units of eps sqrt(d): sums of random
# signs stay well below this.
_ROUNDING = 4.0
# Float32 sums of squared differences are right to a few 1e-7.
_DIFFERENCE_ROUNDING = 1e-5
# Cosines above it come from the sine.
_SMALL_ANGLE = 0.7


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


class Found(NamedTuple):
    """Candidates of every row, and how near any other point may be.

    Attributes:
      indices: (M, count) int32, nearest first, equal distances by index; -1 where
        there are no more.
      squares: (M, count) squared distances, infinite there.
      left_out: (M,) a lower bound of the squared distances to all other points, in
        the unit of the centred points; infinite where there are none.
      slack: (M,) what rounding may have added to such a square.
    """

    indices: jax.Array | np.ndarray
    squares: jax.Array | np.ndarray
    left_out: jax.Array | np.ndarray
    slack: jax.Array | np.ndarray


class Part(NamedTuple):
    """Points among which is searched, divided among devices.

    Attributes:
      points: (S, d), centred, near 1 in size; for the cosine centred unit rows. As
        `storage.kept` makes them.
      compared: (S, d), whose differences count: not centred, which would round them,
        but for narrow ones, which are rounded already.
      first: () int32, the number of the first of them.
      size: () int32, how many of them there are without what fills up.
    """

    points: jax.Array
    compared: jax.Array
    first: jax.Array
    size: jax.Array


class Asked(NamedTuple):
    """Rows whose neighbours are asked for.

    Attributes:
      points: (M, d), like those of `Part`.
      compared: (M, d), likewise.
      own: (M,) int32, their own numbers.
    """

    points: jax.Array
    compared: jax.Array
    own: jax.Array


def _block_search(
    part: Part, count: int, metric: str
) -> Callable[[Asked], tuple[jax.Array, ...]]:
    """The search for a block of rows (B): the fields of `Found`."""
    points, compared, first, valid = part
    size, width = points.shape
    # Here, and not of every block's similarities, which would be written once more.
    points = jnp.pad(points, ((0, -size % _GROUP), (0, 0)))
    there = jnp.arange(len(points)) < valid
    norm2 = jnp.where(there, squares(points), 0.0)
    half_norm = jnp.where(there, norm2 / 2, jnp.inf)
    largest_norm = jnp.sqrt(jnp.max(norm2))
    # Of the product, and one more for the points themselves.
    rounding = (_ROUNDING * np.sqrt(width) + 1) * jnp.finfo(jnp.float32).eps

    def block(asked: Asked) -> tuple[jax.Array, ...]:
        # ||a - b||^2 / 2 = ||a||^2 / 2 - similarity; HIGHEST keeps float32 exact on
        # devices whose default for matrix products is coarser.
        similarity = products(asked.points, points) - jnp.expand_dims(half_norm, 0)
        place = asked.own - first
        own = jnp.expand_dims(jnp.arange(len(points)), 0) == place[:, None]
        similarity = jnp.where(own, -jnp.inf, similarity)
        columns = largest_columns(similarity, count)
        seemed = jnp.take_along_axis(similarity, columns, axis=1)
        # The expanded square loses digits to cancellation: rank the candidates by
        # the sum of squared differences, ties to the lowest index.
        columns = jnp.minimum(columns, size - 1)
        near = widened(compared[columns])
        square = _squares(near, widened(asked.compared), metric)
        gone = jnp.isneginf(seemed)
        square = jnp.where(gone, jnp.inf, square)
        indices = jnp.where(gone, -1, columns + first)
        # No point that was left out is nearer than the last candidate seemed, less
        # what rounding may have added.
        norm = jnp.sqrt(squares(asked.points))
        slack = rounding * (norm + largest_norm) ** 2
        others = valid - ((place >= 0) & (place < valid))
        left_out = norm**2 - 2 * seemed[:, -1] - slack
        left_out = jnp.where(count >= others, jnp.inf, left_out)
        square, indices = jax.lax.sort((square, indices), num_keys=2)
        return indices, square, left_out, slack

    return block


@functools.partial(jax.jit, static_argnames=("place", "count", "block_rows", "metric"))
def search(
    part: Part,
    asked: Asked,
    ratio: jax.Array,
    *,
    place: Placement,
    count: int,
    block_rows: int,
    metric: str,
) -> Found:
    """Candidates by a fast pass over centred points, ranked by differences.

    Args:
      part: of the points.
      asked: whose neighbours are asked for, M a multiple of `block_rows`.
      ratio: () float32, see `merged`.
      place: where the points lie.
      count: candidates that are kept.
      block_rows: rows of a block.
      metric: what is compared by, "euclidean" or "cosine".
    """

    def of_device(part: Part, asked: Asked) -> Found:
        size = part.points.shape[0]
        if place.mesh is not None:
            before = jax.lax.axis_index(place.mesh.axis_names[0]) * size
            here = jnp.clip(part.size - before, 0, size)
            part = part._replace(first=part.first + before, size=here)
        block = _block_search(part, min(count, size), metric)
        blocks = jax.tree.map(lambda x: x.reshape(-1, block_rows, *x.shape[1:]), asked)
        found = jax.lax.map(block, blocks)
        return Found(*(x.reshape(1, -1, *x.shape[2:]) for x in found))

    if place.mesh is None:
        return jax.tree.map(lambda x: x[0], of_device(part, asked))
    axis: Any
    whole: Any
    axis, whole = place.axis, PartitionSpec()
    each = jax.shard_map(
        of_device,
        mesh=place.mesh,
        in_specs=(Part(axis, axis, whole, whole), whole),
        out_specs=axis,
    )(part, asked)
    return _merged(each, ratio, count)


@functools.partial(jax.jit, static_argnames="count")
def merged(one: Found, other: Found, ratio: jax.Array, *, count: int) -> Found:
    """The candidates of two parts of the points.

    Args:
      one: of one part, (M, c).
      other: of the other part.
      ratio: () float32, by which squared distances become those of centred points.
      count: candidates that are kept.
    """
    # Of a small part there are fewer.
    width = max(one.indices.shape[1], other.indices.shape[1])

    def wide(found: Found) -> Found:
        fill = ((0, 0), (0, width - found.indices.shape[1]))
        return found._replace(
            indices=jnp.pad(found.indices, fill, constant_values=-1),
            squares=jnp.pad(found.squares, fill, constant_values=jnp.inf),
        )

    both = jax.tree.map(lambda *x: jnp.stack(x), wide(one), wide(other))
    return _merged(both, ratio, count)


def _merged(each: Found, ratio: jax.Array, count: int) -> Found:
    """Of D parts: leaves (D, M, ...)."""

    def side_by_side(x: Any) -> jax.Array:
        return jnp.moveaxis(x, 0, 1).reshape(x.shape[1], -1)

    squares, indices = jax.lax.sort(
        (side_by_side(each.squares), side_by_side(each.indices)), num_keys=2
    )
    slack = jnp.max(each.slack, axis=0)
    left_out = jnp.min(each.left_out, axis=0)
    if squares.shape[1] > count:
        dropped = squares[:, count] * ratio
        dropped = dropped - _DIFFERENCE_ROUNDING * dropped - slack
        dropped = jnp.where(jnp.isinf(squares[:, count]), jnp.inf, dropped)
        left_out = jnp.minimum(left_out, dropped)
    return Found(indices[:, :count], squares[:, :count], left_out, slack)


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
