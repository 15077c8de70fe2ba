"""Distance to the nearest k-means centre: self-supervised prototypes (SSP).

Sorscher, Geirhos, Shekhar, Ganguli, Morcos, "Beyond neural scaling laws: beating power
law scaling via data pruning" (NeurIPS 2022).
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks, conditioning
from robustjax.selection._cosine_kernel import inverse_norms
from robustjax.selection._greedy import check_features
from robustjax.selection._kmeans import kmeans_plus_plus

METRICS = ("cosine", "euclidean")

# Distances held at once, in numbers.
_BLOCK_NUMBERS = 4_000_000


@functools.partial(jax.jit, static_argnames=("metric", "rows"))
def _nearest(
    points: jax.Array, centres: jax.Array, *, metric: str, rows: int
) -> jax.Array:
    """Distances of unit rows ("cosine") or of centred points, and centres alike."""
    if metric == "cosine":
        inverse = inverse_norms(points)[:, None]
        points = points * inverse
    squares = jnp.sum(centres**2, axis=1)

    def one(point: jax.Array) -> jax.Array:
        product = jnp.matmul(centres, point, precision=jax.lax.Precision.HIGHEST)
        if metric == "cosine":
            return 1 - jnp.max(product)
        square = jnp.min(squares - 2 * product) + jnp.sum(point**2)
        return jnp.sqrt(jnp.maximum(square, 0.0))

    return jax.lax.map(one, points, batch_size=rows)


def prototype_distances(
    features: Any,
    clusters: int,
    key: jax.Array,
    *,
    metric: str = "cosine",
    iterations: int = 20,
    sample: int = 65_536,
) -> jax.Array:
    """Distance of every example to the nearest of some k-means centres.

    High means hard: far from every prototype. Labels are not looked at; the features
    should come from self-supervised training. The paper takes as many clusters as
    there are classes and finds their number to matter little.

    Args:
      features: (N, d) finite floats; for "cosine" no row zero.
      clusters: k, 1 … N.
      key: of the k-means++ seeds and of the sample.
      metric: "cosine", one minus the cosine, as in the paper, or "euclidean". The
        centres themselves are those of Euclidean k-means.
      iterations: of Lloyd's.
      sample: centres are fitted to at most this many random examples.

    Returns:
      (N,) float32 in [0, inf).

    Raises:
      ValueError: a wrong rank, NaN, a zero row, a number out of range, or an unknown
        metric.
    """
    checks.one_of("metric", metric, METRICS)
    given = check_features("features", features, nonzero=metric == "cosine")
    checks.at_least("clusters", clusters, 1)
    size = len(given)
    if clusters > min(size, sample):
        raise ValueError(
            f"clusters: got {clusters}, expected at most the number of examples that "
            f"they are fitted to, {min(size, sample)}"
        )
    # Clusters do not depend on a common offset and scale.
    centred = conditioning.centred("features", given)
    points = jnp.asarray(centred.points)
    draw_key, seed_key = jax.random.split(key)
    fitted = points
    if size > sample:
        fitted = points[jax.random.permutation(draw_key, size)[:sample]]
    fit = jax.jit(kmeans_plus_plus, static_argnames=("count", "iterations"))
    centres = fit(
        seed_key,
        fitted,
        jnp.ones(len(fitted), bool),
        count=clusters,
        iterations=iterations,
    )
    rows = max(1, min(size, _BLOCK_NUMBERS // clusters))
    if metric == "cosine":
        # These do depend on the origin; a cluster around it has no direction.
        whole = np.asarray(centres, np.float64) * centred.scale + centred.origin
        unit = jnp.asarray(conditioning.unit_rows(whole), jnp.float32)
        directions = conditioning.scaled_rows("features", given)
        return _nearest(directions, unit, metric=metric, rows=rows)
    distances = _nearest(points, centres, metric=metric, rows=rows)
    return distances * jnp.float32(centred.scale)
