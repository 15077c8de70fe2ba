"""Ranking losses: scores that should be ordered as targets are.

`D` is the difference of the scores of a pair and `s` the sign of the difference of
its targets; a pair in the right order by at least the margin costs nothing.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks

TIES = ("ignore", "as_lower")
PAIRINGS = ("halves", "opposite")


def pair_up(
    values: jax.Array, *, pairing: str = "halves"
) -> tuple[jax.Array, jax.Array]:
    """Splits a batch into the first and the second members of its pairs.

    Args:
      values: (B, ...).
      pairing: "halves" pairs i with M + i of B = 2M examples; "opposite" pairs i with
        B - 1 - i, without the middle one of an odd number.

    Returns:
      Two (B // 2, ...) arrays. With `values` the mask of a batch, the pairs that are
      real are those of which both members are.

    Raises:
      ValueError: an unknown pairing, no axis to split, or halves of an odd number.
    """
    checks.one_of("pairing", pairing, PAIRINGS)
    values = jnp.asarray(values)
    if not values.ndim:
        raise ValueError("values: got shape (), expected a leading batch axis")
    size = values.shape[0]
    if pairing == "opposite":
        return values[: size // 2], values[::-1][: size // 2]
    if size % 2:
        raise ValueError(f"values: got {size} examples, expected an even number")
    return values[: size // 2], values[size // 2 :]


def pairwise_ranking(
    scores: jax.Array,
    targets: jax.Array,
    *,
    margin: jax.Array | float,
    ties: str = "ignore",
    pairing: str = "halves",
) -> jax.Array:
    """The hinge `max(0, margin - s D)` of every pair of a batch.

    This is the loss by which MQNet is trained (Park et al., "Meta-Query-Net:
    Resolving Purity-Informativeness Dilemma in Open-set Active Learning", NeurIPS
    2022). There the margin is printed inside the sign, `max(0, -s (D + margin))`:
    where s = 1 that tolerates a wrong order by up to the margin, and only where
    s = -1 it asks for a right order by the margin. Over all ordered pairs each
    unordered one meets the asking form once; in a batch, which holds each pair one
    way round, half of the pairs would have a negative margin. The authors' code has
    the form above, with s = -1 for equal targets, too (`ties="as_lower"`): there
    such a pair costs `max(0, margin + D)`, which in the mean over both orders has no
    gradient while |D| <= margin and pulls the two scores together beyond it.

    No gradient flows through the targets.

    Args:
      scores: (B,) floats.
      targets: (B,) numbers, larger meaning that the score should be larger. What is
        not on a device is compared as it is, in 64 bits.
      margin: >= 0, possibly traced; 0.1 in the paper, 1 in the authors' code.
      ties: "ignore" gives s = 0 and the loss 0 to equal targets, "as_lower" s = -1.
      pairing: see `pair_up`.

    Returns:
      (B // 2,) losses in [0, inf), float32 or better; NaN where a target is NaN.

    Raises:
      ValueError: a negative margin, unknown ties or pairing, other shapes, or halves
        of an odd number of examples.
    """
    checks.in_range("margin", margin, 0)
    checks.one_of("ties", ties, TIES)
    checks.rank("scores", scores, 1)
    checks.rank("targets", targets, 1)
    checks.same_length(scores=scores, targets=targets)
    scores = jnp.asarray(scores)
    scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    one, other = pair_up(scores, pairing=pairing)
    targets = _ordered(targets)
    larger, smaller = pair_up(jax.lax.stop_gradient(targets), pairing=pairing)
    hinge_if_larger = jnp.maximum(margin - (one - other), 0.0)
    hinge_if_smaller = jnp.maximum(margin + (one - other), 0.0)
    hinge = jnp.where(larger > smaller, hinge_if_larger, hinge_if_smaller)
    if ties == "ignore":
        hinge = jnp.where(larger == smaller, 0.0, hinge)
    return jnp.where(jnp.isnan(larger) | jnp.isnan(smaller), jnp.nan, hinge)


def _ordered(targets: Any) -> jax.Array:
    """Targets, or their ranks where the device would round or wrap them."""
    if isinstance(targets, jax.Array):
        return targets
    array = arrays.numbers("targets", targets)
    if not arrays.is_wide(array):
        return jnp.asarray(array)
    ranks = np.unique(array, return_inverse=True)[1].astype(np.float32)
    return jnp.asarray(np.where(np.isnan(array), np.nan, ranks))


def loss_prediction(
    predicted: jax.Array, losses: jax.Array, *, margin: jax.Array | float = 1.0
) -> jax.Array:
    """The loss of a module that predicts losses, up to their order.

    Yoo and Kweon, "Learning Loss for Active Learning" (CVPR 2019), Eq. 2, in the form
    of its public code: the batch against its reverse, `max(0, margin - s D)` with
    s = 1 where the first loss is larger and -1 elsewhere. No gradient flows through
    the losses. The paper's total is the mean cross-entropy plus the mean of these.

    In a padded batch, the mean is over the pairs of which both members are real:
    `jnp.logical_and(*pair_up(mask, pairing="opposite"))`.

    Args:
      predicted: (B,) floats.
      losses: (B,) numbers.
      margin: >= 0, possibly traced.

    Returns:
      (B // 2,) losses in [0, inf); the middle one of an odd number is left out.

    Raises:
      ValueError: a negative margin or other shapes.
    """
    return pairwise_ranking(
        predicted, losses, margin=margin, ties="as_lower", pairing="opposite"
    )
