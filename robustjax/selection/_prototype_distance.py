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
from jax.sharding import Mesh

from robustjax import checks, conditioning
from robustjax.placement import Placement, on_host
from robustjax.row_source import RowSource, TakenRows, row_blocks
from robustjax.selection._cosine_kernel import inverse_norms
from robustjax.selection._greedy import check_rows
from robustjax.selection._kmeans import kmeans_plus_plus
from robustjax.sharded_rows import ShardedRows, placed, spread

METRICS = ("cosine", "euclidean")

# Distances held at once, in numbers.
_BLOCK_NUMBERS = 4_000_000


_fit = jax.jit(kmeans_plus_plus, static_argnames=("count", "iterations"))


@functools.partial(jax.jit, static_argnames=("place", "metric", "rows"))
def _nearest(
    points: jax.Array, centres: jax.Array, *, place: Placement, metric: str, rows: int
) -> jax.Array:
    """Of divided points, to centres that all devices have."""
    near = functools.partial(_nearest_of, metric=metric, rows=rows)
    found: jax.Array = place.on_rows(near, 1)(points, centres)
    return found


def _nearest_of(
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
        # By differences: of a point close to its centre the expanded square is mostly
        # rounding.
        nearest = centres[jnp.argmin(squares - 2 * product)]
        return jnp.sqrt(jnp.sum((point - nearest) ** 2))

    return jax.lax.map(one, points, batch_size=rows)


def prototype_distances(
    features: Any,
    clusters: int,
    key: jax.Array,
    *,
    metric: str = "cosine",
    iterations: int = 20,
    sample: int = 65_536,
    mesh: Mesh | None = None,
) -> jax.Array:
    """Distance of every example to the nearest of some k-means centres.

    High means hard: far from every prototype. Labels are not looked at; the features
    should come from self-supervised training. The paper takes as many clusters as
    there are classes and finds their number to matter little.

    Args:
      features: (N, d) finite floats, or rows of a file (`data.open_rows`), which stay
        where they are: devices get the sample and then a block at a time; for "cosine"
        no row zero. Of a JAX array that devices hold in parts of rows these stay there;
        where several processes have them, all call.
      clusters: k, 1 … N.
      key: of the k-means++ seeds and of the sample.
      metric: "cosine", one minus the cosine, as in the paper, or "euclidean". The
        centres themselves are those of Euclidean k-means.
      iterations: of Lloyd's.
      sample: centres are fitted to at most this many random examples.
      mesh: devices among which the examples are divided, one axis of kind Auto; by
        default those that hold them, or one that has all. Of every block each gets its
        own part from the host. Means are summed in another order, so that distances may
        differ in the last digits.

    Returns:
      (N,) float32 in [0, inf), on one device.

    Raises:
      ValueError: a wrong rank, NaN, a zero row, a number out of range, or an unknown
        metric, a mesh of other axes, or of other devices than hold the rows, features
        that processes divide otherwise than by rows.
    """
    place, features = placed("features", features, mesh)
    checks.one_of("metric", metric, METRICS)
    given = check_rows("features", features, nonzero=metric == "cosine")
    checks.at_least("clusters", clusters, 1)
    size = len(given)
    if clusters > min(size, sample):
        raise ValueError(
            f"clusters: got {clusters}, expected at most the number of examples that "
            f"they are fitted to, {min(size, sample)}"
        )
    # Clusters do not depend on a common offset and scale. Every row is measured once:
    # whatever is made of all of them is made of a block at a time.
    near, scale, origin = conditioning.centred_source("features", given, by_blocks=True)
    draw_key, seed_key = jax.random.split(key)
    drawn = None
    if size > sample:
        drawn = np.asarray(jax.random.permutation(draw_key, size)[:sample])
    centres = _fit(
        place.whole(seed_key),
        place.rows(near) if drawn is None else spread(place, near, drawn),
        place.rows(np.ones(min(size, sample), bool), False),
        count=clusters,
        iterations=iterations,
    )
    if metric == "cosine":
        # These do depend on the origin; a cluster around it has no direction.
        whole = on_host(centres).astype(np.float64) * scale + origin
        centres, scale = place.whole(_directions(whole)), 1.0
        near = conditioning.scaled_source("features", given, by_blocks=True)
    rows = max(1, min(size, _BLOCK_NUMBERS // clusters))
    measure = functools.partial(_nearest, place=place, metric=metric, rows=rows)
    if isinstance(near, ShardedRows):
        found = [on_host(measure(near.array, centres))]
    else:
        found = []
        # The batches of an array are those of one call: products round alike.
        together = place.devices * (1 if isinstance(given, RowSource) else rows)
        for here in row_blocks(near, multiple=together):
            # Of several processes, each makes the rows of its own devices alone.
            some = (
                near[here]
                if place.mesh is None
                else TakenRows(near, np.arange(here.start, here.stop))
            )
            distances = on_host(measure(place.rows(some), centres))
            found.append(distances[: len(some)])
    return jnp.asarray(np.concatenate(found)) * np.float32(scale)


def _directions(centres: np.ndarray) -> np.ndarray:
    return conditioning.unit_rows(centres).astype(np.float32)
