"""Per-example penalties on what a network makes of out-of-distribution examples.

Both are meant for examples that belong to no class of the task. One acts on features
and so suits any task, the other acts on logits and needs a classifier.
"""

from __future__ import annotations

from typing import Literal, get_args

import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.losses._per_class import wide_logits

NormReduction = Literal["mean", "sum"]
NORM_REDUCTIONS: tuple[NormReduction, ...] = get_args(NormReduction)


def squared_feature_norm(
    features: jax.Array, *, reduction: NormReduction = "mean"
) -> jax.Array:
    """Squared features of every example, averaged or summed over its m entries.

    The penalty of TAUFE (Park et al., "Task-Agnostic Undesirable Feature Deactivation
    Using Out-of-Distribution Data", NeurIPS 2021). The paper prints the sum,
    `||f||^2`; its code, and hence its weights, use the mean, which is m times
    smaller (m = 512 for the pooled features of ResNet-18).

    Args:
      features: (B, d) pooled features or a (B, h, w, c) feature map; in general
        (B, ...) floats. Squared in float32 or better.
      reduction: "mean" or "sum" over the entries of an example.

    Returns:
      (B,) values in [0, inf).

    Raises:
      ValueError: an unknown reduction, or features of rank below 2.
    """
    checks.one_of("reduction", reduction, NORM_REDUCTIONS)
    features = jnp.asarray(features)
    if features.ndim < 2:
        raise ValueError(
            f"features: got shape {features.shape}, expected (B, ...) of rank 2 or more"
        )
    wide = features.astype(jnp.promote_types(features.dtype, jnp.float32))
    over = jnp.mean if reduction == "mean" else jnp.sum
    return over(wide**2, axis=tuple(range(1, wide.ndim)))


def uniform_cross_entropy(logits: jax.Array) -> jax.Array:
    """Cross-entropy with the uniform distribution, `logsumexp(z) - mean_k z_k`.

    The penalty of OAT (Lee et al., "Removing Undesirable Feature Contributions Using
    Out-of-Distribution Data", ICLR 2021). Its gradient is `softmax(z) - 1/C`.

    Args:
      logits: (B, C) floats. Arithmetic is in float32 or better.

    Returns:
      (B,) values in [log C, inf), smallest where all logits are equal.

    Raises:
      ValueError: logits of a rank other than 2.
    """
    logits = wide_logits(logits)
    checks.rank("logits", logits, 2)
    return -jnp.mean(jax.nn.log_softmax(logits), axis=-1)
