"""Which labels two networks take for right, by their losses: DivideMix's "co-divide".

Li, Socher, Hoi, "DivideMix: Learning with Noisy Labels as Semi-supervised Learning",
ICLR 2020, section 3.1. What is divided is the data set, network by network, at the end
of an epoch; in the next one, each network learns by the division of its peer.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from robustjax import losses
from robustjax.methods._semi_supervised import masked_mean, semi_supervised_order
from robustjax.methods._two_networks import NETWORKS
from robustjax.scores._mixture import (
    fit_two_gaussians,
    min_max_normalize,
    posterior_of_lower,
)
from robustjax.transforms import ExampleSpec, LossState


def clean_probabilities(levels: jax.Array, mask: jax.Array) -> jax.Array:
    """The probability that a label is right, by the losses of either network.

    Args:
      levels: (N, 2) losses of two networks, each scaled to [0, 1].
      mask: (N,) bool, False on padding.

    Returns:
      (N, 2) probabilities, 0 on padding: under the mixture of two Gaussians fitted to a
      network's losses, that of the component of smaller mean.
    """

    def one(level: jax.Array) -> jax.Array:
        return posterior_of_lower(level, fit_two_gaussians(level, mask))

    return jnp.where(mask[:, None], jax.vmap(one, 1, 1)(levels), 0.0)


def all_right(spec: ExampleSpec, average_epochs: int) -> LossState:
    """The division before the first one: all labels are right.

    Args:
      spec: of the examples.
      average_epochs: see `divide`.

    Returns:
      Rows "clean_probability" (N_padded, 2) and, if they are averaged, the levels of
      the last epochs; and the number of divisions, and the share of labels that the
      last one took for right.
    """
    shape = (spec.padded_examples, NETWORKS)
    rows = {"clean_probability": jnp.ones(shape, jnp.float32)}
    if average_epochs > 1:
        rows["history"] = jnp.zeros((*shape, average_epochs), jnp.float32)
    shared = {
        "num_examples": jnp.int32(spec.num_examples),
        "divisions": jnp.int32(0),
        "labeled_share": jnp.float32(1.0),
    }
    return LossState(rows, shared)


def divide(
    memory: LossState,
    labels: jax.Array,
    logits: jax.Array,
    *,
    threshold: float,
    average_epochs: int,
) -> LossState:
    """The next division.

    Args:
      memory: from `all_right` or here.
      labels: (N_padded,) given labels.
      logits: (N_padded, 2, C) of all examples, by either network.
      threshold: above which the probability makes a label count as right.
      average_epochs: to how many epochs' scaled losses the mixtures are fitted, in the
        mean.
    """
    rows, shared = memory
    real = jnp.arange(logits.shape[0]) < shared["num_examples"]
    given = jnp.broadcast_to(labels[:, None], logits.shape[:-1])
    values = losses.cross_entropy(logits, given)
    levels = jax.vmap(min_max_normalize, (1, None), 1)(values, real)
    divisions = shared["divisions"] + 1
    new = {}
    if average_epochs > 1:
        kept = rows["history"][:, :, 1:]
        history = jnp.concatenate([kept, levels[:, :, None]], axis=-1)
        recorded = jnp.minimum(divisions, average_epochs)
        new["history"] = history
        levels = jnp.sum(history, axis=-1) / recorded
    clean = clean_probabilities(levels, real)
    new["clean_probability"] = clean
    chosen = jnp.mean(clean > threshold, axis=-1)
    shared = {
        **shared,
        "divisions": divisions,
        "labeled_share": masked_mean(chosen, real),
    }
    return LossState(new, shared)


def peer_orders(
    key: jax.Array,
    clean_probability: jax.Array,
    *,
    threshold: float,
    batch_size: int,
    padding_index: int,
) -> jax.Array:
    """An epoch's batches, either network's by the division of its peer.

    Args:
      key: PRNG key.
      clean_probability: (N, 2), by either network.
      threshold: see `divide`.
      batch_size: B, even.
      padding_index: stands for "no example".

    Returns:
      (ceil(N / B), B / 2, 2, 2) int32; on the last axes the network, and labelled and
      unlabelled examples.
    """
    labeled = jnp.flip(clean_probability > threshold, axis=1)

    def one(key: jax.Array, labeled: jax.Array) -> jax.Array:
        return semi_supervised_order(key, labeled, batch_size, padding_index)

    keys = jax.random.split(key, NETWORKS)
    return jax.vmap(one, in_axes=(0, 1), out_axes=2)(keys, labeled)
