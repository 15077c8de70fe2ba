"""Folders of images whose names end in the target and the bias.

The layout of Lee, Kim, Lee, Lee, Choo, "Learning Debiased Representation via
Disentangled Feature Augmentation" (NeurIPS 2021), in which their Colored MNIST,
Corrupted CIFAR-10 and bFFHQ are distributed.
"""

from __future__ import annotations

import os
import pathlib
import re
from typing import NamedTuple

import numpy as np

from robustjax import checks
from robustjax.data._biased import BiasedDataset, make_biased
from robustjax.data._dataset import make_dataset
from robustjax.data._image_decoding import SUFFIXES
from robustjax.data._image_folder import check_sizes, decode, need_pillow
from robustjax.data._names import check_text, printable
from robustjax.files import is_system_entry

BIASED_SPLITS = ("train", "valid", "test")
"""The splits of folders as DFA has them."""

_TRAIN_PARTS = ("align", "conflict")
_PATTERN = re.compile(r"(?:.*_)?(\d{1,9})_(\d{1,9})")


class _File(NamedTuple):
    """An image: its place below the root, and the numbers in its name."""

    path: pathlib.Path
    id: str
    target: int
    bias: int


def load_biased_folder(
    path: str | os.PathLike[str],
    split: str = "train",
    *,
    num_classes: int | None = None,
    image_size: int | None = None,
) -> BiasedDataset:
    """Loads images called `…_<target>_<bias>.png` (or .jpg, …), numbers from 0.

    The training set is what lies in the folders `align` and `conflict`, the other
    splits what lies in one of their name, in sub-folders of any depth and name. A split
    that is not in `path` is looked for beside it, for several ratios may share a test
    set. Hidden and system entries and other kinds of files are passed over.

    In bFFHQ the target is the age and the bias the gender; its published test set is
    the conflicting part alone: `take_biased(test, ~test.is_aligned)`.

    Args:
      path: the folder of one ratio, such as `cmnist/1pct` or `bffhq/0.5pct`.
      split: "train", "valid" or "test".
      num_classes: C; by default the largest number in any name plus one.
      image_size: resize every image to this many pixels squared, bilinearly. By
        default the images must agree in size.

    Returns:
      A `BiasedDataset` of RGB uint8 images, sorted by their ids, the paths below
      `path` (or beside it).

    Raises:
      ValueError: a folder that is missing or holds no image, a name without the
        pattern or not in UTF-8, an image in `align` whose numbers differ or in
        `conflict` whose numbers agree, numbers out of range, a class without example,
        an unreadable image, or sizes that differ without `image_size`.
      ImportError: Pillow is not installed.
    """
    need_pillow()
    checks.one_of("split", split, BIASED_SPLITS)
    if image_size is not None:
        checks.at_least("image_size", image_size, 1)
    if num_classes is not None:
        checks.at_least("num_classes", num_classes, 2)
    root = pathlib.Path(path)
    if not root.is_dir():
        raise ValueError(f"path: {str(root)!r} is not a folder")
    files: list[_File] = []
    for part in _TRAIN_PARTS if split == "train" else (split,):
        files += _files(root, part)
    files.sort(key=lambda file: file.id)
    check_text("path", [file.id for file in files])
    size = num_classes or 1 + max(max(file.target, file.bias) for file in files)
    names = [str(number) for number in range(max(size, 2))]
    targets = np.array([file.target for file in files])
    checks.labels("path", targets, len(names), need_every_class=True)
    bias = checks.labels("path", [file.bias for file in files], len(names))
    listed = [(file.target, file.path) for file in files]
    check_sizes(listed, same=image_size is None)
    images, _ = decode(listed, image_size)
    dataset = make_dataset(
        images,
        targets,
        ids=np.array([file.id for file in files]),
        class_names=names,
        name=f"{printable(root)}[{split}]",
    )
    return make_biased(dataset, bias)


def _files(root: pathlib.Path, part: str) -> list[_File]:
    """All images of a part, by their names."""
    folder = root / part
    if not folder.is_dir() and part not in _TRAIN_PARTS:
        folder = root.resolve().parent / part
    if not folder.is_dir():
        raise ValueError(
            f"path: {str(root)!r} has no folder {part!r}, expected align and conflict "
            "for training, or one called like the split"
        )
    found, strange = [], []
    for place, folders, names in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not is_system_entry(name) and not name.startswith(".")
        ]
        for name in names:
            file = pathlib.Path(place, name)
            hidden = is_system_entry(name) or name.startswith(".")
            if hidden or file.suffix.lower() not in SUFFIXES:
                continue
            match = _PATTERN.fullmatch(file.stem)
            if match is None:
                strange.append(str(file))
                continue
            below = file.relative_to(folder.parent).as_posix()
            found.append(_File(file, below, *map(int, match.groups())))
    if strange:
        raise ValueError(
            f"path: {len(strange)} of {len(strange) + len(found)} image(s) in "
            f"{str(folder)!r} are not called …_<target>_<bias> (first: "
            f"{min(strange)!r}), expected two numbers at the end of every name"
        )
    if not found:
        raise ValueError(f"path: {str(folder)!r} holds no image")
    if part in _TRAIN_PARTS:
        wrong = [f for f in found if (f.target == f.bias) != (part == "align")]
        if wrong:
            raise ValueError(
                f"path: {len(wrong)} image(s) in {str(folder)!r} have target and bias "
                f"that {'differ' if part == 'align' else 'agree'} (first: "
                f"{min(f.id for f in wrong)!r}), expected the others in {part!r}"
            )
    return found
