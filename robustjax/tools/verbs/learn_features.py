"""Learns features of images without labels: the verb `learn-features`."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn import linear_model

from robustjax import checks, data, methods
from robustjax.data.augmentation._images import in_unit_range
from robustjax.files import digest_of
from robustjax.models import SmallCNN
from robustjax.output_paths import check_output_file, check_output_folder
from robustjax.tools.command.fields import need_options
from robustjax.tools.command.output import say
from robustjax.tools.inputs import load_splits
from robustjax.tools.networks import DTYPES
from robustjax.tools.options.learn_features import LearnFeaturesConfig
from robustjax.training import (
    Algorithm,
    CheckpointFolder,
    Execution,
    Program,
    StopRequest,
    TrainState,
    choose_execution,
    progress_bar,
)


def main(config: LearnFeaturesConfig, stop: StopRequest) -> None:
    """Trains, writes the features, and says what they are worth."""
    need_options(config, "out")
    assert config.out is not None
    checks.in_range("learning_rate", config.learning_rate, 0, low_open=True)
    check_output_file("out", config.out, inputs={"dataset": config.dataset})
    progress = pathlib.Path(f"{config.out}.training")
    check_output_folder("out", progress)
    train, test = load_splits(
        config.dataset,
        config.train_split,
        config.test_split,
        data_dir=config.data_dir,
        image_size=config.image_size,
    )
    with checks.errors_name(images="dataset"):
        in_unit_range(train.inputs)
    execution = choose_execution(convolutional=True)
    encoder = SmallCNN(
        train.num_classes,
        blocks=tuple((width,) for width in config.channels),
        hidden=(),
        convolution=execution.convolution,
        dtype=DTYPES[config.dtype],
    )
    steps = -(-len(train) // config.batch_size) * config.epochs
    algorithm = methods.simclr(
        encoder,
        optax.adam(optax.cosine_decay_schedule(config.learning_rate, steps)),
        temperature=config.temperature,
        projection=config.projection,
        augment=data.simclr_augmentation(flip=config.flip),
    )
    say(f"{train.name}: {len(train):,} images")
    say(f"epochs as a {execution.loop}: {execution.reason}")
    # Another folder for all that the training depends on.
    checkpoints = CheckpointFolder(progress / _digest(config, train.inputs))
    program, state = _train(
        algorithm, train.inputs, config, execution, checkpoints, stop
    )
    _write(program, state, train, test, config)
    shutil.rmtree(progress, ignore_errors=True)


def _digest(config: LearnFeaturesConfig, inputs: np.ndarray) -> str:
    fields = dataclasses.asdict(config)
    settings = {
        name: value for name, value in fields.items() if name not in ("out", "data_dir")
    }
    text = json.dumps(settings, sort_keys=True)
    return digest_of(inputs, np.frombuffer(text.encode(), np.uint8))[:16]


def _train(
    algorithm: Algorithm,
    inputs: np.ndarray,
    config: LearnFeaturesConfig,
    execution: Execution,
    checkpoints: CheckpointFolder,
    stop: StopRequest,
) -> tuple[Program, TrainState]:
    """Trains, or continues from the newest checkpoint."""
    done = max(checkpoints.steps(), default=0)
    with progress_bar(config.epochs, "simclr", unit="epoch", done=done) as bar:

        def report(epoch: int, metrics: dict[str, np.ndarray]) -> None:
            del epoch
            loss = float(metrics["loss"].mean())
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update(1)

        return methods.train_simclr(
            algorithm,
            inputs,
            jax.random.key(config.seed),
            epochs=config.epochs,
            batch_size=config.batch_size,
            execution=execution,
            report=report,
            stop=stop,
            checkpoints=checkpoints,
        )


def _probe(train: data.Dataset, test: data.Dataset) -> float:
    """Test accuracy of a linear classifier on standardised features."""
    train, test = data.standardize(train, test)
    # In closed form: iterative solvers take minutes on thousands of features.
    classifier = linear_model.RidgeClassifier(alpha=len(train) / 10)
    classifier.fit(train.inputs, train.labels)
    return float(classifier.score(test.inputs, test.labels))


def _write(
    program: Program,
    state: TrainState,
    train: data.Dataset,
    test: data.Dataset,
    config: LearnFeaturesConfig,
) -> None:
    """Writes the features of both splits, and says what they are worth."""

    def encode(state: TrainState) -> list[data.Dataset]:
        return [
            dataclasses.replace(
                split, inputs=methods.encode(program, state, split.inputs)
            )
            for split in (train, test)
        ]

    assert config.out is not None
    learned = encode(state)
    data.save_npz(config.out, train=learned[0], test=learned[1])
    untrained = program.init(
        jax.random.key(config.seed)[None], jnp.asarray(train.inputs)
    )
    accuracy = {"learned": _probe(*learned), "untrained": _probe(*encode(untrained))}
    say(
        f"linear classifier on the features: {accuracy['learned']:.1%} test accuracy "
        f"({accuracy['untrained']:.1%} on those of the untrained network)"
    )
    say(f"features: {config.out}")
