"""Which examples can be near to any of a few, without all of their products.

Unit vectors u, v split into their parts in a subspace and the rest of length r bound

    cos(u, v) <= <Pu, Pv> + r_u r_v

(Cauchy and Schwarz). With the subspace that holds most of the features, a product of 64
numbers in place of hundreds excludes nearly all pairs below a high threshold.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from scipy import linalg

# Numbers per example, the length of the rest among them.
WIDTH = 64
# Examples from which the subspace is found, and on which its use is judged.
_SAMPLE = 4_096
# Examples that play the picks of one round on it.
_TRIED = 64
# Above this share of examples that cannot be excluded, products of all are faster.
_WORTH = 0.25
# Float32 dot products of unit vectors are right to a few 1e-7; and 1 - |Pu|^2, too.
_ROUNDING = 4e-6


@jax.jit
def _projected(points: jax.Array, inverse: jax.Array, basis: jax.Array) -> jax.Array:
    coarse = jnp.matmul(points, basis, precision=jax.lax.Precision.HIGHEST)
    coarse = coarse * inverse[:, None]
    rest = jnp.maximum(1 - jnp.sum(coarse**2, axis=1), 0.0) + _ROUNDING
    return jnp.concatenate([coarse, jnp.sqrt(rest)[:, None]], axis=1)


@functools.partial(jax.jit, static_argnames="width")
def within_reach(
    coarse: jax.Array, picked: jax.Array, threshold: jax.Array, width: int
) -> tuple[jax.Array, jax.Array]:
    """Examples whose cosine with any of some others may be above a threshold.

    Args:
      coarse: (N, `WIDTH`) of all, see `coarse_rows`.
      picked: (p, `WIDTH`) of the others.
      threshold: () float32, a cosine.
      width: a multiple to which the indices are padded.

    Returns:
      (M,) int32 ascending, M a multiple of `width`, N where there are no more; and how
      many there are.
    """
    size = coarse.shape[0]
    bound = jnp.matmul(coarse, picked.T, precision=jax.lax.Precision.HIGHEST)
    near = jnp.max(bound, axis=1) > threshold - _ROUNDING
    (rows,) = jnp.nonzero(near, size=-(-size // width) * width, fill_value=size)
    return rows.astype(jnp.int32), jnp.sum(near)


def coarse_rows(
    points: jax.Array, inverse: jax.Array, threshold: float
) -> jax.Array | None:
    """The projections of all examples, or None where they would not pay.

    Args:
      points: (N, d) float32.
      inverse: (N,) one over their norms.
      threshold: the cosine above which pairs are looked for.

    Returns:
      (N, `WIDTH`) float32: of every unit vector its part in the subspace of the largest
      second moments, and the length of the rest.
    """
    size, dimensions = points.shape
    if dimensions < 2 * WIDTH or size <= _SAMPLE:
        return None
    step = size // _SAMPLE
    sample = np.asarray(points[::step], np.float64)
    sample *= np.asarray(inverse[::step], np.float64)[:, None]
    largest = (dimensions - (WIDTH - 1), dimensions - 1)
    _, vectors = linalg.eigh(sample.T @ sample, subset_by_index=largest)
    basis = jnp.asarray(vectors, jnp.float32)
    some = _projected(points[::step], inverse[::step], basis)
    tried = some[:: max(1, len(some) // _TRIED)]
    _, count = within_reach(some, tried, jnp.float32(threshold), 1)
    if int(count) > _WORTH * len(some):
        return None
    return _projected(points, inverse, basis)
