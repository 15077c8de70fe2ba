"""Labels as distributions over the classes."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from robustjax import arrays, checks
from robustjax.losses._per_class import inside


def as_distributions(labels: jax.Array, num_classes: int) -> jax.Array:
    """Returns labels as distributions: one-hot where they are class indices.

    Args:
      labels: (...) integers in 0 … C-1, or (..., C) distributions.
      num_classes: the number of classes, C.

    Returns:
      (..., C) floats of at least float32; NaN where an integer label is out of range.

    Raises:
      ValueError: distributions over another number of classes.
    """
    labels = arrays.labels_for(labels)
    if jnp.issubdtype(labels.dtype, jnp.integer):
        one_hot = jax.nn.one_hot(labels, num_classes, dtype=jnp.float32)
        return jnp.where(inside(labels, num_classes)[..., None], one_hot, jnp.nan)
    if labels.shape[-1:] != (num_classes,):
        raise ValueError(
            f"labels: got shape {labels.shape}, expected (…, {num_classes}) for "
            "distribution labels"
        )
    return labels.astype(jnp.promote_types(labels.dtype, jnp.float32))


def smooth_labels(
    labels: jax.Array, num_classes: int, *, smoothing: jax.Array | float
) -> jax.Array:
    """Label smoothing, `(1 - smoothing) y + smoothing / C` (Szegedy et al., CVPR 2016).

    The labelled class takes part in the uniform share: it keeps
    `1 - smoothing (C - 1) / C`. Where a source spreads `e` over the *other* classes
    alone, set `smoothing = e C / (C - 1)`.

    Args:
      labels: (...) integers in 0 … C-1, or (..., C) distributions.
      num_classes: the number of classes, C.
      smoothing: in [0, 1], possibly traced; 0 changes nothing, 1 leaves the uniform
        distribution.

    Returns:
      (..., C) floats of at least float32; NaN where an integer label is out of range.

    Raises:
      ValueError: smoothing outside [0, 1], or distributions over another number of
        classes.
    """
    checks.in_range("smoothing", smoothing, 0, 1)
    return (1 - smoothing) * as_distributions(labels, num_classes) + (
        smoothing / num_classes
    )
