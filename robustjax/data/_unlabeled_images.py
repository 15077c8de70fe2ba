"""Folders of images of which nothing is known."""

from __future__ import annotations

import logging
import os
import pathlib
from collections.abc import Callable

import numpy as np

from robustjax.data._dataset import Dataset, make_dataset
from robustjax.data._image_decoding import SUFFIXES, is_image
from robustjax.data._image_folder import check_sizes, decode, image_root
from robustjax.data._names import printable
from robustjax.files import is_system_entry

_log = logging.getLogger(__name__)


def load_unlabeled_images(
    path: str | pathlib.Path,
    *,
    image_size: int | None = None,
    report: Callable[[str], None] | None = None,
) -> Dataset:
    """Loads all images below a folder, however deep, into memory.

    Images are told and decoded as by `load_image_folder`. Hidden files and folders, and
    what is no image, are left out; one sentence says how many.

    Args:
      path: a folder.
      image_size: resize every image to this many pixels squared, bilinearly. By
        default the images must agree in size.
      report: called with the sentence about what was left out; by default a warning in
        the log.

    Returns:
      A `Dataset` with RGB uint8 inputs (N, H, W, 3), all of one class "unlabeled"; ids
      are paths below the folder, in alphabetical order.

    Raises:
      ValueError: no folder or no image in it, a name that is not UTF-8, an unreadable
        image, or sizes that differ without `image_size`.
      ImportError: Pillow is not installed.
    """
    root = image_root(path, image_size)
    images, others = _images_below(root)
    if not images:
        raise ValueError(f"path: no image below {str(root)!r}")
    files = [(0, file) for file in images]
    check_sizes(files, same=image_size is None)
    inputs, _ = decode(files, image_size)
    if others:
        first = others[0].relative_to(root).as_posix()
        (report or _log.warning)(
            f"image folder {str(root)!r}: left out {len(others):,} hidden or no image "
            f"(first: {first!r})"
        )
    return make_dataset(
        inputs,
        np.zeros(len(images), np.int32),
        ids=np.array([file.relative_to(root).as_posix() for file in images]),
        class_names=["unlabeled"],
        name=printable(root),
    )


def image_files(path: str | pathlib.Path) -> list[pathlib.Path]:
    """All image files below a folder, however deep, in alphabetical order.

    They are told as by `load_unlabeled_images`, and not decoded.

    Args:
      path: a folder.

    Returns:
      Paths that begin with `path`.

    Raises:
      ValueError: no folder, or no image below it.
      ImportError: Pillow is not installed.
    """
    root = image_root(path, None)
    images, _ = _images_below(root)
    if not images:
        raise ValueError(f"path: no image below {str(root)!r}")
    return images


def _images_below(root: pathlib.Path) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
    """Images, and other files but those of systems, both in order."""
    images, others = [], []
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not is_system_entry(name)]
        hidden = any(
            part.startswith(".") for part in pathlib.Path(place).relative_to(root).parts
        )
        for name in names:
            file = pathlib.Path(place, name)
            if is_system_entry(name):
                continue
            if hidden or name.startswith("."):
                others.append(file)
            elif file.suffix.lower() in SUFFIXES or (
                not file.suffix and is_image(file)
            ):
                images.append(file)
            else:
                others.append(file)
    return sorted(images), sorted(others)
