"""Any classification set of TensorFlow Datasets, read without TensorFlow."""

from __future__ import annotations

import difflib
import importlib.metadata
import logging
import os
import pathlib
from typing import Any

import numpy as np

from robustjax import checks
from robustjax.data._dataset import Dataset, make_dataset
from robustjax.data._decoded_cache import decoded_once


def load_tfds(
    name: str,
    split: str,
    *,
    data_dir: str | None = None,
    label_key: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Loads a split of a prepared tfds data set into memory.

    Reads through `tfds.data_source`, so the set must have been prepared in a
    random-access format (`tfds build --file_format=array_record`, or
    `tfds.builder(name, file_format="array_record").download_and_prepare()`, which
    need TensorFlow). Nothing is downloaded.

    Args:
      name: the tfds name, such as "mnist", "cifar10" or "cifar10_n:1.0.4".
      split: a tfds split, slices included, such as "train[:20000]".
      data_dir: the tfds folder; by default tfds's own.
      label_key: the feature to use as label; by default the only class label or,
        among several, "label".
      cache_dir: where the decoded split is kept for the next time, and found while no
        file changes; by default nowhere. See `decoded_once`.

    Returns:
      A `Dataset`. Ids are the feature `id` where the set has one, else the position
      in the *whole* split on disk ("train/00042"), which is the set's own shuffled
      order and stays the same for slices.

    Raises:
      ValueError: an unknown set, split or label, a set that is not prepared here,
        or images of different shapes.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            f"dataset: reading {name!r} needs tensorflow-datasets; "
            "pip install 'robustjax[tools]', or carry the data as .npz"
        ) from error
    # Opening a file logs a performance hint of array_record as an error.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    if data_dir is not None and not os.path.isdir(data_dir):
        raise ValueError(f"data_dir: {data_dir!r} is not a folder")
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError:
        here = sorted(os.listdir(data_dir)) if data_dir else []
        where = f"; prepared under {data_dir}: {', '.join(here)}" if here else ""
        known = tfds.list_builders(with_community_datasets=False)
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(
            f"dataset: tfds knows no {name!r}{hint}, and it is neither 'digits', an "
            f".npz file nor a folder of images{where}"
        ) from None
    if not builder.info.splits:
        raise ValueError(
            f"dataset: {name!r} is not prepared under {builder.data_path}; prepare it "
            "in the array_record format (extra `tfds-preparation`) or pass --data_dir"
        )
    try:
        instructions = tfds.core.ReadInstruction.from_spec(split).to_absolute(
            builder.info.splits
        )
    except (AssertionError, KeyError, ValueError):
        known = ", ".join(
            f"{key} ({value.num_examples})"
            for key, value in builder.info.splits.items()
        )
        raise ValueError(
            f"split: {name!r} cannot give {split!r}; it has {known}"
        ) from None
    label_key = label_key or _only_label(builder.info.features, name)
    if label_key not in builder.info.features:
        checks.one_of("label_key", label_key, builder.info.features)
    features = builder.info.features

    def decoded() -> tuple[Dataset, bool]:
        source = builder.as_data_source(split=split)
        inputs, labels, ids = _read(source, features, label_key, name)
        if ids is None:
            sizes = {
                key: part.num_examples for key, part in builder.info.splits.items()
            }
            ids = np.array(
                [
                    f"{part.splitname}/{row:05d}"
                    for part in instructions
                    for row in range(sizes[part.splitname])[part.from_ : part.to]
                ]
            )
        names = getattr(features[label_key], "names", None)
        dataset = make_dataset(
            inputs,
            labels,
            ids=ids,
            class_names=list(names) if names else None,
            name=f"{name}[{split}]",
        )
        return dataset, True

    return decoded_once(
        decoded,
        {
            "tfds": builder.info.full_name,
            "split": split,
            "label_key": label_key,
            "versions": [
                importlib.metadata.version(package)
                for package in ("tensorflow-datasets", "pillow", "array_record")
            ],
        },
        [path for path in pathlib.Path(builder.data_path).iterdir() if path.is_file()],
        cache_dir=cache_dir,
    )


def _only_label(features: Any, name: str) -> str:
    """The key of the class label, preferring "label" among several."""
    labels = [key for key, value in features.items() if hasattr(value, "num_classes")]
    if "label" in labels:
        return "label"
    if len(labels) == 1:
        return labels[0]
    raise ValueError(
        f"label_key: {name!r} has {len(labels)} class labels ({', '.join(labels)}), "
        "expected one of them to be named"
    )


def _whole(labels: list[Any]) -> np.ndarray:
    """Labels with truths as 0 and 1; another feature's fractions stay what they are."""
    array = np.asarray(labels)
    return array.astype(np.int32) if array.dtype == bool else array


def _read(
    source: Any, features: Any, label_key: str, name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Decodes a whole split into (inputs, labels, ids or None)."""
    if "image" not in features:
        raise ValueError(
            f"dataset: {name!r} has no feature 'image' (it has {', '.join(features)}); "
            "export its inputs as .npz"
        )
    inputs: list[np.ndarray] = []
    labels: list[Any] = []
    ids: list[Any] = []
    has_id = "id" in features
    for record in source:
        image = np.asarray(record["image"])
        if inputs and image.shape != inputs[0].shape:
            raise ValueError(
                f"dataset: {name!r} has images of shapes {inputs[0].shape} and "
                f"{image.shape}, expected one shape; export it as a folder of images "
                "and give --image_size"
            )
        inputs.append(image)
        labels.append(record[label_key])
        if has_id:
            value = record["id"]
            ids.append(value.decode() if isinstance(value, bytes) else value)
    if not inputs:
        raise ValueError(f"split: {name!r} gives no example")
    return (
        np.stack(inputs),
        checks.labels("label_key", _whole(labels)),
        np.asarray(ids) if has_id else None,
    )
