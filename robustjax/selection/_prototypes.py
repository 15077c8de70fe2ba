"""Class prototypes by density, and labels by similarity to them.

The geometry of Han, Luo, Wang, "Deep Self-Learning From Noisy Labels", ICCV 2019.
Among examples that are given one class, those with the right label are close to each
other: dense points that are not too close to a denser one stand for the class.

Everything is over arrays of static shape with a mask, and works under `jax.jit` and
`jax.vmap`. Nothing is larger than the m x m similarities of one class's sample.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from robustjax import arrays, checks
from robustjax.selection._kmeans import kmeans_plus_plus, power_of_two
from robustjax.selection._percentile import masked_percentile

KINDS = ("density", "kmeans++", "density_euclidean")

# Products of features in full float32 on devices whose default is coarser.
_EXACT = jax.lax.Precision.HIGHEST


class ClassSample(NamedTuple):
    """Random examples of every class.

    Attributes:
      indices: (C, m) int32 rows, in random order.
      valid: (C, m) bool, False beyond the last example of a class with fewer than m.
    """

    indices: jax.Array
    valid: jax.Array


class Prototypes(NamedTuple):
    """Prototypes of every class, or of one (without the first axis).

    Attributes:
      features: (C, p, d) floats.
      valid: (C, p) bool, False where a class has fewer than p examples.
    """

    features: jax.Array
    valid: jax.Array


def sample_per_class(
    key: jax.Array, labels: jax.Array, usable: jax.Array, *, num_classes: int, size: int
) -> ClassSample:
    """Draws examples of every class, uniformly without replacement.

    Args:
      key: PRNG key.
      labels: (N,) integers; examples with a label out of range are never drawn.
      usable: (N,) bool, False on examples that are not to be drawn, such as padding.
      num_classes: C.
      size: m, the number of examples per class.

    Raises:
      ValueError: a size or number of classes below 1.
    """
    checks.at_least("num_classes", num_classes, 1)
    checks.at_least("size", size, 1)
    # In 8 bits the number of classes may be one of them.
    labels = arrays.labels_for(labels)
    known = usable & (labels >= 0) & (labels < num_classes)
    group = jnp.where(known, labels, num_classes)
    noise = jax.random.uniform(key, labels.shape)
    # One sort for all classes: each is a run of `order`, at random within.
    order = jnp.lexsort((noise, group)).astype(jnp.int32)
    counts = jnp.bincount(group, length=num_classes + 1)[:num_classes]
    starts = jnp.cumsum(counts) - counts
    place = jnp.arange(size)[None]
    row = jnp.minimum(starts[:, None] + place, labels.shape[0] - 1)
    return ClassSample(order[row], place < counts[:, None])


def _norms(features: jax.Array) -> jax.Array:
    """Euclidean norms of the rows, (..., 1), never 0."""
    # A power of two out of the square: tiny and huge rows have a norm, too.
    scale = power_of_two(jnp.max(jnp.abs(features), axis=-1, keepdims=True))
    norms = scale * jnp.linalg.norm(features / scale, axis=-1, keepdims=True)
    return jnp.maximum(norms, jnp.finfo(features.dtype).tiny)


def cosine_similarities(features: jax.Array) -> jax.Array:
    """Cosines between all pairs of rows, (m, m); those of a zero row are 0."""
    unit = features / _norms(features)
    return jnp.matmul(unit, unit.T, precision=_EXACT)


def euclidean_similarities(features: jax.Array) -> jax.Array:
    """Euclidean distances between all pairs of rows with their sign turned, (m, m)."""
    centred = features - jnp.mean(features, axis=0, keepdims=True)
    scale = power_of_two(jnp.max(jnp.abs(centred)))
    centred = centred / scale
    square = jnp.sum(centred**2, axis=1)
    product = jnp.matmul(centred, centred.T, precision=_EXACT)
    square = square[:, None] + square[None] - 2 * product
    square = jnp.where(jnp.eye(features.shape[0], dtype=bool), 0.0, square)
    return -scale * jnp.sqrt(jnp.maximum(square, 0.0))


def similarity_cutoff(
    similarity: jax.Array, valid: jax.Array, percentile: jax.Array | float = 40.0
) -> jax.Array:
    """The cutoff S_c: a percentile of the similarities between different examples.

    The paper takes "rank 40 %" of the elements and calls the choice unimportant,
    since only relative densities count; replications read it as the 40th, the 60th
    or the 75th percentile.

    Args:
      similarity: (m, m), symmetric.
      valid: (m,) bool.
      percentile: in [0, 100], of ascending values, linearly interpolated.

    Returns:
      A scalar; 0 for fewer than two valid examples.

    Raises:
      ValueError: a percentile outside [0, 100].
    """
    pairs = valid[:, None] & valid[None] & ~jnp.eye(valid.shape[0], dtype=bool)
    cutoff = masked_percentile(similarity, pairs, percentile)
    return jnp.where(jnp.any(pairs), cutoff, 0.0)


def local_density(
    similarity: jax.Array, cutoff: jax.Array, valid: jax.Array
) -> jax.Array:
    """The density `rho_i = sum_j sign(S_ij - S_c)`, j = i included.

    Args:
      similarity: (m, m).
      cutoff: scalar S_c.
      valid: (m,) bool.

    Returns:
      (m,) int32 in [-m, m]; below that where not valid.
    """
    signs = jnp.sign(similarity - cutoff).astype(jnp.int32)
    density = jnp.sum(jnp.where(valid[None], signs, 0), axis=1)
    return jnp.where(valid, density, -1 - valid.shape[0])


def similarity_to_denser(
    similarity: jax.Array, density: jax.Array, valid: jax.Array
) -> jax.Array:
    """The measure eta: how similar the most similar denser example is.

    `max_j S_ij` over `rho_j > rho_i`; for the examples of the largest density,
    all of them if several tie, `min_j S_ij`.

    Args:
      similarity: (m, m).
      density: (m,) integers, see `local_density`.
      valid: (m,) bool.

    Returns:
      (m,) floats; infinite where not valid.
    """
    denser = valid[None] & (density[None] > density[:, None])
    nearest = jnp.max(jnp.where(denser, similarity, -jnp.inf), axis=1)
    farthest = jnp.min(jnp.where(valid[None], similarity, jnp.inf), axis=1)
    densest = jnp.max(jnp.where(valid, density, jnp.iinfo(density.dtype).min))
    eta = jnp.where(density == densest, farthest, nearest)
    return jnp.where(valid, eta, jnp.inf)


def dense_and_apart(
    density: jax.Array,
    nearness: jax.Array,
    valid: jax.Array,
    *,
    count: int,
    max_similarity: jax.Array | float = 0.95,
) -> tuple[jax.Array, jax.Array]:
    """The densest examples among those that are not next to a denser one.

    Examples with `nearness < max_similarity` in order of density; if there are fewer
    than `count`, the densest of the others follow. Equal densities are taken in order
    of index.

    Args:
      density: (m,) integers.
      nearness: (m,) floats, see `similarity_to_denser`.
      valid: (m,) bool.
      count: p in 1 … m.
      max_similarity: the threshold.

    Returns:
      (p,) int32 indices, and (p,) bool, False where there were too few valid ones.
    """
    apart = nearness < max_similarity
    order = jnp.lexsort((-density, ~apart, ~valid))[:count]
    return order.astype(jnp.int32), valid[order]


def density_peaks(
    density: jax.Array, nearness: jax.Array, valid: jax.Array, *, count: int
) -> tuple[jax.Array, jax.Array]:
    """The examples of largest density times distance to the nearest denser one.

    The choice of Rodriguez and Laio, "Clustering by fast search and find of density
    peaks" (Science, 2014), with the density counted as the number of examples within
    the cutoff, `(rho + m) / 2`.

    Args:
      density: (m,) integers, see `local_density`.
      nearness: (m,) distances with their sign turned, see `similarity_to_denser`.
      valid: (m,) bool.
      count: p in 1 … m.

    Returns:
      As `dense_and_apart`.
    """
    within = (density + jnp.sum(valid)) / 2
    peak = jnp.where(valid, within * -nearness, -jnp.inf)
    order = jnp.lexsort((-peak, ~valid))[:count]
    return order.astype(jnp.int32), valid[order]


def prototypes_of_class(
    key: jax.Array,
    features: jax.Array,
    valid: jax.Array,
    *,
    count: int,
    kind: str = "density",
    percentile: jax.Array | float = 40.0,
    max_similarity: jax.Array | float = 0.95,
) -> Prototypes:
    """Prototypes of one class from a sample of its examples.

    Args:
      key: PRNG key; only "kmeans++" draws.
      features: (m, d) floats.
      valid: (m,) bool.
      count: p in 1 … m, the number of prototypes.
      kind: "density": the paper's, by cosine (`dense_and_apart`). The two it compares
        with, of which it tells no details: "density_euclidean": `density_peaks` of
        Euclidean distances, with the same percentile of the similarities; "kmeans++":
        the centres of `kmeans_plus_plus`.
      percentile: see `similarity_cutoff`.
      max_similarity: see `dense_and_apart`; the paper has no number, this one is that
        of replications.

    Returns:
      `Prototypes` (p, d) of this class.

    Raises:
      ValueError: an unknown kind, a number outside its range, or more prototypes
        than the sample has rows.
    """
    checks.one_of("kind", kind, KINDS)
    checks.at_least("count", count, 1)
    checks.rank("features", features, 2)
    if count > features.shape[0]:
        raise ValueError(
            f"count: got {count}, expected at most the size of the sample, "
            f"{features.shape[0]}"
        )
    if kind == "kmeans++":
        centres = kmeans_plus_plus(key, features, valid, count=count)
        return Prototypes(centres, jnp.arange(count) < jnp.sum(valid))
    euclidean = kind == "density_euclidean"
    similarities = euclidean_similarities if euclidean else cosine_similarities
    similarity = similarities(features)
    cutoff = similarity_cutoff(similarity, valid, percentile)
    density = local_density(similarity, cutoff, valid)
    nearness = similarity_to_denser(similarity, density, valid)
    if euclidean:
        chosen, found = density_peaks(density, nearness, valid, count=count)
    else:
        chosen, found = dense_and_apart(
            density, nearness, valid, count=count, max_similarity=max_similarity
        )
    return Prototypes(features[chosen], found)


def class_prototypes(
    key: jax.Array,
    features: jax.Array,
    sample: ClassSample,
    *,
    count: int,
    kind: str = "density",
    percentile: jax.Array | float = 40.0,
    max_similarity: jax.Array | float = 0.95,
) -> Prototypes:
    """Prototypes of every class, one class after the other.

    Args:
      key: PRNG key.
      features: (N, d) floats.
      sample: see `sample_per_class`.
      count: see `prototypes_of_class`, also for the rest.
      kind: which prototypes.
      percentile: of the cutoff.
      max_similarity: the threshold of eta.

    Returns:
      `Prototypes` (C, p, d).

    Raises:
      ValueError: see `prototypes_of_class`.
    """

    def one(part: tuple[jax.Array, jax.Array, jax.Array]) -> Prototypes:
        class_key, rows, valid = part
        return prototypes_of_class(
            class_key,
            features[rows],
            valid,
            count=count,
            kind=kind,
            percentile=percentile,
            max_similarity=max_similarity,
        )

    keys = jax.random.split(key, sample.indices.shape[0])
    return jax.lax.map(one, (keys, *sample))


def prototype_scores(features: jax.Array, prototypes: Prototypes) -> jax.Array:
    """Mean cosine of every example to the prototypes of every class, sigma_c.

    The mean of cosines is the product with the mean of unit vectors, so that no
    N x C x p array is needed.

    Args:
      features: (N, d) floats.
      prototypes: of C classes.

    Returns:
      (N, C) floats in [-1, 1]; -inf for a class without prototypes.
    """
    valid = prototypes.valid
    unit = prototypes.features / _norms(prototypes.features)
    number = jnp.sum(valid, axis=1)[:, None]
    mean = jnp.sum(jnp.where(valid[..., None], unit, 0.0), axis=1)
    mean = mean / jnp.maximum(number, 1)
    scores = jnp.matmul(features, mean.T, precision=_EXACT) / _norms(features)
    return jnp.where(number.T > 0, scores, -jnp.inf)


def assign_labels(features: jax.Array, prototypes: Prototypes) -> jax.Array:
    """The class of the most similar prototypes, (N,) int32; ties to the lower class."""
    scores = prototype_scores(features, prototypes)
    return jnp.argmax(scores, axis=1).astype(jnp.int32)
