"""What open-set active learning learns from its pool before any label is asked for."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from robustjax import checks
from robustjax.data import augmentation
from robustjax.methods.active_learning._csi import (
    ROTATIONS,
    check_square_images,
    csi,
)
from robustjax.methods.features._simclr import simclr, train_simclr
from robustjax.training import (
    Algorithm,
    CheckpointFolder,
    Execution,
    Program,
    StopRequest,
    TrainState,
)

EmbeddingReport = Callable[[str, int, dict[str, np.ndarray]], None]
"""`(network, epoch, metrics)`; the network is "csi" or "simclr"."""


def embed(program: Program, state: TrainState, images: jax.Array) -> jax.Array:
    """What a contrastive network says of images, on the device.

    Args:
      program: from `train_simclr`.
      state: with it.
      images: (N, H, W, C), uint8 or floats in [0, 1].

    Returns:
      (N, D) float32; of the first repeat, if there are several.
    """
    return program.predict(state, images)[0]


def pool_embeddings(
    key: jax.Array,
    images: np.ndarray | jax.Array,
    encoder: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    batch_size: int,
    rotations: bool = False,
    temperature: float = 0.5,
    projection: Sequence[int] = (512, 128),
    flip: bool = True,
    augment: augmentation.Augmentation | None = None,
    execution: Execution | None = None,
    report: EmbeddingReport | None = None,
    stop: StopRequest | None = None,
    checkpoints: pathlib.Path | str | None = None,
) -> dict[str, jax.Array]:
    """Trains `csi`, and `simclr` if asked for, on a whole pool without labels.

    MQNet takes purity from cosines of the "projections"; CCAL takes its semantic
    score from a network that was not taught rotations and its distinctive one from
    one that was, both on all four rotations. CCAL publishes 700 epochs of SGD without
    momentum in batches of 32.

    Args:
      key: PRNG key.
      images: (N, H, H, C), uint8 or floats in [0, 1]; the pool, in its order.
      encoder: see `simclr`; every network is trained from scratch.
      optimizer: of each network.
      epochs: of each network.
      batch_size: images per step, of which CSI makes eight views each and SimCLR two.
      rotations: whether "semantic" and "distinctive" are wanted, too.
      temperature: of both losses, > 0.
      projection: widths of both projection heads; the last is e.
      flip: whether mirror images mean the same; not so for digits or text.
      augment: see `csi`; SimCLR's views are mirrored first, too, if `flip`.
      execution: see `train_simclr`.
      report: called after every epoch.
      stop: see `fit`.
      checkpoints: a folder for the states of both, from which training goes on; by
        default nowhere.

    Returns:
      "projections" (N, e) float32, and with `rotations` "semantic" and "distinctive"
      (4, N, e) of the images turned by 0, 90, 180 and 270 degrees.

    Raises:
      ValueError: a pool that is not of square images, or see `csi`, `train_simclr`.
    """
    check_square_images(images)
    checks.at_least("epochs", epochs, 1)
    images = jnp.asarray(images)
    csi_key, simclr_key = jax.random.split(key)
    common: dict[str, Any] = {
        "temperature": temperature,
        "projection": projection,
        "outputs": "projections",
    }

    def train(
        name: str, algorithm: Algorithm, key: jax.Array
    ) -> tuple[Program, TrainState]:
        def reported(epoch: int, metrics: dict[str, np.ndarray]) -> None:
            if report is not None:
                report(name, epoch, metrics)

        folder = None if checkpoints is None else pathlib.Path(checkpoints) / name
        return train_simclr(
            algorithm,
            images,
            key,
            epochs=epochs,
            batch_size=batch_size,
            execution=execution,
            report=reported,
            stop=stop,
            checkpoints=None if folder is None else CheckpointFolder(folder),
        )

    def turned(trained: tuple[Program, TrainState]) -> jax.Array:
        # One rotation after the other: four copies of a pool may not fit.
        found = [
            embed(*trained, jnp.rot90(images, turns, axes=(1, 2)))
            for turns in range(ROTATIONS)
        ]
        return jnp.stack(found)

    trained = train(
        "csi", csi(encoder, optimizer, flip=flip, augment=augment, **common), csi_key
    )
    if not rotations:
        return {"projections": embed(*trained, images)}
    distinctive = turned(trained)
    change = augment or augmentation.simclr_augmentation(flip=False)
    if flip:
        change = augmentation.compose(augmentation.random_flip, change)
    plain = simclr(encoder, optimizer, augment=change, **common)
    return {
        "projections": distinctive[0],
        "distinctive": distinctive,
        "semantic": turned(train("simclr", plain, simclr_key)),
    }
