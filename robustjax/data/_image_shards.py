"""A folder of images as shards: decoded once, and never all in memory."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from robustjax import checks
from robustjax.data._image_folder import check_sizes, decode, list_images, remark
from robustjax.data._names import printable
from robustjax.data._shards import write_shards


def write_image_shards(
    folder: str | os.PathLike[str],
    path: str | pathlib.Path,
    *,
    image_size: int | None = None,
    block: int = 256,
    shard_bytes: int = 2**28,
    report: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes `path/<class>/<image>` as shards that hold what `load_image_folder` gives.

    Images, labels, ids and class names are the same; a block of images and two shards
    are in memory at a time.

    Args:
      folder: see `write_shards`.
      path: of the images, see `load_image_folder`.
      image_size: see `load_image_folder`.
      block: images that are decoded together.
      shard_bytes: see `write_shards`.
      report: see `load_image_folder`.
      progress: called with the images done and all of them, after every block.

    Raises:
      ValueError: what `load_image_folder` or `write_shards` refuses.
      ImportError: Pillow is not installed.
    """
    checks.at_least("block", block, 1)
    root, listing = pathlib.Path(path), list_images(path, image_size)
    check_sizes(listing.files, same=image_size is None)
    animated: list[pathlib.Path] = []

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, len(listing.files), block):
            files = listing.files[start : start + block]
            images, several = decode(files, image_size)
            animated.extend(several)
            yield images
            if progress is not None:
                progress(start + len(files), len(listing.files))

    write_shards(
        folder,
        blocks(),
        listing.labels,
        ids=listing.ids(root),
        class_names=listing.classes,
        name=printable(root),
        shard_bytes=shard_bytes,
    )
    remark(root, listing, animated, report)
