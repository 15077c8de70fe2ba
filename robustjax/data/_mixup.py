"""Mixup: convex combinations of examples and of their targets."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from robustjax import arrays, checks


class Mixed(NamedTuple):
    """What `mixup` returns.

    Attributes:
      inputs: (B, ...) mixed inputs, of the inputs' dtype.
      targets: (B, C) mixed targets, of the targets' dtype.
      lam: () or, per example, (B,) float32, the share of the row's own example.
      permutation: (B,) int32, the example that each row was mixed with.
    """

    inputs: jax.Array
    targets: jax.Array
    lam: jax.Array
    permutation: jax.Array


def mixup(
    key: jax.Array,
    inputs: jax.Array,
    targets: jax.Array,
    *,
    alpha: jax.Array | float = 1.0,
    keep_dominant: bool = False,
    per_example: bool = False,
    mask: jax.Array | None = None,
) -> Mixed:
    """Mixes every example with another, `lam x_i + (1 - lam) x_j` (Zhang et al., 2018).

    `lam ~ Beta(alpha, alpha)`, once for the batch as published. The rows' partners are
    a random permutation of them, so that a row may meet itself. With `keep_dominant`
    the larger share stays with the row's own example, which MixMatch needs (Berthelot
    et al., NeurIPS 2019, Eq. 9), and so do DivideMix (`alpha` 4) and ELR+ (1): pass
    the concatenation of labelled and unlabelled examples.

    Args:
      key: PRNG key.
      inputs: (B, ...) floats.
      targets: (B, C) floats, distributions over classes.
      alpha: > 0; near 0 almost nothing is mixed.
      keep_dominant: whether `max(lam, 1 - lam)` takes the place of `lam`.
      per_example: whether every row has a `lam` of its own.
      mask: (B,) bool, False on padding rows, which keep to themselves; by default all
        rows are real.

    Returns:
      A `Mixed`.

    Raises:
      ValueError: alpha out of range, inputs or targets that are not floats, or
        lengths that differ.
    """
    checks.in_range("alpha", alpha, 0, low_open=True)
    inputs, targets = arrays.floats("inputs", inputs), arrays.floats("targets", targets)
    checks.rank("targets", targets, 2)
    for name, array in (("inputs", inputs), ("targets", targets)):
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(f"{name}: got {array.dtype}, expected floats")
    length = checks.same_length(inputs=inputs, targets=targets)
    if length == 0:
        raise ValueError("inputs: got no examples, expected at least one")
    if mask is None:
        mask = jnp.ones(length, bool)
    elif not isinstance(mask, jax.Array):
        mask = jnp.asarray(arrays.numbers("mask", mask))
    if mask.shape != (length,) or mask.dtype != bool:
        raise ValueError(
            f"mask: got {mask.dtype} of shape {mask.shape}, expected bool of shape "
            f"{(length,)}"
        )
    lam_key, order_key = jax.random.split(key)
    permutation = _permutation(order_key, mask)
    shape = (length,) if per_example else ()
    lam = jax.random.beta(lam_key, alpha, alpha, shape, jnp.float32)
    if keep_dominant:
        lam = jnp.maximum(lam, 1 - lam)

    def mix(values: jax.Array) -> jax.Array:
        own = lam.reshape(lam.shape + (1,) * (values.ndim - 1)) if per_example else lam
        mixed = own * values + (1 - own) * values[permutation]
        return mixed.astype(values.dtype)

    return Mixed(mix(inputs), mix(targets), lam, permutation)


def _permutation(key: jax.Array, mask: jax.Array) -> jax.Array:
    """A random permutation of the real rows; padding rows stay where they are."""
    drawn = jnp.where(mask, jax.random.uniform(key, mask.shape), 2.0)
    # Both begin with the real rows, once in random order and once in their own, and
    # end with the padding rows in their own.
    shuffled = jnp.argsort(drawn, stable=True).astype(jnp.int32)
    ordered = jnp.argsort(~mask, stable=True)
    return jnp.zeros_like(shuffled).at[ordered].set(shuffled, unique_indices=True)
