"""Which examples can be near to any of a few, without all of their products.

Unit vectors u, v split into their parts in a subspace and the rest of length r bound

    cos(u, v) <= <Pu, Pv> + r_u r_v

(Cauchy and Schwarz). With the subspace that holds most of the features, a product of at
most 64 numbers in place of hundreds excludes nearly all pairs below a high threshold.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import linalg

from robustjax.selection._row_blocks import by_blocks

WIDTH = 64
"""Numbers per example at most, the length of the rest among them."""

_WIDTHS = (16, 32, 48, WIDTH)
# Examples from which the subspace is found, and on which its use is judged.
_SAMPLE = 4_096
# Examples that play the picks of one round on it.
_TRIED = 64
# An example that cannot be excluded is gathered for its product, which takes longer.
_GATHERED = 3
# Above this share of examples that cannot be excluded, products of all are faster.
_WORTH = 0.25
# Float32 dot products of unit vectors are right to a few 1e-7; and 1 - |Pu|^2, too.
_ROUNDING = 4e-6
# Examples whose bounds are in a CPU's cache together, and those counted together.
_BLOCK, _GROUP = 4_096, 64


class Reach(NamedTuple):
    """Which of N examples may be near to any of some others.

    Attributes:
      near: (G, 64) bool, in groups of 64 in order.
      ends: (G,) int32, how many there are in all groups up to each.
    """

    near: jax.Array
    ends: jax.Array


def within_reach(
    coarse: jax.Array, picked: jax.Array, threshold: jax.Array | float
) -> Reach:
    """Examples whose cosine with any of some others may be above a threshold.

    Args:
      coarse: (N, w) float32 of all, see `coarse_rows`.
      picked: (p, w) of the others.
      threshold: () float32, a cosine.
    """
    size = coarse.shape[0]

    def of_some(_: jax.Array, some: jax.Array) -> jax.Array:
        bound = jnp.matmul(some, picked.T, precision=jax.lax.Precision.HIGHEST)
        return jnp.max(bound, axis=1) > threshold - _ROUNDING

    near = by_blocks(of_some, jnp.zeros(size, bool), coarse, _BLOCK)
    near = jnp.pad(near, (0, -size % _GROUP)).reshape(-1, _GROUP)
    return Reach(near, jnp.cumsum(jnp.sum(near, axis=1, dtype=jnp.int32)))


def members(reach: Reach, start: jax.Array | int, count: int, size: int) -> jax.Array:
    """Some of the examples within reach, without a list of all of them.

    Args:
      reach: of `size` examples.
      start: () int32, how many of them, in ascending order, come before.
      count: how many are wanted, static.
      size: N.

    Returns:
      (count,) int32 ascending, N where there are no more.
    """
    rank = start + jnp.arange(count)
    group = jnp.searchsorted(reach.ends, rank, side="right")
    there = group < reach.ends.shape[0]
    group = jnp.minimum(group, reach.ends.shape[0] - 1)
    before = jnp.where(group > 0, reach.ends[group - 1], 0)
    up_to = jnp.cumsum(reach.near[group], axis=1)
    column = jnp.sum(up_to <= (rank - before)[:, None], axis=1)
    return jnp.where(there, group * _GROUP + column, size).astype(jnp.int32)


@jax.jit
def _projected(points: jax.Array, inverse: jax.Array, basis: jax.Array) -> jax.Array:
    coarse = jnp.matmul(points, basis, precision=jax.lax.Precision.HIGHEST)
    coarse = coarse * inverse[:, None]
    rest = jnp.maximum(1 - jnp.sum(coarse**2, axis=1), 0.0) + _ROUNDING
    return jnp.concatenate([coarse, jnp.sqrt(rest)[:, None]], axis=1)


def _share_within_reach(inside: np.ndarray, threshold: float) -> float:
    """Of examples (n) with parts (n, w - 1) in a subspace, for picks among them."""
    rest = np.maximum(1 - np.sum(inside**2, axis=1), 0) + np.float32(_ROUNDING)
    coarse = np.concatenate([inside, np.sqrt(rest)[:, None]], axis=1)
    tried = coarse[:: max(1, len(coarse) // _TRIED)]
    near = np.max(coarse @ tried.T, axis=1) > threshold - _ROUNDING
    return float(np.mean(near))


def coarse_rows(
    points: jax.Array, inverse: jax.Array, threshold: float
) -> jax.Array | None:
    """The projections of all examples, or None where they would not pay.

    Args:
      points: (N, d) float32.
      inverse: (N,) one over their norms.
      threshold: the cosine above which pairs are looked for.

    Returns:
      (N, w) float32, w up to `WIDTH`: of every unit vector its part in the subspace of
      the largest second moments, and the length of the rest. Of a few widths the one
      that a sample says is fastest.
    """
    size, dimensions = points.shape
    if dimensions < 2 * WIDTH or size <= _SAMPLE:
        return None
    step = size // _SAMPLE
    sample, others = (
        np.asarray(points)[start::step] * np.asarray(inverse)[start::step, None]
        for start in (0, step // 2)
    )
    # The subspace need not be exact, but its basis orthonormal.
    moments = np.asarray(sample.T @ sample, np.float64)
    largest = (dimensions - (WIDTH - 1), dimensions - 1)
    _, vectors = linalg.eigh(moments, subset_by_index=largest)
    basis = np.asarray(vectors[:, ::-1], np.float32)
    # Of what the subspace is found from it holds more than of the rest.
    inside = others @ basis
    shares = [_share_within_reach(inside[:, : w - 1], threshold) for w in _WIDTHS]
    costs = [w + _GATHERED * dimensions * s for w, s in zip(_WIDTHS, shares)]
    best = int(np.argmin(costs))
    if shares[best] > _WORTH:
        return None
    return _projected(points, inverse, jnp.asarray(basis[:, : _WIDTHS[best] - 1]))
