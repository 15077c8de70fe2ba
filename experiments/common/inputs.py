"""From flags to data sets, raw or as features."""

from __future__ import annotations

import os

from robustjax import data


def data_folder(flag: str | None) -> str | None:
    """The tfds folder: as given, or `$ROBUSTJAX_DATA/tfds`, or tfds' own default."""
    if flag is not None or "ROBUSTJAX_DATA" not in os.environ:
        return flag
    return os.path.join(os.environ["ROBUSTJAX_DATA"], "tfds")


def load_splits(
    name: str,
    train_split: str,
    test_split: str,
    *,
    data_dir: str | None,
    image_size: int | None,
) -> tuple[data.Dataset, data.Dataset]:
    """Training and test set.

    Raises:
      ValueError: a source that cannot be read, or splits with different classes.
    """
    train, test = (
        data.load(name, split, data_dir=data_folder(data_dir), image_size=image_size)
        for split in (train_split, test_split)
    )
    if train.class_names != test.class_names:
        raise ValueError(
            "test_split: its classes differ from those of the training set"
        )
    return train, test
