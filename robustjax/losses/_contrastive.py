"""Losses that compare the embeddings of two views of the same examples."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from robustjax import checks

# Below this norm an embedding counts as zero: it is left at zero rather than blown
# up, and its gradient stays finite.
_SMALLEST_NORM = 1e-8


def _normalize(embeddings: jax.Array) -> jax.Array:
    embeddings = embeddings.astype(jnp.promote_types(embeddings.dtype, jnp.float32))
    square = jnp.sum(embeddings**2, axis=-1, keepdims=True)
    return embeddings * jax.lax.rsqrt(jnp.maximum(square, _SMALLEST_NORM**2))


def nt_xent(
    first: jax.Array,
    second: jax.Array,
    *,
    temperature: jax.Array | float = 0.5,
    mask: jax.Array | None = None,
) -> jax.Array:
    """Normalised, temperature-scaled cross-entropy (Chen et al., ICML 2020, Eq. 1).

    Row i of `first` and row i of `second` are two views of one example. Each of the
    2B views has to find its partner among the 2B - 1 other views by cosine
    similarity. Time and memory are of order B².

    Args:
      first: (B, D) floats; a row's scale makes no difference.
      second: (B, D) floats.
      temperature: > 0, possibly traced. The paper's best for CIFAR-10 is 0.5, for
        ImageNet 0.1.
      mask: (B,) bool, False on padding; both views of a padding row are nobody's
        negatives, and have loss 0. By default all rows are real.

    Returns:
      (2B,) losses in [0, inf), of the views in `first` and then of those in
      `second`; NaN under a traced mask of other integers than 0 and 1.

    Raises:
      ValueError: shapes that do not match, a temperature that is not positive, or a
        mask of other values than bools, or 0 and 1.
    """
    checks.in_range("temperature", temperature, 0, low_open=True)
    checks.rank("first", first, 2)
    if first.shape != second.shape:
        raise ValueError(
            f"second: got shape {second.shape}, expected that of first, {first.shape}"
        )
    batch = first.shape[0]
    fault: jax.Array | None = None
    real = jnp.ones(batch, bool)
    if mask is not None:
        mask = checks.truths("mask", mask)
        if mask.shape != (batch,):
            raise ValueError(f"mask: got shape {mask.shape}, expected {(batch,)}")
        fault, real = checks.untrue(mask), jnp.asarray(mask, bool)
    views = _normalize(jnp.concatenate([first, second]))
    real = jnp.concatenate([real, real])
    own = jnp.arange(2 * batch)
    partner = jnp.roll(own, batch)
    similarity = views @ views.T / temperature
    # A view's partner always counts, so that no row, not even of padding, is empty.
    others = real[None, :] & (own[:, None] != own[None, :])
    others = others | (own[None, :] == partner[:, None])
    log_sum = jax.nn.logsumexp(jnp.where(others, similarity, -jnp.inf), axis=-1)
    to_partner = jnp.sum(views * jnp.roll(views, batch, axis=0), axis=-1) / temperature
    found = jnp.where(real, log_sum - to_partner, 0.0)
    # A product, so that the gradient shows it too.
    return found if fault is None else found * jnp.where(fault, jnp.nan, 1.0)
