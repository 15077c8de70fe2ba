"""`.npz` files of inputs or pre-extracted features, read and written."""

from __future__ import annotations

import pathlib
import zipfile

import numpy as np

from robustjax.data.dataset import Dataset, make_dataset

_REQUIRED = ("inputs", "labels")
_OPTIONAL = ("ids", "class_names")


def load_npz(path: str | pathlib.Path, split: str = "train") -> Dataset:
    """Loads a split of an `.npz` file.

    The file holds, per split, the arrays `<split>_inputs` (N, ...) and
    `<split>_labels` (N,), and optionally `<split>_ids` (N,); `class_names` (C,) is
    common. A file without any prefix (`inputs`, `labels`, `ids`) is its own "train"
    split. Inputs can be images or pre-extracted features.

    Args:
      path: the file.
      split: "train", "test" or any other prefix.

    Raises:
      ValueError: a file that cannot be read, misses an array, or holds bad data.
    """
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files if _wanted(key, split)}
            found = ", ".join(file.files)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"path: cannot read {str(path)!r} as .npz: {error}") from None
    named = {key.removeprefix(f"{split}_"): value for key, value in arrays.items()}
    missing = [key for key in _REQUIRED if key not in named]
    if missing:
        wanted = " and ".join(f"{split}_{key}" for key in missing)
        raise ValueError(
            f"path: {str(path)!r} lacks {wanted}; it holds {found or 'nothing'}"
        )
    return make_dataset(
        named["inputs"],
        named["labels"],
        ids=named.get("ids"),
        class_names=named.get("class_names"),
        name=f"{pathlib.Path(path).name}[{split}]",
    )


def _wanted(key: str, split: str) -> bool:
    if key == "class_names" or key.startswith(f"{split}_"):
        return True
    return split == "train" and key in _REQUIRED + _OPTIONAL


def save_npz(path: str | pathlib.Path, **splits: Dataset) -> None:
    """Writes data sets as the splits of one `.npz` file for `load_npz`.

    Args:
      path: the file to write.
      **splits: such as `train=…, test=…`, with equal class names.

    Raises:
      ValueError: no split, or class names that differ.
    """
    if not splits:
        raise ValueError("splits: got none, expected at least one")
    names = {dataset.class_names for dataset in splits.values()}
    if len(names) > 1:
        raise ValueError(
            f"splits: {', '.join(splits)} have different class names, expected equal"
        )
    arrays = {"class_names": np.asarray(names.pop())}
    for split, dataset in splits.items():
        arrays[f"{split}_inputs"] = dataset.inputs
        arrays[f"{split}_labels"] = dataset.labels
        arrays[f"{split}_ids"] = dataset.ids
    np.savez(path, allow_pickle=False, **arrays)
