"""Features of images without labels, by SimCLR (Chen et al., ICML 2020).

Where there is no published network for the images at hand, or no way to get one:

    python -m experiments.learn_features --dataset=cifar10 --train_split='train[:10000]'

trains a small convolutional network by contrast and writes `features.npz` with the
features of both splits, for any launcher's `--dataset`. Labels serve only to say how
good the features are: a linear classifier on them against one on the features of the
untrained network.
"""

from __future__ import annotations

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn import linear_model

from experiments.common.inputs import load_splits
from experiments.common.networks import DTYPES
from experiments.study.flag_groups import DataFlags, SeedFlags, TrainingFlags
from experiments.study.flags import define_flags, define_run_flags, option, read_given
from experiments.study.journal import Cell, Journal
from experiments.study.launch import launch
from experiments.study.output import say
from experiments.study.records import EPOCH
from experiments.study.run_folder import (
    check_run_folder,
    data_digests,
    open_run_folder,
    run_folder_path,
)
from robustjax import checks, data, methods
from robustjax.models import SmallCNN
from robustjax.training import (
    Algorithm,
    Execution,
    Program,
    StopRequest,
    TrainState,
    choose_execution,
    progress_bar,
)


@dataclasses.dataclass(frozen=True)
class FeatureConfig(SeedFlags, TrainingFlags, DataFlags):
    """The flags."""

    dataset: str = "cifar10"
    epochs: int = 20
    batch_size: int = option(256, "Images per step, two views of each.", low=1)
    learning_rate: float = option(1e-3, "Peak of Adam's cosine schedule.")
    channels: tuple[int, ...] = option(
        (32, 64, 128), "Of a convolution and pool each.", low=1
    )
    dtype: str = option("float32", "What networks compute in: float32 or bfloat16.")
    projection: tuple[int, ...] = option(
        (128, 64), "Widths of the projection head.", low=1
    )
    temperature: float = option(0.5, "Of the loss.")
    flip: bool = option(True, "Whether mirrored images mean the same.")


define_run_flags()
define_flags(FeatureConfig)


def _probe(train: data.Dataset, test: data.Dataset) -> float:
    """Test accuracy of a linear classifier on standardised features."""
    train, test = data.standardize(train, test)
    # In closed form: iterative solvers take minutes on thousands of features.
    classifier = linear_model.RidgeClassifier(alpha=len(train) / 10)
    classifier.fit(train.inputs, train.labels)
    return float(classifier.score(test.inputs, test.labels))


def main(stop: StopRequest) -> None:
    """Trains, writes the features, and says what they are worth."""
    given = read_given(FeatureConfig)
    config = FeatureConfig(**given.fields)
    checks.one_of("dtype", config.dtype, DTYPES)
    name = given.name or pathlib.Path(config.dataset).stem
    folder = run_folder_path(given.run_dir, "learn_features", name)
    check_run_folder(folder, dataclasses.asdict(config))
    train, test = load_splits(
        config.dataset,
        config.train_split,
        config.test_split,
        data_dir=config.data_dir,
        image_size=config.image_size,
    )
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
    record = {
        "study": "learn_features",
        "config": dataclasses.asdict(config),
        "data": data_digests({"images": train.inputs, "test images": test.inputs}),
    }
    with open_run_folder(folder, record), Journal(folder) as journal:
        say(f"{train.name}: {len(train):,} images\nrun folder {folder}")
        say(f"epochs as a {execution.loop}: {execution.reason}")
        program, state = _train(
            algorithm, train.inputs, config, execution, journal.cell("simclr"), stop
        )
        _write(program, state, train, test, config, folder / "features.npz")


def _train(
    algorithm: Algorithm,
    inputs: np.ndarray,
    config: FeatureConfig,
    execution: Execution,
    cell: Cell,
    stop: StopRequest,
) -> tuple[Program, TrainState]:
    """Trains, or continues from the newest checkpoint that the journal bears out."""
    done = max(cell.checkpoints.steps(), default=0)
    with progress_bar(config.epochs, "simclr", unit="epoch", done=done) as bar:

        def report(epoch: int, metrics: dict[str, np.ndarray]) -> None:
            loss = float(metrics["loss"].mean())
            cell.write(EPOCH, step=epoch, epoch=epoch, loss=loss)
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
            checkpoints=cell.checkpoints,
        )


def _write(
    program: Program,
    state: TrainState,
    train: data.Dataset,
    test: data.Dataset,
    config: FeatureConfig,
    path: pathlib.Path,
) -> None:
    """Writes the features of both splits, and says what they are worth."""

    def encode(state: TrainState) -> list[data.Dataset]:
        return [
            dataclasses.replace(
                split, inputs=methods.encode(program, state, split.inputs)
            )
            for split in (train, test)
        ]

    learned = encode(state)
    data.save_npz(path, train=learned[0], test=learned[1])
    untrained = program.init(
        jax.random.key(config.seed)[None], jnp.asarray(train.inputs)
    )
    accuracy = {"learned": _probe(*learned), "untrained": _probe(*encode(untrained))}
    say(
        f"linear classifier on the features: {accuracy['learned']:.1%} test accuracy "
        f"({accuracy['untrained']:.1%} on those of the untrained network)"
    )
    say(f"features: {path}")


if __name__ == "__main__":
    launch(main, FeatureConfig)
