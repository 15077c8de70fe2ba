"""One's own pool, to be labelled by hand: its data, and who asks."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable

import numpy as np

from robustjax import answers, checks, data
from robustjax.data import array_names, read_arrays, without_prefix
from robustjax.data._label_files import need_columns
from robustjax.data._load import images_of_split
from robustjax.data._shards import MANIFEST
from robustjax.files import digest_of
from robustjax.methods import entries
from robustjax.methods.active_learning import OOD_NAME, UNASKED, QueryStrategy
from robustjax.tools.array_files import read_array
from robustjax.tools.array_pairs import check_pair_split, is_pair
from robustjax.tools.command.output import say
from robustjax.tools.inputs import check_size, load_own, refuse_columns
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
        refuse_columns(config)
        found = data.load_unlabeled_images(
            images_of_split(path, config.split),
            image_size=config.image_size or None,
            report=say,
        )
        return found.inputs, found.ids
    if is_pair(config.dataset):
        refuse_columns(config)
        check_pair_split(config.dataset, config.split)
        inputs = read_array(path, "dataset")
        check_size(inputs, config.image_size)
        found = data.make_dataset(inputs, np.zeros(inputs.shape[:1], np.int32))
        return found.inputs, found.ids
    if path.suffix != ".npz":
        found = load_own(config)
        return found.inputs, found.ids
    refuse_columns(config)
    # Files of `data.save_npz` have the split before every name.
    arrays = without_prefix(
        read_arrays(config.dataset, "dataset", wanted=_wanted(config.split)),
        config.split,
        path=config.dataset,
        name="dataset",
    )
    if "inputs" not in arrays:
        wanted = "inputs" if config.split == "train" else f"{config.split}_inputs"
        raise ValueError(
            f"dataset: {config.dataset!r} lacks {wanted}; it holds "
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
    # What has no split before its name is "train".
    prefixes = ("", f"{split}_") if split == "train" else (f"{split}_",)
    names = {f"{prefix}{key}" for key in ("inputs", "ids") for prefix in prefixes}
    return lambda key: key in names


def known_labels(
    config: LabelConfig, inputs: np.ndarray, ids: np.ndarray
) -> np.ndarray:
    """(N,) int32, `UNASKED` where nothing is known.

    Raises:
      ValueError: a file that cannot be read, ids that are unknown or occur twice, or
        labels that are neither a class nor "ood".
    """
    labels = np.full(len(ids), UNASKED, np.int32)
    if config.known is None:
        return labels
    cells = data.read_csv(config.known, name="known")
    need_columns(cells, ("id", "label"), path=config.known, name="known")
    cells = [row for row in cells if row["label"].strip()]
    # As answers: the number behind the last class is none, least of all "ood".
    said = answers.parse_said(
        [row["label"] for row in cells], config.classes, name="known[label]"
    )
    decided = (said >= 0) | (said == answers.NONE)
    if not decided.all():
        first = cells[int(np.argmin(decided))]["label"]
        raise ValueError(
            f"known[label]: got {first!r}, expected a class or {OOD_NAME!r}; leave out "
            "what is not known"
        )
    pool = data.Dataset(inputs, labels, ids, config.classes, "the pool")
    rows = data.rows_of(pool, np.array([row["id"] for row in cells], str), name="known")
    labels[rows] = np.where(said == answers.NONE, len(config.classes), said)
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
