"""One's own pool, to be labelled by hand: its data, and who asks."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable

import numpy as np

from robustjax import checks, data
from robustjax.data import array_names, read_arrays, without_prefix
from robustjax.data._load import images_of_split
from robustjax.data._shards import MANIFEST
from robustjax.files import digest_of
from robustjax.methods import entries
from robustjax.methods.active_learning import OOD_NAME, UNASKED, QueryStrategy
from robustjax.tools.array_files import read_array
from robustjax.tools.array_pairs import is_pair
from robustjax.tools.command.output import say
from robustjax.tools.inputs import check_size, load_own
from robustjax.tools.method_choice import choose
from robustjax.tools.options.label import LabelConfig
from robustjax.tools.options.open_set import OpenSetFlags

# What loss prediction learns from fifty labels orders nothing, so that MQNet and the
# rules it is compared with take confidence instead.
_WEIGHING = ("sum", "product", "mqnet")
_CONFIDENCE = "informativeness=conf"
# On the digits, with one in five wanted and 40 labels, the features of the classifier
# tell wanted examples with an AUROC of 84 %, the contrastive ones of a small network,
# which need images and minutes, of 68 %.
_PURITY = "purity=features"
# Most of such a pool is foreign, and what is foreign is uncertain: standardised and
# exponentiated, uncertainty overrules purity, a round without any wanted example
# teaches the meta-model nothing, and so on. The raw one, below 1, lets purity decide.
_PURITY_DECIDES = "mqnet.first_round=raw"


def load_pool(config: LabelConfig) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and ids."""
    assert config.dataset is not None
    path = pathlib.Path(config.dataset)
    if path.is_dir() and not (path / config.split / MANIFEST).exists():
        found = data.load_unlabeled_images(
            images_of_split(path, config.split),
            image_size=config.image_size or None,
            report=say,
        )
        return found.inputs, found.ids
    if is_pair(config.dataset):
        inputs = read_array(path, "dataset")
        check_size(inputs, config.image_size)
        found = data.make_dataset(inputs, np.zeros(inputs.shape[:1], np.int32))
        return found.inputs, found.ids
    if path.suffix != ".npz":
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
    check_size(inputs, config.image_size)
    # A data set checks its parts; nothing is known of the labels.
    unlabeled = np.zeros(inputs.shape[:1], np.int32)
    found = data.make_dataset(inputs, unlabeled, ids=arrays.get("ids"))
    return found.inputs, found.ids


def _wanted(split: str) -> Callable[[str], bool]:
    """Of a file, only what is looked at: its labels may be of any kind."""
    names = {name for key in ("inputs", "ids") for name in (key, f"{split}_{key}")}
    return lambda key: key in names


def known_labels(
    config: LabelConfig, inputs: np.ndarray, ids: np.ndarray
) -> np.ndarray:
    """(N,) int32, `UNASKED` where nothing is known."""
    labels = np.full(len(ids), UNASKED, np.int32)
    if config.known is not None:
        names = (*config.classes, OOD_NAME)
        pool = data.Dataset(inputs, labels, ids, names, "the pool")
        rows, known = data.read_labels(config.known, pool, "label", name="known")
        labels[rows] = known
    return labels


def strategy_of(config: LabelConfig) -> QueryStrategy:
    """With options for few labels, and the user's over them."""
    mine = [f"{name}.{each}" for name in _WEIGHING for each in (_CONFIDENCE, _PURITY)]
    if not any("informativeness=" in option for option in config.options):
        mine.append(_PURITY_DECIDES)
    with checks.errors_name(methods="method"):
        choice = choose(
            [config.method],
            entries("active_learning", "strategy"),
            mine,
            config.options,
        )
    if len(choice.chosen) > 1:
        raise ValueError(f"method: got {config.method}, expected a single one")
    (strategy,) = choice.make().values()
    made: QueryStrategy = strategy
    if "validation" in made.wants:
        raise ValueError(
            "options: got validation=random, expected validation=query: nothing is "
            "answered here but what was asked"
        )
    return made


def embeddings_name(
    config: OpenSetFlags, inputs: np.ndarray, strategy: QueryStrategy
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
