"""`.npz` files of inputs or pre-extracted features, read and written."""

from __future__ import annotations

import os
import pathlib
from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

from robustjax.data._dataset import Dataset, make_dataset
from robustjax.data._names import check_class_names, printable
from robustjax.files import atomic_file, check_readable

_REQUIRED = ("inputs", "labels")
_OPTIONAL = ("ids", "class_names")
_PER_SPLIT = ("inputs", "labels", "ids")


def read_arrays(
    path: str | pathlib.Path,
    name: str,
    *,
    wanted: Callable[[str], bool] = lambda key: True,
    kind: str = ".npy or .npz",
) -> dict[str, np.ndarray]:
    """Reads the plain arrays of an `.npy` or `.npz` file, told by its content.

    Nothing is unpickled. Arrays come in the machine's byte order.

    Args:
      path: the file.
      name: what to call the file in an error, and the array of an `.npy` file.
      wanted: which arrays of an `.npz` file are read, by name; by default all.
      kind: what file is expected, for errors.

    Raises:
      ValueError: a file that cannot be read or is damaged, an array of objects or of
        records, two arrays of one name, or a member that is no array.
    """
    try:
        check_readable(path)
        with open(path, "rb") as raw:
            loaded = np.load(raw, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {name: _plain(loaded, "its array")}
            with loaded:
                (key, count), *_ = Counter(loaded.files).most_common(1) or [("", 0)]
                if count > 1:
                    raise ValueError(f"it holds {count} arrays called {key!r}")
                _check_room(loaded, wanted)
                return {
                    key: _plain(_member(loaded, key), repr(key))
                    for key in loaded.files
                    if wanted(key)
                }
    except Exception as error:  # Damage shows in many ways inside NumPy and zip.
        raise ValueError(
            f"{name}: cannot read {str(path)!r} as {kind}: {_reason(error)}"
        ) from None


def _check_room(file: np.lib.npyio.NpzFile, wanted: Callable[[str], bool]) -> None:
    """Arrays of zeros take a thousandth of their size in a compressed file."""
    assert file.zip is not None
    sizes = {info.filename: info.file_size for info in file.zip.infolist()}
    size = sum(sizes.get(f"{key}.npy", 0) for key in file.files if wanted(key))
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > there:
        raise ValueError(
            f"it holds {size / 2**30:,.0f} GiB of arrays, more than this machine's "
            f"memory of {there / 2**30:,.0f} GiB"
        )


def _member(file: Mapping[str, object], key: str) -> object:
    try:
        return file[key]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise ValueError(f"{key!r} holds Python objects, expected numbers") from None


def _plain(array: object, key: str) -> np.ndarray:
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{key} is no array")
    if array.dtype.names is not None:
        fields = ", ".join(array.dtype.names)
        raise ValueError(f"{key} holds records of {fields}, expected numbers")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, MemoryError):
        return "not enough memory"
    text = (str(error).splitlines() or [""])[0]
    # NumPy's own text advises to allow pickles, which run whatever the file says.
    if "allow_pickle" in text:
        return "it holds no plain arrays"
    return text or f"it is damaged ({type(error).__name__})"


def array_names(path: str | pathlib.Path) -> str:
    """What to say that a readable file holds."""
    with open(path, "rb") as raw:
        loaded = np.load(raw, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return "one array without a name"
        with loaded:
            return ", ".join(loaded.files) or "nothing"


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
      ValueError: a file that cannot be read, misses an array, holds one both with and
        without the prefix, or holds bad data.
    """
    arrays = read_arrays(
        path, "path", wanted=lambda key: _wanted(key, split), kind=".npz"
    )
    named = without_prefix(arrays, split, path=path, name="path")
    missing = [key for key in _REQUIRED if key not in named]
    if missing:
        wanted = " and ".join(f"{split}_{key}" for key in missing)
        raise ValueError(
            f"path: {str(path)!r} lacks {wanted}; it holds {array_names(path)}"
        )
    names = named.get("class_names")
    return make_dataset(
        named["inputs"],
        named["labels"],
        ids=named.get("ids"),
        class_names=None if names is None else check_class_names(names),
        name=f"{printable(pathlib.Path(path).name)}[{split}]",
    )


def _wanted(key: str, split: str) -> bool:
    if key == "class_names" or key.startswith(f"{split}_"):
        return True
    return split == "train" and key in _REQUIRED + _OPTIONAL


def without_prefix(
    arrays: Mapping[str, np.ndarray],
    split: str,
    *,
    path: str | pathlib.Path,
    name: str,
) -> dict[str, np.ndarray]:
    """Arrays under their names without `<split>_`.

    Raises:
      ValueError: an array that is there both with and without it, or arrays of
        examples of which some have it and others not.
    """
    twice = [key for key in arrays if f"{split}_{key}" in arrays]
    if twice:
        raise ValueError(
            f"{name}: {str(path)!r} holds both {twice[0]} and {split}_{twice[0]}, "
            "expected one of them"
        )
    # Names of classes belong to all splits; whose the others are would be a guess.
    own = [key for key in arrays if key in {f"{split}_{each}" for each in _PER_SPLIT}]
    others = [key for key in arrays if key in _PER_SPLIT]
    if own and others:
        raise ValueError(
            f"{name}: {str(path)!r} holds {own[0]} and {others[0]}, expected {split}_ "
            "before both or neither"
        )
    return {key.removeprefix(f"{split}_"): value for key, value in arrays.items()}


def save_npz(path: str | pathlib.Path, **splits: Dataset) -> None:
    """Writes data sets as the splits of one `.npz` file for `load_npz`.

    The file appears when it is complete; one of that name is replaced.

    Args:
      path: the file to write; ".npz" is added where it is missing.
      **splits: such as `train=…, test=…`, with equal class names.

    Raises:
      ValueError: no split, or class names that differ.
    """
    save_splits(path, splits, {})


def save_splits(
    path: str | pathlib.Path,
    splits: Mapping[str, Dataset],
    more: Mapping[str, np.ndarray],
) -> None:
    """Writes data sets, and more arrays by their names, as one `.npz` file.

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
    arrays = {"class_names": np.asarray(names.pop()), **more}
    for split, dataset in splits.items():
        arrays[f"{split}_inputs"] = dataset.inputs
        arrays[f"{split}_labels"] = dataset.labels
        arrays[f"{split}_ids"] = dataset.ids
    # As NumPy does where it is given a name.
    path = str(path) if str(path).endswith(".npz") else f"{path}.npz"
    with atomic_file(path) as file:
        np.savez(file, allow_pickle=False, **arrays)
