"""Image folders: one sub-folder per class."""

from __future__ import annotations

import pathlib

import numpy as np

from robustjax import checks
from robustjax.data.dataset import Dataset, make_dataset

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


def load_image_folder(
    path: str | pathlib.Path, *, image_size: int | None = None
) -> Dataset:
    """Loads `path/<class>/<anything>.png` (or .jpg, …) into memory.

    Args:
      path: a folder with one sub-folder per class.
      image_size: resize every image to this many pixels squared, bilinearly. By
        default the images must agree in size.

    Returns:
      A `Dataset` with RGB uint8 inputs (N, H, W, 3), classes in alphabetical order,
      ids "<class>/<file name>".

    Raises:
      ValueError: no class folders, an empty class, an unreadable image, or sizes
        that differ without `image_size`.
    """
    from PIL import Image, UnidentifiedImageError

    root = pathlib.Path(path)
    if not root.is_dir():
        raise ValueError(f"path: {str(root)!r} is not a folder")
    if image_size is not None:
        checks.at_least("image_size", image_size, 1)
    classes = sorted(folder.name for folder in root.iterdir() if folder.is_dir())
    if len(classes) < 2:
        raise ValueError(
            f"path: {str(root)!r} has {len(classes)} sub-folder(s), expected one per "
            "class and at least two"
        )
    images: list[np.ndarray] = []
    labels: list[int] = []
    ids: list[str] = []
    for label, name in enumerate(classes):
        files = sorted(
            file for file in (root / name).iterdir() if file.suffix.lower() in SUFFIXES
        )
        if not files:
            raise ValueError(f"path: class folder {name!r} holds no image")
        for file in files:
            try:
                with Image.open(file) as image:
                    rgb = image.convert("RGB")
                    if image_size is not None:
                        size = (image_size, image_size)
                        rgb = rgb.resize(size, Image.Resampling.BILINEAR)
                    array = np.asarray(rgb)
            except (UnidentifiedImageError, OSError) as error:
                raise ValueError(f"path: cannot read {str(file)!r}: {error}") from None
            if images and array.shape != images[0].shape:
                raise ValueError(
                    f"path: {str(file)!r} has shape {array.shape}, others "
                    f"{images[0].shape}; give image_size to resize them all"
                )
            images.append(array)
            labels.append(label)
            ids.append(f"{name}/{file.name}")
    return make_dataset(
        np.stack(images),
        np.asarray(labels, np.int32),
        ids=np.asarray(ids),
        class_names=classes,
        name=str(root),
    )
