"""One name for every source of data."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

from robustjax import checks
from robustjax.data._annotation_exports import IMAGE
from robustjax.data._array_files import load_npz
from robustjax.data._cvat_export import CVAT_SUFFIX
from robustjax.data._dataset import Dataset
from robustjax.data._digits import load_digits
from robustjax.data._image_folder import load_image_folder
from robustjax.data._names import printable
from robustjax.data._picture_tables import load_picture_table
from robustjax.data._saved_datasets import is_saved, read_saved
from robustjax.data._shards import MANIFEST, load_shards
from robustjax.data._table_files import TABLE_SUFFIXES
from robustjax.data._tables import load_table
from robustjax.data._tfds_source import load_tfds


def load(
    name: str,
    split: str,
    *,
    data_dir: str | None = None,
    label_key: str | None = None,
    id_column: str | None = None,
    text_column: str | None = None,
    image_column: str | None = None,
    skip_unlabeled: bool = False,
    image_size: int | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Loads a data set by name.

    Args:
      name: "digits" (bundled with scikit-learn); a path to an `.npz` file or to a table
        (`.csv`, `.tsv`, `.parquet`, `.feather`, see `load_table`); an export of CVAT
        (`annotations.xml`, of images) or Label Studio (`.json`); a path to a folder
        with a sub-folder per split, which holds shards (`write_shards`) or a sub-folder
        of images per class; a path to a folder of such sub-folders, which all is
        "train"; a folder that Hugging Face `datasets` saved; or the name of a tfds
        data set.
      split: "train", "test", or (tfds only) a slice such as "train[:20000]".
      data_dir: the tfds folder.
      label_key: which tfds feature, or column of a table, is the label.
      id_column: which column of a table names the examples.
      text_column: which column of a table is for people to read, and no input.
      image_column: which column of a table has the paths of images, which then are the
        inputs, see `load_picture_table`.
      skip_unlabeled: leave out the rows of a table that have no label; all else has
        labels throughout.
      image_size: resize images of a folder to this many pixels squared; what shards
        must have.
      cache_dir: where decoded images (of tfds and of folders) are kept for the next
        time, and found while no file changes; by default nowhere.

    Raises:
      ValueError: whatever is wrong, naming the argument.
    """
    path = pathlib.Path(name)
    is_table = path.suffix.lower() in TABLE_SUFFIXES
    saved = is_saved(path)
    is_own = name == "digits" or path.suffix == ".npz" or (path.is_dir() and not saved)
    _only("label_key", label_key, name, there=is_table or not is_own, kind="tfds sets")
    _only("id_column", id_column, name, there=is_table or saved)
    _only("text_column", text_column, name, there=is_table)
    _only("image_column", image_column, name, there=is_table or saved)
    if name == "digits":
        return load_digits(split)
    if path.suffix == ".npz":
        return load_npz(path, split)
    if is_table or saved:
        rows: dict[str, Any] = {
            "label_column": label_key,
            "id_column": id_column,
            "skip_unlabeled": skip_unlabeled,
        }
        with checks.errors_name(source="dataset", label_column="label_key"):
            if saved:
                return _from_saved(path, split, image_column, image_size, rows)
            if path.suffix.lower() == CVAT_SUFFIX:
                image_column = image_column or IMAGE
            if image_column is None:
                return load_table(path, split, text_column=text_column, **rows)
            return load_picture_table(
                path, image_column, split, image_size=image_size, **rows
            )
    if (path / split / MANIFEST).exists():
        return _shards_of_size(path / split, image_size)
    if path.is_dir():
        return load_image_folder(
            images_of_split(path, split), image_size=image_size, cache_dir=cache_dir
        )
    if path.is_absolute() or name.startswith("."):
        raise ValueError(f"dataset: {name!r} is neither an .npz file nor a folder")
    return load_tfds(
        name, split, data_dir=data_dir, label_key=label_key, cache_dir=cache_dir
    )


def _from_saved(
    path: pathlib.Path,
    split: str,
    image_column: str | None,
    image_size: int | None,
    rows: dict[str, Any],
) -> Dataset:
    """A split that Hugging Face `datasets` saved: its images, or else its numbers."""
    table, pictures = read_saved(path, split)
    image_column = image_column or next(iter(pictures), None)
    if image_column is None:
        found = load_table(table, **rows)
    else:
        found = load_picture_table(
            table, image_column, image_size=image_size, folder=path, **rows
        )
    return dataclasses.replace(found, name=f"{printable(path)}[{split}]")


def images_of_split(path: pathlib.Path, split: str) -> pathlib.Path:
    """Where the images of a split are: in its sub-folder, or, of "train", in `path`.

    Raises:
      ValueError: a folder with splits that lacks this one, or without any that is asked
        for another than "train".
    """
    if (path / split).is_dir():
        return path / split
    splits = [name for name in ("train", "test") if (path / name).is_dir()]
    if split == "train" and not splits:
        return path
    has = f"only {splits[0]!r}" if splits else "no splits, so that all is 'train'"
    raise ValueError(f"split: got {split!r}, but the folder {str(path)!r} has {has}")


def _shards_of_size(path: pathlib.Path, image_size: int | None) -> Dataset:
    """Shards, which are as they were written.

    Raises:
      ValueError: images of another size than is asked for.
    """
    dataset = load_shards(path)
    shape = dataset.inputs.shape[1:]
    if image_size is not None and shape[:2] != (image_size, image_size):
        raise ValueError(
            f"image_size: got {image_size}, but {str(path)!r} was written with inputs "
            f"of shape {shape}; write the shards again"
        )
    return dataset


def _only(
    argument: str, given: str | None, name: str, *, there: bool, kind: str = ""
) -> None:
    """Raises `ValueError` for an argument that would be without effect."""
    if given is not None and not there:
        kinds = f"tables and {kind}" if kind else "tables"
        raise ValueError(
            f"{argument}: got {given!r} for {name!r}, expected it for {kinds} alone"
        )
