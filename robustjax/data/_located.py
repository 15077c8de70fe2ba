"""Data sets with one bounding box per image.

Boxes are (x1, y1, x2, y2) in pixels of the images, x to the right and y down, and
both corners belong to the box: a box that covers one pixel has x2 = x1. Pixel 0 lies
between the edges 0 and 1, so a box reaches from the edge x1 to the edge x2 + 1.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks
from robustjax.data._array_files import (
    array_names,
    load_npz,
    read_arrays,
    save_splits,
    without_prefix,
)
from robustjax.data._dataset import Dataset, row_numbers, take
from robustjax.data._resize import check_image_array, resize_images
from robustjax.data.augmentation._images import as_images, to_float


@dataclasses.dataclass(frozen=True)
class LocatedDataset:
    """A `Dataset` of images with a bounding box for each; built by `make_located`.

    Attributes:
      dataset: inputs (N, H, W, C), labels, ids, names.
      boxes: (N, 4) float32 inclusive corners (x1, y1, x2, y2) in pixels of the images.
    """

    dataset: Dataset
    boxes: np.ndarray

    def __len__(self) -> int:
        """The number of examples, N."""
        return len(self.dataset)


def make_located(dataset: Dataset, boxes: Any) -> LocatedDataset:
    """Builds a `LocatedDataset`, checking every box.

    Args:
      dataset: with images (N, H, W, C).
      boxes: (N, 4) numbers, inclusive corners (x1, y1, x2, y2) in pixels, with
        0 <= x1 <= x2 <= W - 1 and 0 <= y1 <= y2 <= H - 1.

    Raises:
      ValueError: inputs that are no images, another number of boxes, or boxes that
        are not finite, inverted or outside the image; names the first bad id.
    """
    images = check_image_array("inputs", dataset.inputs)
    if np.asarray(boxes).dtype.kind not in "biuf":
        found = np.asarray(boxes).dtype.name
        raise ValueError(f"boxes: got {found}, expected numbers")
    array = arrays.numbers("boxes", boxes)
    if array.shape != (len(dataset), 4):
        raise ValueError(
            f"boxes: got shape {array.shape}, expected ({len(dataset)}, 4), one for "
            f"each example of {dataset.name}"
        )
    array = arrays.cast("boxes", array)
    height, width = images.shape[1:3]
    x1, y1, x2, y2 = array.T
    inside = (x1 >= 0) & (y1 >= 0) & (x2 <= width - 1) & (y2 <= height - 1)
    for bad, expected in (
        (~np.isfinite(array).all(1), "finite numbers"),
        (x2 < x1, "x1 <= x2"),
        (y2 < y1, "y1 <= y2"),
        (~inside, f"corners inside the image, 0 … {width - 1} by 0 … {height - 1}"),
    ):
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise ValueError(
                f"boxes: {int(bad.sum())} bad box(es) (first: id "
                f"{dataset.ids[row].item()!r}, got {array[row].tolist()} as (x1, y1, "
                f"x2, y2)), expected {expected}"
            )
    return LocatedDataset(dataset, array)


def take_located(located: LocatedDataset, rows: np.ndarray) -> LocatedDataset:
    """The examples of the given rows with their boxes, ids and names kept."""
    rows = row_numbers("rows", rows, len(located))
    return LocatedDataset(take(located.dataset, rows), located.boxes[rows])


def scale_boxes(
    boxes: np.ndarray, old_size: tuple[int, int], new_size: tuple[int, int]
) -> np.ndarray:
    """Boxes of images that are resized from `old_size` to `new_size`.

    The edges x1 and x2 + 1 scale with the image. What would become narrower than one
    pixel keeps the width of one, inside the image.

    Args:
      boxes: (N, 4) inclusive corners.
      old_size: (height, width) now.
      new_size: (height, width) after.

    Returns:
      (N, 4) float32.
    """
    factor = np.array([new_size[1] / old_size[1], new_size[0] / old_size[0]])
    last = np.array([new_size[1] - 1, new_size[0] - 1])
    low = np.clip(boxes[:, :2] * factor, 0, last)
    high = np.clip((boxes[:, 2:] + 1) * factor - 1, low, last)
    return np.concatenate([low, high], axis=1).astype(np.float32)


def resize_located(located: LocatedDataset, size: tuple[int, int]) -> LocatedDataset:
    """Resizes images, antialiased and without keeping the aspect, and their boxes.

    Args:
      located: to resize; on the host.
      size: (height, width) of the result, >= 1.

    Raises:
      ValueError: a size below 1.
    """
    checks.at_least("size", min(size), 1)
    images = located.dataset.inputs
    if images.shape[1:3] == tuple(size):
        return located
    dataset = dataclasses.replace(located.dataset, inputs=resize_images(images, size))
    return make_located(dataset, scale_boxes(located.boxes, images.shape[1:3], size))


def random_crop_with_box(
    key: jax.Array,
    images: jax.Array,
    boxes: jax.Array,
    size: tuple[int, int],
    *,
    clip: bool = True,
) -> tuple[jax.Array, jax.Array]:
    """Cuts a random window out of every image and moves its box along.

    For images that were resized a little larger than the network's input, as 256 x
    256 to 224 x 224 in box regression (Park et al., NeurIPS 2021).

    Args:
      key: PRNG key.
      images: (B, H, W, C) uint8 or floats in [0, 1].
      boxes: (B, 4) inclusive corners in pixels of the images.
      size: (height, width) of the window, at most (H, W); all places are equally
        likely.
      clip: whether corners are cut to the window. The authors' code does not, so that
        a box may reach outside the image. A box wholly outside collapses onto the
        window's border.

    Returns:
      (B, *size, C) float32 images in [0, 1] and (B, 4) float32 boxes.

    Raises:
      ValueError: bad images, boxes of another shape, or a window below 1 or above the
        images' size.
    """
    images = as_images(images)
    boxes = arrays.float32("boxes", boxes)
    batch, height, width, channels = images.shape
    if boxes.shape != (batch, 4):
        raise ValueError(f"boxes: got shape {boxes.shape}, expected ({batch}, 4)")
    if not (1 <= size[0] <= height and 1 <= size[1] <= width):
        raise ValueError(
            f"size: got {tuple(size)}, expected 1 … {height} by 1 … {width}"
        )
    room = jnp.asarray([height - size[0], width - size[1]])
    corner = jax.random.randint(key, (batch, 2), 0, room[None] + 1)

    def cut(image: jax.Array, corner: jax.Array) -> jax.Array:
        start = (corner[0], corner[1], 0)
        return jax.lax.dynamic_slice(image, start, (*size, channels))

    # A box counts (x, y), an image (row, column).
    shift = jnp.tile(corner[:, ::-1], (1, 2)).astype(jnp.float32)
    moved = boxes - shift
    if clip:
        last = jnp.asarray([size[1] - 1, size[0] - 1] * 2, jnp.float32)
        moved = jnp.clip(moved, 0.0, last[None])
    return to_float(jax.vmap(cut)(images, corner)), moved


def save_located_npz(path: str | pathlib.Path, **splits: LocatedDataset) -> None:
    """Writes located data sets as the splits of one `.npz` file.

    The file is one of `save_npz` with `<split>_boxes` added, so `load_npz` reads it
    too, without the boxes.

    Args:
      path: the file to write.
      **splits: such as `train=…, test=…`, with equal class names.

    Raises:
      ValueError: no split, or class names that differ.
    """
    save_splits(
        path,
        {split: located.dataset for split, located in splits.items()},
        {f"{split}_boxes": located.boxes for split, located in splits.items()},
    )


def load_located_npz(path: str | pathlib.Path, split: str = "train") -> LocatedDataset:
    """Loads a split of an `.npz` file that has boxes.

    Args:
      path: a file of `save_located_npz`, or one for `load_npz` with an array
        `<split>_boxes` (N, 4) added (plain `boxes` in a file without prefixes).
      split: "train", "test" or any other prefix.

    Raises:
      ValueError: a file that cannot be read, misses an array, or holds bad data.
    """
    dataset = load_npz(path, split)
    keys = [f"{split}_boxes"] + (["boxes"] if split == "train" else [])
    arrays = read_arrays(path, "path", wanted=lambda key: key in keys)
    boxes = without_prefix(arrays, split, path=path, name="path").get("boxes")
    if boxes is None:
        raise ValueError(
            f"path: {str(path)!r} lacks {keys[0]}; it holds {array_names(path)}"
        )
    return make_located(dataset, boxes)
