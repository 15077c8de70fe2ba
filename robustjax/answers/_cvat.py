"""Answers that were given in CVAT: its export "CVAT for images 1.1", image by image."""

from __future__ import annotations

import pathlib
from collections import Counter

from robustjax import data
from robustjax.data._cvat_export import cvat_images


def read_cvat(
    path: pathlib.Path, dataset: data.Dataset, *, column: str, name: str
) -> list[tuple[int, dict[str, str]]]:
    """Reads an export as rows of a table of answers, with the lines of their images.

    Names of images are ids of the data set, or in every image what follows the last
    slash of an id, where no two ids end alike. An image without a tag is a blank.

    Args:
      path: of the file.
      dataset: whose ids are meant.
      column: that the tag is put into.
      name: what to call the file in an error.

    Raises:
      ValueError: see `cvat_images`.
    """
    images = cvat_images(path, name=name)
    id_of = _ids_by_name([each for _, each, _ in images], dataset)
    return [
        (line, {"id": id_of.get(each, each), column: tag, "annotator": ""})
        for line, each, tag in images
    ]


def _ids_by_name(names: list[str], dataset: data.Dataset) -> dict[str, str]:
    """Name -> id, if CVAT has left away the folders of all."""
    ids = [str(value) for value in dataset.ids.tolist()]
    if not set(names).isdisjoint(ids):
        return {}
    count = Counter(value.rpartition("/")[2] for value in ids)
    ends = {value.rpartition("/")[2]: value for value in ids}
    return {end: value for end, value in ends.items() if count[end] == 1}
