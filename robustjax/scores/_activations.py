"""What the activations of a layer look like: angles between classes, and size."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks, conditioning


def _rows(features: jax.Array) -> jax.Array:
    """One vector per example, in float32 or better."""
    if np.ndim(features) < 2 or np.shape(features)[0] == 0:
        raise ValueError(
            f"features: got shape {np.shape(features)}, expected (N, ...) of rank 2 or "
            "more, N >= 1"
        )
    wide = arrays.float32("features", features)
    return wide.reshape(wide.shape[0], -1)


def cross_class_cosine(
    features: jax.Array, labels: Any, *, num_classes: int | None = None
) -> jax.Array:
    """Mean cosine similarity over all pairs of examples with different labels.

    Low where the classes use different features. Takes time and memory of order
    N d + C (C + d), since the sum over pairs is one over pairs of class sums.

    Args:
      features: (N, ...) activations; those of an example count as one vector, and a
        vector of zeros has a similarity of 0 to every other.
      labels: (N,) integers in 0 … C-1.
      num_classes: C; by default the largest label plus one. Needed where the labels
        are traced.

    Returns:
      A scalar in [-1, 1], at least 0 for activations behind a ReLU; NaN where traced
      labels are all alike.

    Raises:
      ValueError: features of rank below 2, labels that are no class indices, lengths
        that differ, labels all alike, or traced labels without `num_classes`.
    """
    if not isinstance(features, jax.Array):
        # Angles do not depend on the lengths, which float32 may not hold.
        given = arrays.numbers("features", features)
        if given.ndim > 1 and given.size:
            features = conditioning.scaled_rows(
                "features", given.reshape(len(given), -1)
            )
    rows = _rows(features)
    checks.rank("labels", labels, 1)
    checks.same_length(features=rows, labels=labels)
    if not checks.is_traced(labels):
        labels = checks.labels("labels", labels, num_classes)
        if (labels == labels[0]).all():
            raise ValueError(
                f"labels: got {labels[0]} alone, expected two classes or more"
            )
        if num_classes is None:
            num_classes = int(labels.max()) + 1
    elif num_classes is None:
        raise ValueError("num_classes: got None, expected a number for traced labels")
    # Scaled by its largest entry, a row has a norm of 1 or more, or is zero.
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(rows), axis=1, keepdims=True))
    rows = rows / jnp.where(largest > 0, largest, 1.0)
    squares = jnp.sum(rows**2, axis=1, keepdims=True)
    rows = rows * jax.lax.rsqrt(jnp.maximum(squares, 0.5))
    labels = jnp.asarray(labels)
    sums = jax.ops.segment_sum(rows, labels, num_classes)
    counts = jax.ops.segment_sum(jnp.ones_like(rows[:, 0]), labels, num_classes)
    # Off the diagonal of the classes' Gram matrix, so that nothing cancels.
    highest = jax.lax.Precision.HIGHEST
    between = ~jnp.eye(num_classes, dtype=bool)
    similarity = jnp.matmul(sums, sums.T, precision=highest)
    pairs = counts[:, None] * counts[None, :]
    return jnp.sum(jnp.where(between, similarity, 0.0)) / jnp.sum(
        jnp.where(between, pairs, 0.0)
    )


def mean_activation_norm(features: jax.Array) -> jax.Array:
    """Mean Euclidean norm of the activations of an example.

    Args:
      features: (N, ...) activations; those of an example count as one vector.

    Returns:
      A scalar in [0, inf).

    Raises:
      ValueError: features of rank below 2.
    """
    rows = _rows(features)
    # The largest entry out of the square: tiny and huge rows have a norm, too.
    scale = jax.lax.stop_gradient(jnp.max(jnp.abs(rows), axis=1, initial=0.0))
    scale = jnp.where((scale > 0) & jnp.isfinite(scale), scale, 1.0)
    squares = jnp.sum((rows / scale[:, None]) ** 2, axis=1)
    # The square root has no gradient at 0, where TAUFE pushes activations.
    positive = squares > 0
    norms = jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1)), 0)
    # NaN is no reason to leave a row out of the mean.
    return jnp.mean(scale * jnp.where(jnp.isnan(squares), jnp.nan, norms))
