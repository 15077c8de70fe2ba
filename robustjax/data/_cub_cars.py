"""CUB-200-2011 and Stanford Cars with their boxes, read through tfds."""

from __future__ import annotations

import logging
import os
import pathlib
from typing import Any

import numpy as np

from robustjax import checks
from robustjax.data._dataset import Dataset
from robustjax.data._located import LocatedDataset, make_located, scale_boxes
from robustjax.data._names import check_class_names
from robustjax.data._resize import resize_image


def load_cub200(
    split: str,
    data_dir: str | None = None,
    image_size: int = 224,
    *,
    per_class: int | None = None,
    list_file: str | pathlib.Path | None = None,
) -> LocatedDataset:
    """Loads CUB-200-2011: 200 kinds of birds, 5,994 training and 5,794 test images.

    The tfds set `caltech_birds2011`, prepared as `load_tfds` says. (The thesis prints
    6,033 images, the size of the 2010 edition.)

    Args:
      split: "train" or "test".
      data_dir: the tfds folder; by default tfds's own.
      image_size: images are resized to this many pixels squared, antialiased, aspect
        not kept. The published box regression trains on random 224 crops of 256 (see
        `random_crop_with_box`) and tests on 224.
      per_class: keep only the first so many images of each class, 10 and 20 in the
        few-shot tables.
      list_file: the set's own `images.txt`, whose order "first" then follows, as
        published. tfds does not carry that order; by default it is that of the file
        names, which picks other images.

    Returns:
      A `LocatedDataset`, class by class in that order. Ids are
      "<class folder>/<file name>", class names such as "black_footed_albatross".

    Raises:
      ValueError: another split, a set that is not prepared here, a class with fewer
        than `per_class` images, or a list that lacks an image.
    """
    checks.one_of("split", split, ("train", "test"))
    if per_class is not None:
        checks.at_least("per_class", per_class, 1)
    builder = _prepared_builder("caltech_birds2011", split, data_dir)
    keys = ("image/filename", "label", "label_name")
    records = _read_fields(builder, split, keys)
    # The path inside the archive starts above the class folder.
    ids = ["/".join(_text(r["image/filename"]).split("/")[-2:]) for r in records]
    labels = np.array([int(record["label"]) for record in records], np.int32)
    position = _list_positions(list_file, ids)
    rows = np.array(sorted(range(len(ids)), key=lambda r: (labels[r], position[r])))
    if per_class is not None:
        kept = []
        for label in np.unique(labels):
            mine = rows[labels[rows] == label]
            if len(mine) < per_class:
                raise ValueError(
                    f"per_class: got {per_class}, but class {label} has only "
                    f"{len(mine)} images in {split!r}"
                )
            kept.append(mine[:per_class])
        rows = np.concatenate(kept)
    names = {int(r["label"]): _text(r["label_name"]) for r in records}
    class_names = [
        names.get(c, str(c)) for c in range(builder.info.features["label"].num_classes)
    ]
    # Corners over the image's size: edges, the right and lower ones exclusive.
    return _load(builder, split, image_size, rows, labels, ids, class_names, first=0)


def load_cars(
    split: str,
    data_dir: str | None = None,
    image_size: int = 224,
    *,
    count: int | None = None,
) -> LocatedDataset:
    """Loads Stanford Cars: 196 models of cars, 8,144 training and 8,041 test images.

    The tfds set `cars196`, prepared as `load_tfds` says.

    Args:
      split: "train" or "test".
      data_dir: the tfds folder; by default tfds's own.
      image_size: see `load_cub200`.
      count: keep only the first so many images of the annotation list, 2,000 and
        4,000 in the few-shot tables. Few of them may miss a class.

    Returns:
      A `LocatedDataset` in the order of the annotation list, that of its ids "00001",
      "00002", …

    Raises:
      ValueError: another split, a set that is not prepared here, or a `count` above
        its size.
    """
    checks.one_of("split", split, ("train", "test"))
    if count is not None:
        checks.at_least("count", count, 1)
    builder = _prepared_builder("cars196", split, data_dir)
    records = _read_fields(builder, split, ("id", "label"))
    ids = [_text(record["id"]) for record in records]
    labels = np.array([int(record["label"]) for record in records], np.int32)
    rows = np.array(sorted(range(len(ids)), key=ids.__getitem__))
    if count is not None:
        if count > len(rows):
            raise ValueError(
                f"count: got {count}, expected at most the {len(rows)} of {split!r}"
            )
        rows = rows[:count]
    class_names = list(builder.info.features["label"].names)
    # The annotations count pixels from one and include both corners.
    return _load(builder, split, image_size, rows, labels, ids, class_names, first=1)


def _prepared_builder(name: str, split: str, data_dir: str | None) -> Any:
    """The tfds builder of a set that is there, with the split."""
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            f"dataset: reading {name!r} needs tensorflow-datasets; "
            "pip install 'robustjax[tools]', or carry the data as .npz "
            "(save_located_npz)"
        ) from error
    # Opening a file logs a performance hint of array_record as an error.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    if data_dir is not None and not os.path.isdir(data_dir):
        raise ValueError(f"data_dir: {data_dir!r} is not a folder")
    builder = tfds.builder(name, data_dir=data_dir)
    if split not in builder.info.splits:
        raise ValueError(
            f"dataset: {name!r} is not prepared under {builder.data_path}; prepare it "
            "in the array_record format (extra `tfds-preparation`) or pass data_dir"
        )
    return builder


def _read(builder: Any, split: str, *, decode_images: bool) -> Any:
    """The split's records; what is not needed stays encoded, for that is slow."""
    import tensorflow_datasets as tfds

    skipped = {"segmentation_mask"} if decode_images else {"image", "segmentation_mask"}
    decoders = {
        key: tfds.decode.SkipDecoding() for key in skipped & set(builder.info.features)
    }
    return builder.as_data_source(split=split, decoders=decoders)


def _read_fields(
    builder: Any, split: str, keys: tuple[str, ...]
) -> list[dict[str, Any]]:
    """These fields of every record, without the images."""
    source = _read(builder, split, decode_images=False)
    return [{key: record[key] for key in keys} for record in source]


def _load(
    builder: Any,
    split: str,
    image_size: int,
    rows: np.ndarray,
    labels: np.ndarray,
    ids: list[str],
    class_names: list[str],
    *,
    first: int,
) -> LocatedDataset:
    """Decodes the wanted rows, resizing each image and its box at once.

    `first` is what the annotations call the first pixel, 0 or 1.
    """
    checks.at_least("image_size", image_size, 1)
    size = (image_size, image_size)
    source = _read(builder, split, decode_images=True)
    images = np.empty((len(rows), *size, 3), np.uint8)
    boxes = np.empty((len(rows), 4), np.float32)
    for i, row in enumerate(rows):
        record = source[int(row)]
        image = np.asarray(record["image"])
        height, width = image.shape[:2]
        # tfds divides by the image's size and orders (ymin, xmin, ymax, xmax).
        top, left, bottom, right = np.asarray(record["bbox"], np.float64)
        low = np.array([left * width, top * height]) - first
        high = np.array([right * width, bottom * height]) - 1
        last = np.array([width - 1, height - 1])
        low = np.clip(low, 0, last)
        corners = np.concatenate([low, np.clip(high, low, last)])
        boxes[i] = scale_boxes(corners[None], (height, width), size)[0]
        images[i] = resize_image(image, size)
    dataset = Dataset(
        images,
        labels[rows],
        checks.unique_ids("ids", [ids[row] for row in rows]),
        check_class_names(class_names),
        f"{builder.info.name}[{split}]",
    )
    return make_located(dataset, boxes)


def _list_positions(
    list_file: str | pathlib.Path | None, ids: list[str]
) -> list[int] | list[str]:
    """What to sort images by: their place in the list, or their names."""
    if list_file is None:
        return ids
    try:
        lines = pathlib.Path(list_file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ValueError(
            f"list_file: cannot read {str(list_file)!r}: {reason}"
        ) from None
    place: dict[str, int] = {}
    for number, line in enumerate(lines):
        # Each line is "<number> <class folder>/<file name>".
        *_, name = line.strip().split(maxsplit=1) or [""]
        if name and place.setdefault(name, number) != number:
            raise ValueError(
                f"list_file: {str(list_file)!r} names {name!r} in lines "
                f"{place[name] + 1} and {number + 1}, expected once"
            )
    missing = [name for name in ids if name not in place]
    if missing:
        raise ValueError(
            f"list_file: {len(missing)} image(s) are not in {list_file} (first: "
            f"{missing[0]!r}), expected every one"
        )
    return [place[name] for name in ids]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
