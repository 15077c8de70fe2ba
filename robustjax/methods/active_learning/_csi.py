"""CSI: features that tell an image from others, and from its own rotations.

Tack, Mo, Jeong, Shin, "CSI: Novelty Detection via Contrastive Learning on
Distributionally Shifted Instances" (NeurIPS 2020). Open-set active learning takes
from it how close an example is to labelled ones (MQNet, CCAL).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from robustjax import checks, losses, transforms
from robustjax.data import augmentation
from robustjax.methods.features._simclr import ContrastiveNetwork
from robustjax.training import Algorithm, TrainState, fresh_state, no_epoch
from robustjax.training._supervised import share_of
from robustjax.transforms import ExampleSpec, LossState

ROTATIONS = 4
"""Shifted instances of an image: turned by 0, 90, 180 and 270 degrees."""


def check_square_images(images: Any) -> None:
    """Raises `ValueError` unless images are square, (N, H, H, C)."""
    shape = jnp.shape(images)
    if len(shape) != 4:
        raise ValueError(
            f"images: got shape {shape}, expected images (N, H, W, C); vectors have no "
            "rotations"
        )
    if shape[1] != shape[2]:
        raise ValueError(
            f"images: got {shape[1]} by {shape[2]} pixels, expected square images, "
            "whose rotations have one shape"
        )


def four_rotations(images: jax.Array) -> jax.Array:
    """Images turned counterclockwise by 0, 90, 180 and 270 degrees.

    Args:
      images: (B, H, H, C) of any dtype.

    Returns:
      (4, B, H, H, C) of that dtype.

    Raises:
      ValueError: images that are not square, or of another rank.
    """
    check_square_images(images)
    return jnp.stack(
        [jnp.rot90(images, turns, axes=(1, 2)) for turns in range(ROTATIONS)]
    )


def csi(
    encoder: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    temperature: float = 0.5,
    projection: Sequence[int] = (512, 128),
    flip: bool = True,
    augment: augmentation.Augmentation | None = None,
    outputs: str = "features",
) -> Algorithm:
    """Contrastive training against rotations; labels are ignored.

    A step takes two copies of every image, mirrored at random, turns each four ways
    and changes every one of the 8 B views by itself. Two views are positives if they
    are of one image and one rotation; all others are negatives, other rotations of
    the same image as well. To NT-Xent is added, with weight 1, the cross-entropy of a
    linear layer on the features that tells the rotation. Padding is as in `simclr`.
    Train it with `train_simclr`.

    Published settings (CIFAR-10, ResNet-18): batches of 32 images on each of four
    devices, so 256 views to compare; 1000 epochs; LARS with momentum 0.9, weight decay
    1e-6 and a learning rate that goes from 0.1 to 1 over 10 epochs and falls to 0 as a
    cosine, see `csi_optimizer`; temperature 0.5; a projection head of 512 and 128.
    Open-set active learning trains it on the whole pool, whatever its labels will be.

    Differences from the authors' code: crops stay inside the image where theirs
    reflect at its border, come before the colours change, and the last layer of the
    head has no bias. Images are in [0, 1] wherever they are changed (MQNet's code
    normalises them first, and its colour jitter then clips most of them).

    Args:
      encoder: see `simclr`.
      optimizer: any optax transformation.
      temperature: of the loss, > 0.
      projection: widths of the projection head.
      flip: whether copies are mirrored at random before they are turned; not for
        digits or text.
      augment: `(key, images) -> images`, after the rotation; by default
        `simclr_augmentation(flip=False)`. It should neither mirror nor turn: a mirror
        image of one turned by 90 degrees looks like one turned by 270.
      outputs: what `predict` gives: the encoder's "features" (B, D), or the
        "projections" (B, projection[-1]) that the loss compares.

    Returns:
      An `Algorithm` on images (N, H, H, C), uint8 or floats in [0, 1]. Metrics: "loss",
      "contrastive_loss", "shift_loss" and "shift_accuracy", the share of views whose
      rotation was told.

    Raises:
      ValueError: a temperature or width out of range, unknown outputs, or an encoder
        without `features`; at `init`, images that are not square.
    """
    checks.in_range("temperature", temperature, 0, low_open=True)
    network = ContrastiveNetwork.checked(encoder, projection, outputs)
    change = augment or augmentation.simclr_augmentation(flip=False)
    shift_layer = nn.Dense(ROTATIONS)

    def init(key: jax.Array, sample_inputs: jax.Array, spec: ExampleSpec) -> TrainState:
        del spec
        check_square_images(sample_inputs)
        encoder_key, head_key, shift_key, run_key = jax.random.split(key, 4)
        params, model_state, features = network.init(
            encoder_key, head_key, sample_inputs
        )
        params["shift"] = shift_layer.init(shift_key, features)["params"]
        nothing = LossState(rows={}, shared={})
        return fresh_state(params, model_state, nothing, optimizer, run_key)

    def views_of(key: jax.Array, images: jax.Array) -> jax.Array:
        """(8 B, H, H, C): the first copy's rotations, then the second's."""
        flip_key, change_key = jax.random.split(key)
        copies = jnp.concatenate([augmentation.to_float(images)] * 2)
        if flip:
            copies = augmentation.random_flip(flip_key, copies)
        turned = [four_rotations(copy) for copy in jnp.split(copies, 2)]
        views = jnp.concatenate(turned)
        return change(change_key, views.reshape(-1, *views.shape[2:]))

    def objective(
        params: Any,
        state: TrainState,
        batch: transforms.Batch,
        key: jax.Array,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, tuple[TrainState, dict[str, jax.Array]]]:
        view_key, dropout_key = jax.random.split(key)
        terms = transforms.start(batch)
        size = terms.mask.shape[0]
        features, embeddings, changed = network.train(
            params,
            state.model_state,
            views_of(view_key, batch["inputs"]),
            key=dropout_key,
            mask=jnp.tile(terms.mask, 2 * ROTATIONS),
        )
        first, second = jnp.split(embeddings, 2)
        instances = jnp.tile(terms.mask, ROTATIONS)
        contrastive = losses.nt_xent(
            first, second, temperature=temperature, mask=instances
        )
        logits = jnp.asarray(shift_layer.apply({"params": params["shift"]}, features))
        shift = jnp.tile(jnp.repeat(jnp.arange(ROTATIONS), size), 2)
        told = losses.cross_entropy(logits, shift)
        right = jnp.argmax(logits, axis=-1) == shift

        def mean(values: jax.Array) -> jax.Array:
            of_examples = values.reshape(-1, size).mean(axis=0)
            return transforms.reduce(terms.replace(value=of_examples), axis_name)

        metrics = {
            "contrastive_loss": mean(contrastive),
            "shift_loss": mean(told),
            "shift_accuracy": share_of(right, jnp.tile(terms.mask, 2 * ROTATIONS)),
        }
        loss = metrics["contrastive_loss"] + metrics["shift_loss"]
        metrics["loss"] = loss
        return loss, (state._replace(model_state=changed), metrics)

    def predict(params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        return network.predict(params, model_state, inputs, outputs)

    return Algorithm(init, objective, no_epoch, predict, optimizer)


def csi_optimizer(
    *,
    epochs: int,
    steps_per_epoch: int,
    learning_rate: float = 1.0,
    warmup_epochs: int = 10,
    weight_decay: float = 1e-6,
    momentum: float = 0.9,
) -> optax.GradientTransformation:
    """LARS with a warm-up and a cosine, as published for `csi`.

    LARS (You, Gitman, Ginsburg, 2017) scales the step of every parameter array by its
    norm over that of its gradient, times 0.001. Here the decay is part of the gradient
    when its norm is taken; the authors' package adds the two norms.

    Args:
      epochs: in all.
      steps_per_epoch: in each.
      learning_rate: the highest, > 0; the warm-up starts at a tenth of it.
      warmup_epochs: of rising linearly; at most half of all.
      weight_decay: >= 0, coupled.
      momentum: in [0, 1).

    Raises:
      ValueError: values out of range.
    """
    checks.at_least("epochs", epochs, 1)
    checks.at_least("steps_per_epoch", steps_per_epoch, 1)
    checks.at_least("warmup_epochs", warmup_epochs, 0)
    checks.in_range("learning_rate", learning_rate, 0, low_open=True)
    checks.in_range("weight_decay", weight_decay, 0)
    checks.in_range("momentum", momentum, 0, 1, high_open=True)
    schedule = optax.warmup_cosine_decay_schedule(
        learning_rate / 10,
        learning_rate,
        min(warmup_epochs, epochs // 2) * steps_per_epoch,
        epochs * steps_per_epoch,
    )
    return optax.lars(schedule, weight_decay=weight_decay, eps=1e-8, momentum=momentum)
