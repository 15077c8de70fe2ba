"""REPAIR's rules: from learned weights to the examples that are kept."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp

from robustjax import checks

Rule = Literal["threshold", "rank", "class_rank", "sample", "uniform"]

RULES = ("threshold", "rank", "class_rank", "sample", "uniform")


def check_rule(rule: str, keep: float) -> None:
    """Raises `ValueError` for an unknown rule or a share outside (0, 1]."""
    checks.one_of("rule", rule, RULES)
    checks.in_range("keep", keep, 0, 1, low_open=True)


def resample(
    key: jax.Array,
    weights: jax.Array,
    labels: jax.Array,
    real: jax.Array,
    *,
    num_classes: int,
    rule: Rule = "class_rank",
    keep: float = 0.5,
) -> jax.Array:
    """The examples that REPAIR keeps.

    "threshold": weights above 0.5. "rank": the share `keep` of largest weights.
    "class_rank": that share of every class, at least one example. "sample": each with
    its weight as probability. "uniform": the share `keep` at random, the control.
    Equal weights are taken in random order.

    Args:
      key: PRNG key.
      weights: (N,) in [0, 1].
      labels: (N,) integers in 0 … C-1.
      real: (N,) bool, False on padding, which is never kept.
      num_classes: C.
      rule: one of the above.
      keep: in (0, 1], of the rules that have a share.

    Returns:
      (N,) bool.

    Raises:
      ValueError: an unknown rule or a share out of range.
    """
    check_rule(rule, keep)
    draw = jax.random.uniform(key, weights.shape)
    if rule == "threshold":
        return real & (weights > 0.5)
    if rule == "sample":
        return real & (draw < weights)
    classes = labels if rule == "class_rank" else jnp.zeros_like(labels)
    value = jnp.zeros_like(weights) if rule == "uniform" else weights
    # By class, then from the largest down; padding is a class of its own, the last.
    classes = jnp.where(real, classes, num_classes)
    order = jnp.lexsort((draw, -value, classes))
    count = jnp.bincount(classes, length=num_classes + 1)
    start = jnp.cumsum(count) - count
    place = jnp.argsort(order) - start[classes]
    # One part in a million: a half of 10 examples is 5, in float32 as well.
    wanted = jnp.maximum(jnp.floor(keep * count + 1e-6 * count), 1)
    return real & (place < wanted[classes])
