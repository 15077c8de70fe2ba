"""The pieces of MixMatch, of use to all that learns from examples without labels.

Berthelot, Carlini, Goodfellow, Papernot, Oliver, Raffel, "MixMatch: A Holistic Approach
to Semi-Supervised Learning", NeurIPS 2019. Targets of unlabelled examples are guessed
from several random views of them and sharpened; then everything is mixed with
everything. `mix_match` is the whole; `divide_mix` treats wrong labels as missing ones,
and refines the others (`co_refine`).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from robustjax import checks, losses
from robustjax.data._mixup import mixup
from robustjax.training._pools import pools_order
from robustjax.training._supervised import Augment, Preprocess

LABELED, UNLABELED = 0, 1
"""The places of the two kinds of examples on the last axis of an epoch's order."""


class Rows(NamedTuple):
    """Examples, or random views of examples, with their targets.

    Attributes:
      inputs: (R, ...) floats.
      targets: (R, C) distributions.
      mask: (R,) bool, False on padding.
    """

    inputs: jax.Array
    targets: jax.Array
    mask: jax.Array


def sharpen(probabilities: jax.Array, temperature: jax.Array | float) -> jax.Array:
    """Makes distributions more certain, `p_k^(1/T) / sum_j p_j^(1/T)` (Eq. 7).

    Args:
      probabilities: (..., C) distributions.
      temperature: T > 0; 1 changes nothing, near 0 the largest class takes all.

    Returns:
      (..., C) distributions.

    Raises:
      ValueError: T that is not positive.
    """
    checks.in_range("temperature", temperature, 0, low_open=True)
    # Relative to the largest: powers cannot all underflow.
    relative = probabilities / jnp.max(probabilities, axis=-1, keepdims=True)
    powers = relative ** (1 / temperature)
    return powers / jnp.sum(powers, axis=-1, keepdims=True)


def ramp_up(progress: jax.Array | float, length: float) -> jax.Array:
    """Rises linearly from 0 at the beginning to 1 at `length`, and stays there.

    Args:
      progress: the time since the beginning, possibly traced and negative.
      length: >= 0, in the same unit; at 0 the result is always 1.
    """
    if length == 0:
        return jnp.float32(1.0)
    return jnp.clip(jnp.asarray(progress, jnp.float32) / length, 0.0, 1.0)


def masked_mean(
    values: jax.Array, mask: jax.Array, axis_name: str | None = None
) -> jax.Array:
    """The mean over the real rows; 0 where there is none.

    Args:
      values: (R, ...).
      mask: (R,) bool, False on padding.
      axis_name: the mapped device axis over which the rows are split, else None.

    Returns:
      (...), the shape of one row.
    """

    def total(x: jax.Array) -> jax.Array:
        return x if axis_name is None else jax.lax.psum(x, axis_name)

    real = mask.reshape(-1, *(1,) * (values.ndim - 1))
    count = total(jnp.sum(mask.astype(values.dtype)))
    return total(jnp.sum(jnp.where(real, values, 0), axis=0)) / jnp.maximum(count, 1)


def augmented_views(
    key: jax.Array,
    inputs: jax.Array,
    num_views: int,
    *,
    augment: Augment | None,
    preprocess: Preprocess,
    lead: int = 1,
) -> jax.Array:
    """Several random changes of every example, by one call of `augment`.

    Args:
      key: PRNG key.
      inputs: (*lead axes, ...).
      num_views: M.
      augment: `(key, inputs) -> inputs`; without it all views are equal.
      preprocess: applied after it.
      lead: how many axes of the inputs count examples.

    Returns:
      (M, *lead axes, ...).
    """
    shape, one = inputs.shape[:lead], inputs.shape[lead:]
    views = jnp.broadcast_to(inputs[None], (num_views, *inputs.shape))
    views = views.reshape(-1, *one)
    if augment is not None:
        views = augment(key, views)
    views = preprocess(views)
    return views.reshape(num_views, *shape, *views.shape[1:])


def mix_rows(
    key: jax.Array,
    labeled: Rows,
    unlabeled: Rows,
    *,
    alpha: jax.Array | float,
    per_example: bool = True,
) -> Rows:
    """Mixes all rows with all rows (Algorithm 1, lines 11 to 14).

    Labelled and unlabelled rows are concatenated, and each is mixed with a random one
    of them all, `l' x_i + (1 - l') x_j` with `l' = max(l, 1 - l)` and
    `l ~ Beta(alpha, alpha)`; targets likewise. A mixed row counts as what its larger
    part was.

    Args:
      key: PRNG key.
      labeled: rows whose targets are labels.
      unlabeled: rows whose targets are guesses.
      alpha: > 0.
      per_example: whether every row draws an `l` of its own (as the authors' code
        does) rather than all rows one (as DivideMix does).

    Returns:
      The mixed rows, those that were labelled first; no gradient flows into their
      targets.
    """
    inputs, targets, mask = (jnp.concatenate(pair) for pair in zip(labeled, unlabeled))
    mixed = mixup(
        key,
        inputs,
        jax.lax.stop_gradient(targets),
        alpha=alpha,
        keep_dominant=True,
        per_example=per_example,
        mask=mask,
    )
    return Rows(mixed.inputs, mixed.targets, mask)


def mix_match_losses(
    logits: jax.Array, mixed: Rows, num_labeled: int, axis_name: str | None = None
) -> tuple[jax.Array, jax.Array]:
    """Compares predictions with mixed targets (Eq. 3 and 4).

    Args:
      logits: (R, C) of the mixed rows.
      mixed: from `mix_rows`.
      num_labeled: how many of the rows, at the front, were labelled.
      axis_name: the mapped device axis over which the rows are split, else None.

    Returns:
      (), the cross-entropy of the rows that were labelled, and (), the squared error
      of the others, a mean over rows and over classes; 0 where a kind has no real row.
    """
    first, last = slice(None, num_labeled), slice(num_labeled, None)
    entropies = losses.cross_entropy(logits[first], mixed.targets[first])
    errors = jax.nn.softmax(logits[last]) - mixed.targets[last]
    squares = jnp.mean(errors**2, axis=-1)
    return (
        masked_mean(entropies, mixed.mask[first], axis_name),
        masked_mean(squares, mixed.mask[last], axis_name),
    )


def co_refine(
    labels: jax.Array,
    guesses: jax.Array,
    clean_probability: jax.Array,
    temperature: jax.Array | float,
) -> jax.Array:
    """Targets of labelled examples, `sharpen(w y + (1 - w) p)`.

    Args:
      labels: (..., C) distributions, y.
      guesses: (..., C) the network's mean prediction over views, p.
      clean_probability: (...) the peer's probability that the label is right, w.
      temperature: see `sharpen`.

    Returns:
      (..., C) distributions.
    """
    trust = clean_probability[..., None]
    return sharpen(trust * labels + (1 - trust) * guesses, temperature)


def uniform_prior_penalty(
    logits: jax.Array, mask: jax.Array, axis_name: str | None = None
) -> jax.Array:
    """`sum_k (1/C) log((1/C) / mean p_k)`: keeps a class from taking all examples.

    Args:
      logits: (R, C).
      mask: (R,) bool, False on padding.
      axis_name: the mapped device axis over which the rows are split, else None.

    Returns:
      () float, 0 where the mean prediction is uniform or no row is real.
    """
    uniform = 1 / logits.shape[-1]
    mean = masked_mean(jax.nn.softmax(logits), mask, axis_name)
    # Rows of padding alone have mean 0.
    mean = jnp.where(jnp.sum(mean) > 0, mean, uniform)
    floor = jnp.finfo(mean.dtype).tiny
    return jnp.mean(jnp.log(uniform) - jnp.log(jnp.maximum(mean, floor)))


def semi_supervised_order(
    key: jax.Array, labeled: jax.Array, batch_size: int, padding_index: int
) -> jax.Array:
    """An epoch's batches: half of each labelled, half of it not.

    Either kind is gone through in a random order, again and again until the epoch
    ends, whichever is longer; a kind with fewer examples than half a batch fills the
    rest with padding, so that no batch holds an example twice.

    Args:
      key: PRNG key.
      labeled: (N,) bool, possibly traced.
      batch_size: B, even.
      padding_index: stands for "no example".

    Returns:
      (ceil(N / B), B / 2, 2) int32; on the last axis labelled and unlabelled.

    Raises:
      ValueError: an odd batch size.
    """
    return pools_order(
        key,
        jnp.where(labeled, LABELED, UNLABELED),
        num_pools=2,
        batch_size=batch_size,
        steps=-(-labeled.shape[0] // batch_size),
        padding_index=padding_index,
    )


def check_mixing(
    lambda_u: float, temperature: float, num_views: int, alpha: float
) -> None:
    """Raises `ValueError` for a hyper-parameter of MixMatch outside its range."""
    checks.in_range("lambda_u", lambda_u, 0)
    checks.in_range("temperature", temperature, 0, low_open=True)
    checks.at_least("num_views", num_views, 1)
    checks.in_range("alpha", alpha, 0, low_open=True)
