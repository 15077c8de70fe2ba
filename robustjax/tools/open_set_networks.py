"""Classifiers and embeddings of a pool with foreign examples, from options."""

from __future__ import annotations

import contextlib
import io
import pathlib
import shutil
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from robustjax import checks, data
from robustjax.data.augmentation._images import in_unit_range
from robustjax.methods.active_learning import (
    NetworkPoolClassifier,
    Observation,
    csi,
    csi_optimizer,
    pool_embeddings,
)
from robustjax.tools.augmentations import WEAK_AUGMENTATIONS, weak_augmentation
from robustjax.tools.channel_statistics import channel_statistics
from robustjax.tools.networks import make_network, network_of_flags
from robustjax.tools.optimizer import OptimizerOptions, make_optimizer
from robustjax.tools.options.open_set import VARIANTS, OpenSetFlags
from robustjax.training import (
    Augment,
    Execution,
    Preprocess,
    StopRequest,
    advance,
    as_float,
    choose_execution,
    progress_bar,
)
from robustjax.transforms import ExampleSpec

Kind = tuple[bool, bool]
"""(with loss prediction, with an OOD output that is not trained)"""


def check_open_set(config: OpenSetFlags) -> None:
    """Raises `ValueError` for a bad option, before any data is loaded."""
    checks.one_of("classifier_variant", config.classifier_variant, VARIANTS)
    checks.in_range("taufe_weight", config.taufe_weight, 0)
    checks.one_of("augment", config.augment, WEAK_AUGMENTATIONS)
    checks.one_of("embedding_optimizer", config.embedding_optimizer, ("lars", "adam"))
    checks.in_range(
        "embedding_learning_rate", config.embedding_learning_rate, 0, low_open=True
    )


def kind_of(wants: Collection[str]) -> Kind:
    """The classifier that goes with what a strategy wants."""
    return "loss_prediction" in wants, "ood_output" in wants


def optimizer_options(config: OpenSetFlags) -> OptimizerOptions:
    """The optimiser's part of the flags."""
    return OptimizerOptions.of(config)


class Classifiers:
    """Classifiers of a study; each kind is compiled once per size of pool.

    All strategies of a task begin with the same labels and the same key, so that the
    first training of each kind is done once for all of them.
    """

    def __init__(
        self,
        config: OpenSetFlags,
        num_classes: int,
        sample: np.ndarray,
        stop: StopRequest,
    ):
        """Checks the flags of the optimiser.

        Args:
          config: the flags.
          num_classes: k.
          sample: inputs that images are normalised by.
          stop: checked after every epoch.

        Raises:
          ValueError: a flag that is out of range.
        """
        optimizer_options(config).check()
        self._config, self._num_classes = config, num_classes
        self._preprocess: Preprocess = as_float
        if sample.ndim == 4:
            self._preprocess = data.normalize(*channel_statistics(sample))
        elif config.augment != "none":
            raise ValueError(
                f"augment: got {config.augment} for inputs of shape "
                f"{sample.shape[1:]}, expected none unless they are images"
            )
        self._stop = stop
        self._made: dict[tuple[int, Kind], NetworkPoolClassifier] = {}

    def of(
        self, inputs: np.ndarray | jax.Array, kind: Kind, initial: Any = ()
    ) -> FirstFitKept:
        """A classifier on a pool.

        Args:
          inputs: (N, ...) of the pool; put on the device, if they are not there yet.
          kind: see `kind_of`.
          initial: (I,) rows that are labelled before the first round, whose training
            is kept; of none, nothing is.

        Raises:
          ValueError: a network that is unknown or does not fit.
        """
        size = len(inputs), kind
        if size not in self._made:
            # Kept for the whole study, longer than any pool.
            self._made[size] = self._make(inputs, kind).without_pool()
        return FirstFitKept(self._made[size].on(inputs), initial)

    def _make(
        self, inputs: np.ndarray | jax.Array, kind: Kind
    ) -> NetworkPoolClassifier:
        config = self._config
        images = inputs.ndim == 4
        execution = choose_execution(convolutional=images and config.network != "mlp")

        def make_model(outputs: int) -> nn.Module:
            return network_of_flags(
                config,
                outputs,
                inputs_rank=inputs.ndim,
                convolution=execution.convolution,
            )

        with checks.errors_name(make_model="network", inputs="network"):
            return NetworkPoolClassifier(
                make_model,
                inputs,
                self._num_classes,
                make_optimizer(
                    optimizer_options(config),
                    config.epochs,
                    config.steps_per_epoch,
                ),
                epochs=config.epochs,
                steps_per_epoch=config.steps_per_epoch,
                batch_size=config.batch_size,
                variant=VARIANTS[config.classifier_variant],
                loss_prediction=kind[0],
                ood_output=kind[1],
                taufe_weight=config.taufe_weight,
                augment=weak_augmentation(config.augment) if images else None,
                preprocess=self._preprocess,
                execution=execution,
                stop=self._stop,
            )


class FirstFitKept:
    """A classifier that keeps the training on the initial set, and what it says."""

    def __init__(self, classifier: NetworkPoolClassifier, initial: Any = ()):
        """Keeps nothing yet.

        Args:
          classifier: is trained.
          initial: (I,) rows of the initial set. A run that was resumed trains on more
            of them first, which serves no other strategy.
        """
        self._classifier = classifier
        self._initial = np.sort(np.asarray(initial, np.int64))
        self._first: tuple[bytes, Any, Observation] | None = None

    def fit(self, key: jax.Array, labels: np.ndarray) -> Any:
        """See `PoolClassifier`."""
        given = np.asarray(jax.random.key_data(key)).tobytes() + labels.tobytes()
        if self._first is not None and self._first[0] == given:
            return self._first[1]
        fitted = self._classifier.fit(key, labels)
        if np.array_equal(np.flatnonzero(labels >= 0), self._initial):
            self._first = given, fitted, self._classifier.observe(fitted)
        return fitted

    def observe(self, fitted: Any) -> Observation:
        """See `PoolClassifier`."""
        if self._first is not None and self._first[1] is fitted:
            return self._first[2]
        return self._classifier.observe(fitted)

    def predict(self, fitted: Any, inputs: Any) -> jax.Array:
        """See `PoolClassifier`."""
        return self._classifier.predict(fitted, inputs)


def needs_embeddings(wants: Collection[str]) -> bool:
    """Whether strategies want to know something of a pool before the first round."""
    return "rotations" in wants or "projections" in wants


def train_embeddings(
    config: OpenSetFlags,
    key: jax.Array,
    inputs: np.ndarray,
    wants: Collection[str],
    progress: pathlib.Path,
    stop: StopRequest,
) -> bytes:
    """Trains what strategies want to know of a pool before the first round.

    Args:
      config: the flags.
      key: PRNG key.
      inputs: (N, ...) of the pool.
      wants: of all strategies together.
      progress: folder for checkpoints meanwhile; removed in the end.
      stop: checked after every epoch, which is saved.

    Returns:
      The embeddings as an `.npz` file; see `read_embeddings`.

    Raises:
      ValueError: inputs that are no square images, or bad flags.
    """
    rotations = "rotations" in wants
    found = _train_embeddings(config, key, inputs, rotations, progress, stop)
    trained: dict[str, Any] = {part: np.asarray(x) for part, x in found.items()}
    content = io.BytesIO()
    np.savez(content, **trained)
    shutil.rmtree(progress, ignore_errors=True)
    return content.getvalue()


def read_embeddings(content: bytes) -> Mapping[str, jax.Array]:
    """What `train_embeddings` has returned, on the device."""
    with np.load(io.BytesIO(content)) as arrays:
        return {part: jnp.asarray(arrays[part]) for part in arrays}


class _EmbeddingParts(NamedTuple):
    """What contrastive networks are made of."""

    encoder: nn.Module
    optimizer: optax.GradientTransformation
    augment: Augment
    execution: Execution
    batch_size: int


def check_embeddings(
    config: OpenSetFlags, inputs: np.ndarray, wants: Collection[str]
) -> None:
    """Builds what `train_embeddings` would train, if anything, and trains nothing.

    Args:
      config: the flags.
      inputs: (N, ...) of the pool.
      wants: of all strategies together.

    Raises:
      ValueError: see `train_embeddings`.
    """
    if not needs_embeddings(wants):
        return
    parts = _embedding_parts(config, inputs)
    sample = jax.ShapeDtypeStruct((1, *inputs.shape[1:]), inputs.dtype)
    with _errors_name_embedding_flags():
        in_unit_range(inputs)
        algorithm = csi(
            parts.encoder,
            parts.optimizer,
            projection=config.embedding_projection,
            augment=parts.augment,
        )
        jax.eval_shape(
            lambda x: algorithm.init(jax.random.key(0), x, ExampleSpec(1, 2)), sample
        )


def _errors_name_embedding_flags() -> contextlib.AbstractContextManager[None]:
    return checks.errors_name(
        epochs="embedding_epochs",
        batch_size="embedding_batch_size",
        projection="embedding_projection",
        images="dataset",
        network="embedding_network",
        crop_scale="embedding_crop",
        pooling="embedding_pooling",
        **{"channels and hidden": "embedding_channels and embedding_hidden"},
    )


def _embedding_parts(config: OpenSetFlags, inputs: np.ndarray) -> _EmbeddingParts:
    if inputs.ndim != 4:
        raise ValueError(
            "methods: got one that compares images with their rotations (CSI, "
            f"CCAL), expected images, not inputs of shape {inputs.shape[1:]}; for such "
            "inputs mqnet has --options=mqnet.purity=features"
        )
    execution = choose_execution(convolutional=config.embedding_network != "mlp")
    batch_size = min(config.embedding_batch_size, len(inputs))
    steps = -(-len(inputs) // batch_size)
    rate, epochs = config.embedding_learning_rate, config.embedding_epochs
    if config.embedding_optimizer == "lars":
        optimizer = csi_optimizer(
            epochs=epochs, steps_per_epoch=steps, learning_rate=rate
        )
    else:
        optimizer = optax.adam(optax.cosine_decay_schedule(rate, epochs * steps))
    colored = inputs.shape[-1] == 3
    with _errors_name_embedding_flags():
        encoder = make_network(
            config.embedding_network,
            # Its head is not made.
            2,
            inputs_rank=4,
            channels=config.embedding_channels,
            hidden=config.embedding_hidden,
            downsampling=config.downsampling,
            dtype=config.dtype,
            convolution=execution.convolution,
            pooling=config.embedding_pooling,
        )
        augment = data.simclr_augmentation(
            crop_scale=(config.embedding_crop, 1.0),
            flip=False,
            jitter=0.5 if colored else 0.0,
            grayscale=0.2 if colored else 0.0,
        )
    return _EmbeddingParts(encoder, optimizer, augment, execution, batch_size)


def _train_embeddings(
    config: OpenSetFlags,
    key: jax.Array,
    inputs: np.ndarray,
    rotations: bool,
    progress: pathlib.Path,
    stop: StopRequest,
) -> dict[str, jax.Array]:
    parts = _embedding_parts(config, inputs)
    total = config.embedding_epochs * (1 + rotations)
    with progress_bar(total, f"embeddings, {progress.name}", unit="epoch") as bar:

        def report(name: str, epoch: int, metrics: dict[str, np.ndarray]) -> None:
            first = config.embedding_epochs * (name != "csi")
            bar.set_postfix(
                network=name, loss=f"{float(metrics['loss'].mean()):.3f}", refresh=False
            )
            # Those before a restart are done, too.
            bar.update(first + epoch - bar.n)
            advance(bar)

        with _errors_name_embedding_flags():
            return pool_embeddings(
                key,
                inputs,
                parts.encoder,
                parts.optimizer,
                epochs=config.embedding_epochs,
                batch_size=parts.batch_size,
                rotations=rotations,
                projection=config.embedding_projection,
                flip=config.embedding_flip,
                augment=parts.augment,
                execution=parts.execution,
                report=report,
                stop=stop,
                checkpoints=progress,
            )
