"""CIFAR-10 in a few files that can be carried to a machine without tfds.

Each file has at most so many MiB, `train_inputs` and `train_labels` (the true ones),
and ids that are places in the training set; the first one has the test images, too, and
will do by itself. Human labels are a CSV with columns id and label.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np

from robustjax import data
from robustjax.training import write_csv

WORSE = "worse.csv"
_MIB = 2**20


def pack(
    folder: pathlib.Path,
    train: data.Dataset,
    worse: np.ndarray,
    test: data.Dataset,
    mebibytes: float,
) -> list[pathlib.Path]:
    """Writes images and human labels into files of limited size.

    Args:
      folder: where they go; made.
      train: uint8 images with true labels.
      worse: (N,) labels by people.
      test: uint8 images.
      mebibytes: of a file, at most.

    Returns:
      The files of images, in order.

    Raises:
      ValueError: a limit that the test images alone reach.
    """
    room = int(mebibytes * _MIB)
    bytes_each = train.inputs[0].nbytes + 16
    per_file = room // bytes_each
    if len(test) >= per_file:
        raise ValueError(
            f"pack_mebibytes: got {mebibytes:g}, expected more than the "
            f"{len(test) * bytes_each / _MIB:.1f} of the test images"
        )
    folder.mkdir(parents=True, exist_ok=True)
    first = per_file - len(test)
    starts = [0, *range(first, len(train), per_file)]
    ids = np.arange(len(train))
    parts: list[dict[str, np.ndarray]] = []
    for start, stop in zip(starts, (*starts[1:], len(train))):
        rows = slice(start, stop)
        images = {
            "train_inputs": train.inputs[rows],
            "train_labels": train.labels[rows],
        }
        parts.append({**images, "train_ids": ids[rows]})
    parts[0] |= {"test_inputs": test.inputs, "test_labels": test.labels}
    paths = []
    for number, arrays in enumerate(parts):
        paths.append(folder / f"cifar10_{number}.npz")
        np.savez(paths[-1], allow_pickle=False, **arrays)
    rows_of = [{"id": i, "label": int(label)} for i, label in enumerate(worse)]
    write_csv(folder / WORSE, rows_of)
    return paths


def joined(paths: Sequence[str], out: pathlib.Path) -> pathlib.Path:
    """One file of several, array by array in order; a single one is taken as it is.

    Raises:
      ValueError: a file that is not there.
    """
    for path in paths:
        if not pathlib.Path(path).is_file():
            raise ValueError(f"cifar10: got {path!r}, expected an .npz file")
    if len(paths) == 1:
        return pathlib.Path(paths[0])
    arrays: dict[str, list[np.ndarray]] = {}
    for path in paths:
        with np.load(path, allow_pickle=False) as file:
            for name in file.files:
                arrays.setdefault(name, []).append(file[name])
    whole = {name: np.concatenate(each) for name, each in arrays.items()}
    np.savez(out, allow_pickle=False, **whole)
    return out


def labels_of(images: pathlib.Path, worse: str, out: pathlib.Path) -> pathlib.Path:
    """The rows of a CSV of human labels that are of a file's images.

    Raises:
      ValueError: no CSV file, or one without a row for each of the images.
    """
    if not pathlib.Path(worse).is_file():
        raise ValueError(f"worse: got {worse!r}, expected a CSV file")
    train = data.load(str(images), "train")
    given = {row["id"]: row for row in data.read_csv(worse, name="worse")}
    ids = [str(each) for each in train.ids.tolist()]
    missing = [each for each in ids if each not in given]
    if missing:
        raise ValueError(
            f"worse: {worse!r} has no row for {len(missing)} of {len(ids)} image(s) "
            f"(first: id {missing[0]})"
        )
    write_csv(out, [given[each] for each in ids])
    return out


def tiny(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """256 images of ten colours with a third of the labels wrong, and their CSV."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    colors = rng.integers(40, 216, (10, 1, 1, 3))
    arrays = {}
    for split, size in (("train", 256), ("test", 128)):
        labels = np.arange(size) % 10
        noise = rng.integers(-40, 41, (size, 32, 32, 3))
        arrays[f"{split}_inputs"] = (colors[labels] + noise).astype(np.uint8)
        arrays[f"{split}_labels"] = labels.astype(np.int32)
    np.savez(folder / "tiny.npz", allow_pickle=False, **arrays)
    true = arrays["train_labels"]
    given = np.where(rng.random(len(true)) < 1 / 3, (true + 1) % 10, true)
    rows = [{"id": i, "label": int(label)} for i, label in enumerate(given)]
    write_csv(folder / WORSE, rows)
    return folder / "tiny.npz", folder / WORSE
