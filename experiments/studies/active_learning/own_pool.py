"""One's own pool, to be labelled by hand: its flags, its data, and who asks."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable

import numpy as np

from experiments.common.inputs import load_own
from experiments.studies.active_learning.config import OpenSetConfig
from experiments.studies.active_learning.presets import PRESETS
from experiments.study.choice import choose
from experiments.study.flag_groups import (
    NetworkFlags,
    OwnDataFlags,
    SeedFlags,
    TrainingFlags,
)
from experiments.study.flags import errors_name_flags, option
from robustjax import data
from robustjax.data import array_names, read_arrays, without_prefix
from robustjax.files import digest_of
from robustjax.methods import entries
from robustjax.methods.active_learning import OOD_NAME, UNASKED, QueryStrategy


@dataclasses.dataclass(frozen=True)
class LabelOpenSetConfig(SeedFlags, TrainingFlags, NetworkFlags, OwnDataFlags):
    """The flags."""

    dataset: str | None = option(
        None,
        "An .npz file with the array inputs (and ids, if there are), or an image "
        "folder or tfds name whose own labels are not looked at.",
    )
    classes: tuple[str, ...] = option((), "The classes you want, at least two.")
    known: str | None = option(
        None, "CSV with columns id and label: what is labelled already."
    )
    folder: str | None = option(None, "Where questions, answers and labels live.")
    batch: int = option(50, "Questions at a time.", low=1)
    method: str = option("mqnet", "Which examples to ask about.")
    options: tuple[str, ...] = option((), "Of the method, such as mqnet.margin=0.1.")
    preset: str = option(
        "cifar10_small", "Whose settings of contrastive networks and methods."
    )
    channels: tuple[int, ...] = (16, 32, 64)
    hidden: tuple[int, ...] = (256, 128)
    downsampling: str = "stride"
    pooling: str = "average"
    epochs: int = 10
    steps_per_epoch: int = option(
        40, "Steps per epoch, however much is labelled.", low=1
    )
    batch_size: int = 32
    learning_rate: float = 1e-3


def load_pool(config: LabelOpenSetConfig) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and ids."""
    assert config.dataset is not None
    if pathlib.Path(config.dataset).suffix != ".npz":
        found = load_own(config)
        return found.inputs, found.ids
    # Files of `data.save_npz` have the split before every name.
    arrays = without_prefix(
        read_arrays(config.dataset, "dataset", wanted=_wanted(config.split)),
        config.split,
        path=config.dataset,
        name="dataset",
    )
    if "inputs" not in arrays:
        raise ValueError(
            f"inputs: {config.dataset!r} lacks inputs; it holds "
            f"{array_names(config.dataset)}"
        )
    inputs = arrays["inputs"]
    if 0 in inputs.shape:
        raise ValueError(f"inputs: got shape {inputs.shape}, expected some examples")
    # A data set checks its parts; nothing is known of the labels.
    unlabeled = np.zeros(inputs.shape[:1], np.int32)
    found = data.make_dataset(inputs, unlabeled, ids=arrays.get("ids"))
    return found.inputs, found.ids


def _wanted(split: str) -> Callable[[str], bool]:
    """Of a file, only what is looked at: its labels may be of any kind."""
    names = {name for key in ("inputs", "ids") for name in (key, f"{split}_{key}")}
    return lambda key: key in names


def known_labels(
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


def strategy_of(config: LabelOpenSetConfig) -> QueryStrategy:
    """With the preset's options, and the user's over them."""
    with errors_name_flags(methods="method"):
        choice = choose(
            [config.method],
            entries("active_learning", "strategy"),
            PRESETS[config.preset].fields.get("options", ()),
            config.options,
        )
    if len(choice.chosen) > 1:
        raise ValueError(f"method: got {config.method}, expected a single one")
    (strategy,) = choice.make().values()
    made: QueryStrategy = strategy
    return made


def embeddings_name(
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
