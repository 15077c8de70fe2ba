"""One name for every source of data."""

from __future__ import annotations

import os
import pathlib

from robustjax.data._array_files import load_npz
from robustjax.data._dataset import Dataset
from robustjax.data._digits import load_digits
from robustjax.data._image_folder import load_image_folder
from robustjax.data._tfds_source import load_tfds


def load(
    name: str,
    split: str,
    *,
    data_dir: str | None = None,
    label_key: str | None = None,
    image_size: int | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Loads a data set by name.

    Args:
      name: "digits" (bundled with scikit-learn); a path to an `.npz` file; a path to
        a folder of images, with a sub-folder per split that holds one per class; or
        the name of a tfds data set.
      split: "train", "test", or (tfds only) a slice such as "train[:20000]".
      data_dir: the tfds folder.
      label_key: which tfds feature is the label.
      image_size: resize images of a folder to this many pixels squared.
      cache_dir: where decoded images (of tfds and of folders) are kept for the next
        time, and found while no file changes; by default nowhere.

    Raises:
      ValueError: whatever is wrong, naming the argument.
    """
    if name == "digits":
        return load_digits(split)
    path = pathlib.Path(name)
    if path.suffix == ".npz":
        return load_npz(path, split)
    if path.is_dir():
        return load_image_folder(
            path / split, image_size=image_size, cache_dir=cache_dir
        )
    if path.is_absolute() or name.startswith("."):
        raise ValueError(f"dataset: {name!r} is neither an .npz file nor a folder")
    return load_tfds(
        name, split, data_dir=data_dir, label_key=label_key, cache_dir=cache_dir
    )
