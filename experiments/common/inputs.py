"""From flags to data sets, raw or as features."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import numpy as np

from experiments.study.decoded_cache import decoded_folder
from experiments.study.flag_groups import OwnDataFlags, OwnLabelFlags
from experiments.study.flags import errors_name_flags
from experiments.study.output import say
from robustjax import checks, data, models
from robustjax.output_paths import check_output_folder
from robustjax.training import choose_execution, progress_bar

NETWORKS = ("resnet18", "resnet50", "resnet101")


def data_folder(flag: str | None) -> str | None:
    """The tfds folder: as given, or `$ROBUSTJAX_DATA/tfds`, or tfds' own default."""
    root = os.environ.get("ROBUSTJAX_DATA")
    return os.path.join(root, "tfds") if flag is None and root else flag


def load(
    name: str,
    split: str,
    *,
    data_dir: str | None,
    image_size: int = 0,
    label_key: str | None = None,
    id_column: str | None = None,
) -> data.Dataset:
    """A split of a data set, as `data.load` reads it; images are decoded once.

    Args:
      name: see `data.load`.
      split: likewise.
      data_dir: the tfds folder, see `data_folder`.
      image_size: that images of a folder are resized to; 0 keeps theirs.
      label_key: which tfds feature, or column of a table, is the label.
      id_column: which column of a table names the examples.

    Raises:
      ValueError: a source that cannot be read.
    """
    return data.load(
        name,
        split,
        data_dir=data_folder(data_dir),
        label_key=label_key,
        id_column=id_column,
        image_size=image_size or None,
        cache_dir=decoded_folder(),
    )


def load_splits(
    name: str,
    train_split: str,
    test_split: str,
    *,
    data_dir: str | None,
    image_size: int,
) -> tuple[data.Dataset, data.Dataset]:
    """Training and test set.

    Args:
      name: see `data.load`.
      train_split: the first.
      test_split: the second.
      data_dir: the tfds folder, see `data_folder`.
      image_size: that images of a folder are resized to; 0 keeps theirs.

    Raises:
      ValueError: a source that cannot be read, or splits with different classes.
    """
    train, test = (
        load(name, split, data_dir=data_dir, image_size=image_size)
        for split in (train_split, test_split)
    )
    if train.class_names != test.class_names:
        raise ValueError(
            "test_split: its classes differ from those of the training set"
        )
    return train, test


def arrays_of(train: data.Dataset, test: data.Dataset) -> dict[str, np.ndarray]:
    """What results depend on of the data, by name, for a run's digests."""
    return {
        "training inputs": train.inputs,
        "training labels": train.labels,
        "test inputs": test.inputs,
        "test labels": test.labels,
    }


def load_human_labels(
    noise: str, label_set: str | None, name: str, split: str, *, data_dir: str | None
) -> data.Dataset | None:
    """The training set with the human labels that flags name; None without noise=key.

    Args:
      noise: its model.
      label_set: such as "worse", for the tfds feature `worse_label`.
      name: of the data set.
      split: for training.
      data_dir: the tfds folder, see `data_folder`.

    Raises:
      ValueError: no label set, or one that the data set lacks.
    """
    if noise != "key":
        return None
    if label_set is None:
        raise ValueError("label_set: got None, expected one, such as worse (noise=key)")
    with errors_name_flags(label_key="label_set"):
        return load(
            name,
            split,
            data_dir=data_dir,
            label_key=f"{label_set.removesuffix('_label')}_label",
        )


def load_own(config: OwnDataFlags) -> data.Dataset:
    """A data set of one's own.

    Args:
      config: whose `dataset` is given.

    Raises:
      ValueError: a source that cannot be read.
    """
    assert config.dataset is not None
    with errors_name_flags(label_key="label_column"):
        return load(
            config.dataset,
            config.split,
            data_dir=config.data_dir,
            image_size=config.image_size,
            label_key=config.label_column,
            id_column=config.id_column,
        )


def load_labeled(config: OwnLabelFlags) -> data.Dataset:
    """A data set of one's own, its labels from a file if they are elsewhere.

    Args:
      config: whose `dataset` is given.

    Raises:
      ValueError: a source that cannot be read, or labels that do not join.
    """
    dataset = load_own(config)
    if config.labels is None:
        return dataset
    rows, labels = data.read_labels(config.labels, dataset, "label", name="labels")
    given = data.join(dataset, dataset.ids[rows], labels, name="labels")
    return dataclasses.replace(dataset, labels=given)


@dataclasses.dataclass(frozen=True)
class FeatureOptions:
    """Flags of feature extraction.

    Attributes:
      network: one of `NETWORKS`, or None to use the inputs as they are.
      weights: file of a state dict.
      image_size: that images are resized to; 0 keeps theirs.
      batch_size: images per call.
      cache_dir: where extracted features are kept.
    """

    network: str | None
    weights: str | None
    image_size: int
    batch_size: int
    cache_dir: str

    def check(self) -> None:
        """Raises `ValueError` for a bad flag, before any data is loaded."""
        if self.network is None:
            return
        checks.one_of("features", self.network, NETWORKS)
        if self.weights is None:
            raise ValueError(
                f"weights: got None, expected the file of {self.network}'s state dict "
                "(.safetensors, .npz or .pth), say torchvision's or timm's"
            )
        checks.at_least("feature_image_size", self.image_size, 0)
        checks.at_least("feature_batch_size", self.batch_size, 1)
        check_output_folder("feature_cache", self.cache_dir)


def to_features(
    splits: tuple[data.Dataset, ...], options: FeatureOptions
) -> tuple[data.Dataset, ...]:
    """Replaces images by a frozen network's features, where one is named.

    Raises:
      ValueError: weights that cannot be read or do not fit the network.
    """
    if options.network is None:
        return splits
    assert options.weights is not None
    function, fingerprint = models.resnet_features(
        int(options.network.removeprefix("resnet")),
        options.weights,
        image_size=options.image_size or None,
        convolution=choose_execution(convolutional=True).convolution,
    )
    found = []
    for split in splits:
        with progress_bar(len(split), options.network, unit="image") as bar:

            def advance(done: int, total: int) -> None:
                bar.update(done - bar.n)

            found.append(
                data.extract_features(
                    split,
                    function,
                    cache_dir=pathlib.Path(options.cache_dir),
                    fingerprint=fingerprint,
                    batch_size=options.batch_size,
                    progress=advance,
                    report=say,
                )
            )
    return tuple(found)
