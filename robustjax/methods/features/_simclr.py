"""SimCLR: features of images without labels (Chen et al., ICML 2020).

"A Simple Framework for Contrastive Learning of Visual Representations". An encoder
and a projection head are trained so that two random changes of an image are closer
to each other than to those of other images; the head is then thrown away. Label
correction, noise detection and selection take the features from here when there is
no published network for the kind of images at hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from robustjax import checks, losses, transforms
from robustjax.data import augmentation
from robustjax.data.augmentation._images import in_unit_range
from robustjax.training import (
    Algorithm,
    CheckpointFolder,
    Execution,
    Program,
    StopRequest,
    TrainState,
    apply_prediction,
    apply_training,
    choose_execution,
    fit,
    fresh_state,
    no_epoch,
)
from robustjax.training._fit import EpochReport
from robustjax.transforms import ExampleSpec, LossState


class ProjectionHead(nn.Module):
    """Dense layers with ReLU between them; the last one without bias.

    Attributes:
      widths: of the layers; the last is the dimension of the embedding.
    """

    widths: Sequence[int]

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        """Embeddings (B, widths[-1]) of features (B, D)."""
        x = features
        for width in self.widths[:-1]:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(self.widths[-1], use_bias=False)(x)


OUTPUTS = ("features", "projections")
"""What the `predict` of a contrastive algorithm can give."""


class ContrastiveNetwork(NamedTuple):
    """An encoder and a projection head, with parameters under their names.

    Attributes:
      encoder: a Linen module with `features`.
      projection: of its features.
    """

    encoder: nn.Module
    projection: ProjectionHead

    @classmethod
    def checked(
        cls, encoder: nn.Module, widths: Sequence[int], outputs: str
    ) -> ContrastiveNetwork:
        """Raises `ValueError` for an encoder, widths or outputs that will not do."""
        checks.one_of("outputs", outputs, OUTPUTS)
        if not callable(getattr(type(encoder), "features", None)):
            raise ValueError(
                f"encoder: got {type(encoder).__name__}, expected a network with "
                "'features'"
            )
        if not widths:
            raise ValueError("projection: got no layer, expected at least one width")
        for width in widths:
            checks.at_least("projection", width, 1)
        return cls(encoder, ProjectionHead(tuple(widths)))

    def init(
        self, encoder_key: jax.Array, head_key: jax.Array, sample_inputs: jax.Array
    ) -> tuple[dict[str, Any], dict[str, Any], jax.Array]:
        """(parameters, further collections, the sample's features)."""
        images = augmentation.to_float(sample_inputs)
        features, variables = self.encoder.init_with_output(
            encoder_key, images, train=False, method="features"
        )
        model_state = dict(variables)
        params = {
            "encoder": model_state.pop("params"),
            "projection": self.projection.init(head_key, features)["params"],
        }
        return params, model_state, features

    def train(
        self,
        params: Any,
        model_state: Mapping[str, Any],
        images: jax.Array,
        *,
        key: jax.Array,
        mask: jax.Array,
    ) -> tuple[jax.Array, jax.Array, dict[str, Any]]:
        """(features (M, D), embeddings (M, e), changed collections) in training."""
        features, changed = apply_training(
            self.encoder,
            params["encoder"],
            model_state,
            images,
            key=key,
            mask=mask,
            method="features",
        )
        return features, self.project(params, features), changed

    def project(self, params: Any, features: jax.Array) -> jax.Array:
        """Embeddings (M, e) of features (M, D)."""
        variables = {"params": params["projection"]}
        return jnp.asarray(self.projection.apply(variables, features))

    def predict(
        self, params: Any, model_state: Any, inputs: jax.Array, outputs: str
    ) -> jax.Array:
        """Features (B, D) or embeddings (B, e) in prediction mode, see `OUTPUTS`."""
        features = apply_prediction(
            self.encoder,
            params["encoder"],
            model_state,
            augmentation.to_float(inputs),
            method="features",
        )
        return features if outputs == "features" else self.project(params, features)


def simclr(
    encoder: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    temperature: float = 0.5,
    projection: Sequence[int] = (128, 64),
    augment: augmentation.Augmentation | None = None,
    outputs: str = "features",
) -> Algorithm:
    """Contrastive training of an encoder; labels are ignored.

    Both views go through the encoder as one batch. Padding rows are nobody's
    negatives. Under an `axis_name` the negatives of an example are those on its own
    device, as if the batch were smaller; under `jax.jit` with a mesh they are those
    of the whole batch. Padding takes no part in BatchNorm. Differences from the paper:
    no LARS, no schedule (pass an optimiser), and no batch normalisation in the head.

    Published settings (CIFAR-10, ResNet-18): 1000 epochs, batches of 512, LARS with
    learning rate 1 per 256 images, 10 epochs of warm-up and cosine decay, weight decay
    1e-6, temperature 0.5, a last projection of 128, colour strength 0.5, no blur.

    Args:
      encoder: a Linen module with `features(inputs, train: bool) -> (B, D)`, such as
        `SmallCNN` or `ResNet`, with BatchNorm or without. A classifier will do: its
        head is neither made nor trained.
      optimizer: any optax transformation.
      temperature: of the loss, > 0; the paper's best for CIFAR-10 is 0.5.
      projection: widths of the projection head. The paper's last is 128; small data
        needs less.
      augment: `(key, images) -> images`; by default `simclr_augmentation()`.
      outputs: what `predict` gives: the encoder's "features" (B, D), or the
        "projections" (B, projection[-1]) that the loss compares.

    Returns:
      An `Algorithm`.

    Raises:
      ValueError: a temperature or width out of range, unknown outputs, or an encoder
        without `features`.
    """
    checks.in_range("temperature", temperature, 0, low_open=True)
    network = ContrastiveNetwork.checked(encoder, projection, outputs)
    augment = augment or augmentation.simclr_augmentation()

    def init(key: jax.Array, sample_inputs: jax.Array, spec: ExampleSpec) -> TrainState:
        del spec
        encoder_key, head_key, run_key = jax.random.split(key, 3)
        params, model_state, _ = network.init(encoder_key, head_key, sample_inputs)
        nothing = LossState(rows={}, shared={})
        return fresh_state(params, model_state, nothing, optimizer, run_key)

    def objective(
        params: Any,
        state: TrainState,
        batch: transforms.Batch,
        key: jax.Array,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, tuple[TrainState, dict[str, jax.Array]]]:
        first_key, second_key, dropout_key = jax.random.split(key, 3)
        images = batch["inputs"]
        views = [augment(k, images) for k in (first_key, second_key)]
        _, embeddings, changed = network.train(
            params,
            state.model_state,
            jnp.concatenate(views),
            key=dropout_key,
            mask=jnp.tile(batch["mask"], 2),
        )
        first, second = jnp.split(embeddings, 2)
        terms = transforms.start(batch)
        values = losses.nt_xent(first, second, temperature=temperature, mask=terms.mask)
        terms = terms.replace(value=values.reshape(2, -1).mean(axis=0))
        loss = transforms.reduce(terms, axis_name)
        return loss, (state._replace(model_state=changed), {"loss": loss})

    def predict(params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        return network.predict(params, model_state, inputs, outputs)

    return Algorithm(init, objective, no_epoch, predict, optimizer)


def train_simclr(
    algorithm: Algorithm,
    images: np.ndarray | jax.Array,
    key: jax.Array,
    *,
    epochs: int,
    batch_size: int,
    execution: Execution | None = None,
    report: EpochReport | None = None,
    stop: StopRequest | None = None,
    checkpoints: CheckpointFolder | None = None,
) -> tuple[Program, TrainState]:
    """Trains on images held on the device.

    Args:
      algorithm: from `simclr` or `csi`.
      images: (N, H, W, C), uint8 or floats in [0, 1]. Of several data sets, such as
        one of the task and one of other images, their concatenation; batches are drawn
        from all of them.
      key: PRNG key.
      epochs: how many.
      batch_size: examples per step, of two views each. More examples are more
        negatives.
      execution: how to run it; must fit the encoder's convolutions. By default that
        of a network whose convolutions are as `choose_execution` has them.
      report: see `fit`.
      stop: see `fit`.
      checkpoints: see `fit`.

    Returns:
      The program and the final state, for `encode` and `encoder_variables`.

    Raises:
      ValueError: another rank, or floats outside [0, 1], of which changes of colour
        leave nothing but black and white.
    """
    checks.rank("images", images, 4)
    images = jnp.asarray(in_unit_range(images))
    # Labels are not used; a specification has at least two classes.
    spec = ExampleSpec(len(images), 2)
    program = Program(
        algorithm,
        spec,
        batch_size=batch_size,
        execution=execution or choose_execution(convolutional=True),
        block_size=512,
    )
    data = program.make_data(images, np.zeros((1, len(images)), np.int32))
    state = program.init(key[None], images)
    state = fit(
        program,
        state,
        data,
        epochs=epochs,
        report=report,
        stop=stop,
        checkpoints=checkpoints,
    )
    return program, state


def encode(
    program: Program, state: TrainState, images: np.ndarray | jax.Array
) -> np.ndarray:
    """Features (or projections, see `simclr`) of images, in order.

    Args:
      program: from `train_simclr`.
      state: with it.
      images: (M, H, W, C), uint8 or floats in [0, 1].

    Returns:
      (M, D) float32; of the first repeat, if there are several.
    """
    return np.asarray(program.predict(state, jnp.asarray(images))[0])


def encoder_variables(
    state: TrainState, repeat: int = 0
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The trained encoder, without its projection head, to train a classifier from.

    Args:
      state: from `train_simclr`, leaves (R, ...).
      repeat: which repeat's.

    Returns:
      (parameters, further variable collections), as `fine_tuning.linear_probe` takes
      them; if the encoder is a classifier, its head is missing.
    """
    parts = dict(state.params["encoder"]), dict(state.model_state)
    return jax.tree.map(lambda leaf: leaf[repeat], parts)
