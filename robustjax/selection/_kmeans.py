"""k-means with k-means++ seeding, on a masked sample of static shape."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from robustjax import checks


def power_of_two(size: jax.Array) -> jax.Array:
    """The power of two above every size, by which division is exact; 1 for 0."""
    exponent = jnp.clip(jnp.frexp(size)[1], -126, 127)
    return jnp.where(size > 0, jnp.ldexp(jnp.ones_like(size), exponent), 1.0)


def _square_distances(points: jax.Array, centres: jax.Array) -> jax.Array:
    """Squared distances (m, k) of points (m, d) to centres (k, d)."""
    product = jnp.matmul(points, centres.T, precision=jax.lax.Precision.HIGHEST)
    square = jnp.sum(points**2, axis=1)[:, None] + jnp.sum(centres**2, axis=1)[None]
    return jnp.maximum(square - 2 * product, 0.0)


def _seeds(
    key: jax.Array, points: jax.Array, valid: jax.Array, count: int
) -> jax.Array:
    """Rows (k,): the first at random, the others by squared distance to those before.

    Where no valid point is at a distance from those drawn, any of them is.
    """

    def draw(
        number: jax.Array, carry: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        rows, nearest = carry
        far = valid & (nearest > 0)
        chance = jnp.where(jnp.isinf(nearest), 1.0, nearest)
        chance = jnp.where(jnp.any(far), jnp.where(far, chance, 0.0), valid)
        row = jax.random.categorical(jax.random.fold_in(key, number), jnp.log(chance))
        distance = jnp.sum((points - points[row][None]) ** 2, axis=1)
        return rows.at[number].set(row), jnp.minimum(nearest, distance)

    nearest = jnp.full(points.shape[0], jnp.inf, points.dtype)
    start = (jnp.zeros(count, jnp.int32), nearest)
    return jax.lax.fori_loop(0, count, draw, start)[0]


def kmeans_plus_plus(
    key: jax.Array,
    points: jax.Array,
    valid: jax.Array,
    *,
    count: int,
    iterations: int = 20,
) -> jax.Array:
    """Cluster centres by Lloyd's iterations from k-means++ seeds.

    Arthur and Vassilvitskii, "k-means++: The advantages of careful seeding" (SODA,
    2007), Euclidean. A cluster that becomes empty keeps its centre.

    Args:
      key: PRNG key.
      points: (m, d) floats.
      valid: (m,) bool, False on rows to leave out.
      count: k >= 1, the number of clusters.
      iterations: of Lloyd's, >= 0; 0 gives the seeds.

    Returns:
      (k, d) centres; with fewer than k distinct points some are equal.

    Raises:
      ValueError: a number below its minimum.
    """
    checks.at_least("count", count, 1)
    checks.at_least("iterations", iterations, 0)
    # Distances to a centre lose fewer digits near the origin.
    total = jnp.sum(jnp.where(valid[:, None], points, 0.0), axis=0)
    origin = (total / jnp.maximum(jnp.sum(valid), 1))[None]
    points = jnp.where(valid[:, None], points - origin, 0.0)
    # Nor do squares of points near 1 in size overflow or vanish.
    scale = power_of_two(jnp.max(jnp.abs(points)))
    points = points / scale

    def improve(_: jax.Array, centres: jax.Array) -> jax.Array:
        nearest = jnp.argmin(_square_distances(points, centres), axis=1)
        member = jax.nn.one_hot(nearest, count, dtype=points.dtype)
        member = jnp.where(valid[:, None], member, 0.0)
        sums = jnp.matmul(member.T, points, precision=jax.lax.Precision.HIGHEST)
        sizes = jnp.sum(member, axis=0)[:, None]
        return jnp.where(sizes > 0, sums / jnp.maximum(sizes, 1), centres)

    seeds = points[_seeds(key, points, valid, count)]
    return scale * jax.lax.fori_loop(0, iterations, improve, seeds) + origin
