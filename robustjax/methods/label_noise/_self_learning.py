"""Deep self-learning: labels corrected by similarity to the prototypes of classes.

Han, Luo, Wang, "Deep Self-Learning From Noisy Labels", ICCV 2019 (also SMP, for
self-learning with multi-prototypes). A network trained for a while on the labels as
they are gives features; a few dense, distinct examples of every class stand for it;
every example is assigned to the class of the prototypes it resembles most, and the
network goes on with the given and the corrected label side by side.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from robustjax import checks, transforms
from robustjax.methods._example_count import (
    example_count,
    real_examples,
)
from robustjax.selection import _prototypes as prototypes_lib
from robustjax.training import (
    Phase,
    Recipe,
    TrainData,
    TrainState,
    apply_prediction,
    as_float,
    supervised,
)
from robustjax.training._supervised import Augment, Preprocess
from robustjax.transforms._label_rewriting import given_labels

# Steps fold numbers from 0 upwards into the run's key and epochs' orders numbers from
# 2^32 - 1 downwards; corrections count upwards from the middle.
_FIRST_CORRECTION = 2**31


def corrected_labels(state: TrainState) -> jax.Array:
    """The corrected labels in a state of `self_learning`.

    Args:
      state: of one repeat, or leaves (R, ...).

    Returns:
      (..., N_padded) int32; -1 before the first correction and on padding.
    """
    label = state.loss_state.rows["corrected"]["label"]
    classes = jnp.argmax(label, axis=-1).astype(jnp.int32)
    return jnp.where(jnp.sum(label, axis=-1) > 0, classes, -1)


def self_learning(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    warmup_epochs: int = 5,
    weight: float = 0.5,
    sample_size: int = 1280,
    num_prototypes: int = 8,
    prototypes: str = "density",
    percentile: float = 40.0,
    max_similarity: float = 0.95,
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """Cross-entropy to given and corrected labels, corrected again every epoch.

    The first `warmup_epochs` are plain cross-entropy. From then on, before every
    epoch and with the weights of that moment: features of all training examples
    (un-augmented, in prediction mode), `sample_size` random examples of every given
    class, `num_prototypes` of them by density, and for *every* example the class of
    the largest mean cosine to its prototypes. The loss is
    `(1 - weight) CE(given) + weight CE(corrected)`. One more correction, by the final
    network, follows the last epoch: `corrected_labels(state)` then holds what the
    paper calls the final corrected labels.

    Published settings: 1,280 examples and 8 prototypes per class, weight 0.5 (their
    plots are without numbers; these are those of replications).
    Clothing1M: ImageNet ResNet-50, 15 epochs of batches of 128, momentum 0.9, weight
    decay 5e-3, learning rate 0.002, divided by 10 every 5 epochs; correction from the
    sixth epoch on, other replications after the first. Food-101N: 30 epochs, learning
    rate 0.01, divided by 10 every 10 epochs. The paper finds 320 to 2,560 examples per
    class equally good.

    There is no authors' code. Where the paper is silent: the cutoff of densities is
    the 40th ascending percentile of similarities (replications also have the 60th and
    the 75th), and a prototype is at most 0.95 similar to a denser example (one
    replication prefers *similar* ones, against the definition). Variants with verified
    labels are left out: the paper does not tell how these enter the prototypes.

    The paper calls the cutoff unimportant. Under much noise it is not: with a low one
    the densest examples of a given class are those between the classes. A cutoff that
    leaves about as many pairs above it as are of one true class makes density local:
    of labels that are right with probability q and else spread evenly, that is a
    percentile near `100 (1 - q^2)`. Measured on 20,000 images of MNIST after three
    epochs of a small CNN: with half of the labels wrong at random, 41 % of the
    prototypes were of a foreign class at the 40th percentile and none at the 75th and
    90th; with 45 % flipped to one other class, 32 % at the 40th, 1 % at the 60th and
    20 % at the 75th.

    Args:
      model: a Linen classifier with a method `features`.
      optimizer: any optax transformation.
      epochs: in all; more than `warmup_epochs`.
      warmup_epochs: before the first correction, >= 1; Algorithm 1's start epoch,
        which it counts from 1, is the one after them.
      weight: alpha of the corrected label, in [0, 1].
      sample_size: m, examples per class; a class with fewer gives all it has.
      num_prototypes: p, at most m.
      prototypes: "density", or "kmeans++" or "density_euclidean", with which the paper
        compares.
      percentile: of the density's cutoff, in [0, 100]; not with "kmeans++".
      max_similarity: the bound of prototypes' similarity to a denser example; with
        "density" alone.
      augment: `(key, inputs) -> inputs` in training; by default none.
      preprocess: applied after it, and in prediction; by default `as_float`.

    Returns:
      A recipe; the corrected labels, one-hot, are the rows ["corrected"]["label"]
      (N_padded, C), 0 until there are any. A correction holds all features, (N_padded,
      d), at once. Metrics: "loss", "accuracy" (to the given labels).

    Raises:
      ValueError: a number outside its range, unknown `prototypes`, an option that
        these do not have, or a model without `features`.
    """
    checks.at_least("warmup_epochs", warmup_epochs, 1)
    checks.at_least("epochs", epochs, warmup_epochs + 1)
    checks.at_least("num_prototypes", num_prototypes, 1)
    checks.at_least("sample_size", sample_size, num_prototypes)
    checks.one_of("prototypes", prototypes, prototypes_lib.KINDS)
    checks.in_range("percentile", percentile, 0, 100)
    why = f"with prototypes={prototypes!r}"
    if prototypes == "kmeans++":
        checks.no_effect("percentile", percentile, 40.0, why)
    if prototypes != "density":
        checks.no_effect("max_similarity", max_similarity, 0.95, why)
    if not callable(getattr(type(model), "features", None)):
        raise ValueError(
            f"model: got {type(model).__name__}, expected one with a method 'features'"
        )
    transform = transforms.named_chain(
        examples=example_count(), corrected=given_labels(weight), head=transforms.ce()
    )
    plain = supervised(
        model, transform, optimizer, augment=augment, preprocess=preprocess
    )

    def features_of(params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        return apply_prediction(
            model, params, model_state, preprocess(inputs), method="features"
        )

    def correct(state: TrainState, data: TrainData, features: jax.Array) -> TrainState:
        rows = state.loss_state.rows
        label = rows["corrected"]["label"]
        size, num_classes = label.shape
        real = real_examples(state, size)
        number = jnp.uint32(_FIRST_CORRECTION) + state.epoch.astype(jnp.uint32)
        sample_key, class_key = jax.random.split(jax.random.fold_in(state.key, number))
        sample = prototypes_lib.sample_per_class(
            sample_key,
            data.labels,
            real,
            num_classes=num_classes,
            size=max(num_prototypes, min(sample_size, size)),
        )
        found = prototypes_lib.class_prototypes(
            class_key,
            features,
            sample,
            count=num_prototypes,
            kind=prototypes,
            percentile=percentile,
            max_similarity=max_similarity,
        )
        corrected = prototypes_lib.assign_labels(features, found)
        one_hot = jax.nn.one_hot(corrected, num_classes, dtype=label.dtype)
        one_hot = jnp.where(real[:, None], one_hot, 0.0)
        rows = {**rows, "corrected": {"label": one_hot}}
        return state.with_rows(rows)

    correcting = plain._replace(evaluate=features_of, epoch=correct)
    # The last epoch of the warm-up ends with the first correction.
    after = Phase(correcting, epochs - warmup_epochs + 1)
    if warmup_epochs == 1:
        return Recipe((after,))
    return Recipe((Phase(plain, warmup_epochs - 1), after))
