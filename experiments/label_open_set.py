"""Label your own unlabelled pool, foreign examples included, with you as the oracle.

    python -m experiments.label_open_set --dataset=pool.npz --classes=owl,crow \
        --folder=labelling

writes `labelling/to_label.csv`: the examples to look at first. Fill its column
`new_label` with one of your classes, or with `ood` for what belongs to none (leave
blank what you cannot decide: it is not asked about again), save it as
`labelling/labeled.csv`, and run the same command again: it takes your answers in,
trains, and asks the next questions. `labelling/labels.csv` always holds the labels so
far. Stop whenever you like.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib

import jax
import numpy as np
from absl import flags

from experiments.common import config_flags
from experiments.common.array_files import lacks, read_arrays
from experiments.common.config_flags import errors_name_flags, option
from experiments.common.inputs import data_folder
from experiments.common.launch import launch
from experiments.open_set import setup
from experiments.open_set.networks import Classifiers, kind_of, load_embeddings
from experiments.open_set.strategies import (
    make_strategies,
    preset_options,
    resolve_strategies,
)
from experiments.presets.open_set_active_learning import PRESETS, OpenSetConfig
from robustjax import checks, data
from robustjax.files import digest_of
from robustjax.methods.open_set_exchange import (
    OOD_NAME,
    OpenSetExchange,
    check_batch,
    check_class_names,
)
from robustjax.methods.open_set_round import SKIPPED, UNASKED, QueryStrategy
from robustjax.training import StopRequest


@dataclasses.dataclass(frozen=True)
class LabelOpenSetConfig:
    """The flags."""

    dataset: str | None = option(
        None,
        "An .npz file with the array inputs (and ids, if there are), or an image "
        "folder or tfds name whose own labels are not looked at.",
    )
    split: str = option("train", "Split of an image folder or tfds set.")
    data_dir: str | None = option(None, "tfds folder; $ROBUSTJAX_DATA/tfds if set.")
    image_size: int = option(0, "Resize images of a folder to this size; 0: do not.")
    classes: tuple[str, ...] = option((), "The classes you want, at least two.")
    known: str | None = option(
        None, "CSV with columns id and label: what is labelled already."
    )
    folder: str | None = option(None, "Where questions, answers and labels live.")
    batch: int = option(50, "Questions at a time.")
    strategy: str = option("mqnet", "Which examples to ask about.")
    options: tuple[str, ...] = option((), "Of the strategy, such as mqnet.margin=0.1.")
    preset: str = option(
        "cifar10_small", "Whose settings of contrastive networks and strategies."
    )
    network: str = option("mlp", "A name of experiments.common.networks.")
    channels: tuple[int, ...] = option((16, 32, 64), "Of small_cnn's blocks.")
    hidden: tuple[int, ...] = option((256, 128), "Dense layers of the mlp.")
    augment: str = option("none", "Of images: none, flip, crop or crop_flip.")
    epochs: int = option(10, "Epochs per training; schedules count them.")
    steps_per_epoch: int = option(40, "Steps per epoch, however much is labelled.")
    batch_size: int = option(32, "Examples per step.")
    learning_rate: float = option(1e-3, "Initial learning rate.")
    seed: int = option(0, "Of everything.")


config_flags.define_flags(LabelOpenSetConfig)
_NEEDED = ("dataset", "folder", "classes")

# Rounds derive their keys from the same seed, and none has this number.
_EMBEDDINGS = 2**31 - 1


def _load(config: LabelOpenSetConfig) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and ids."""
    assert config.dataset is not None
    if pathlib.Path(config.dataset).suffix != ".npz":
        found = data.load(
            config.dataset,
            config.split,
            data_dir=data_folder(config.data_dir),
            image_size=config.image_size or None,
        )
        return found.inputs, found.ids
    arrays = read_arrays(config.dataset, "dataset")
    # Files of `data.save_npz` have the split before every name.
    arrays |= {key.removeprefix(f"{config.split}_"): x for key, x in arrays.items()}
    if "inputs" not in arrays:
        raise ValueError(lacks(config.dataset, "inputs", arrays))
    inputs = arrays["inputs"]
    checks.finite("inputs", inputs)
    ids = checks.unique_ids("ids", arrays.get("ids", np.arange(len(inputs))))
    checks.same_length(inputs=inputs, ids=ids)
    return inputs, ids


def _known_labels(
    config: LabelOpenSetConfig, inputs: np.ndarray, ids: np.ndarray
) -> np.ndarray:
    """(N,) int32, `UNASKED` where nothing is known."""
    labels = np.full(len(ids), UNASKED, np.int32)
    if config.known is not None:
        names = (*config.classes, OOD_NAME)
        pool = data.Dataset(inputs, labels, ids, names, "the pool")
        rows, known = data.read_labels(config.known, pool, "label", name="known")
        labels[rows] = known
    return labels


def _strategy(config: LabelOpenSetConfig) -> QueryStrategy:
    """With the preset's options, and the user's over them."""
    with errors_name_flags(strategies="strategy"):
        labels = resolve_strategies([config.strategy])
    if len(labels) > 1:
        raise ValueError(f"strategy: got {config.strategy}, expected a single one")
    options = preset_options(labels, PRESETS[config.preset].get("options", ()))
    (strategy,) = make_strategies(labels, (*options, *config.options)).values()
    return strategy


def _embeddings_name(
    config: OpenSetConfig, inputs: np.ndarray, strategy: QueryStrategy
) -> str:
    """Of their file: another one for all that they depend on."""
    settings = {
        name: value
        for name, value in dataclasses.asdict(config).items()
        if name.startswith("embedding_") or name in ("seed", "downsampling", "dtype")
    }
    settings["wants"] = sorted(strategy.wants & {"projections", "rotations"})
    text = json.dumps(settings, sort_keys=True)
    return digest_of(inputs, np.frombuffer(text.encode(), np.uint8))[:16]


def main(stop: StopRequest) -> None:
    """Takes in what was answered, and asks on."""
    config = config_flags.read_config(LabelOpenSetConfig, {}, None, flags.FLAGS)
    for name in _NEEDED:
        if not getattr(config, name):
            raise ValueError(f"{name}: got nothing, expected --{name}=…")
    if len(config.classes) < 2:
        raise ValueError(f"classes: got {config.classes[0]}, expected at least two")
    with errors_name_flags(class_names="classes"):
        check_class_names(config.classes)
    checks.one_of("preset", config.preset, PRESETS)
    shared = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(OpenSetConfig)
        if hasattr(config, field.name) and field.name != "dataset"
    }
    training = OpenSetConfig(**{**PRESETS[config.preset], **shared})
    setup.check(training)
    strategy = _strategy(config)
    inputs, ids = _load(config)
    known = _known_labels(config, inputs, ids)
    check_batch(config.batch, known)
    k = len(config.classes)
    classifier = Classifiers(training, k, inputs, stop).of(
        inputs, kind_of(strategy.wants)
    )
    assert config.folder is not None
    with errors_name_flags(strategies="strategy"):
        embeddings = load_embeddings(
            training,
            jax.random.fold_in(jax.random.key(config.seed), _EMBEDDINGS),
            inputs,
            strategy.wants,
            pathlib.Path(f"{config.folder}_embeddings"),
            _embeddings_name(training, inputs, strategy),
            stop,
        )
    with errors_name_flags(known_labels="known", strategy="options"):
        exchange = OpenSetExchange(
            config.folder,
            inputs,
            config.classes,
            strategy,
            classifier,
            batch=config.batch,
            ids=ids,
            known_labels=known,
            embeddings=embeddings,
            settings={
                name: value
                for name, value in dataclasses.asdict(training).items()
                if name not in ("data_dir", "options")
            },
            seed=config.seed,
        )
    pending = exchange.advance()
    found = exchange.labels
    print(
        f"{len(found):,} examples: {int(np.sum((found >= 0) & (found < k))):,} with a "
        f"class, {int(np.sum(found == k)):,} {OOD_NAME}, "
        f"{int(np.sum(found == SKIPPED)):,} left blank"
    )
    if pending is None:
        print(
            "every example has been asked about; the labels are in "
            f"{exchange.folder / 'labels.csv'}"
        )
        return
    print(
        f"round {pending.round_number}: fill the column new_label of {pending.asked} "
        f"({pending.questions} questions) with {', '.join(config.classes)} or "
        f"{OOD_NAME}, save it as {pending.answers}, and run the same command again"
    )


if __name__ == "__main__":
    launch(main)
