"""From options to data sets."""

from __future__ import annotations

import dataclasses
import os

from robustjax import checks, data
from robustjax.tools.decoded_cache import decoded_folder
from robustjax.tools.options.groups import OwnDataFlags, OwnLabelFlags


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


def load_own(config: OwnDataFlags) -> data.Dataset:
    """A data set of one's own.

    Args:
      config: whose `dataset` is given.

    Raises:
      ValueError: a source that cannot be read.
    """
    assert config.dataset is not None
    with checks.errors_name(label_key="label_column"):
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
