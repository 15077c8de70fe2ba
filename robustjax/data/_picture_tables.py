"""Tables whose rows are pictures: paths of files, or the files themselves."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from robustjax import checks
from robustjax.data._dataset import Dataset, make_dataset
from robustjax.data._image_folder import check_sizes, decode, need_pillow
from robustjax.data._table_labels import class_names_of, label_texts, unlabeled
from robustjax.data._tables import (
    SPLIT,
    id_column_of,
    ids_of,
    label_column_of,
    open_table,
    rows_of_split,
    table_columns,
)


def load_picture_table(
    source: Any,
    image_column: str,
    split: str | None = None,
    *,
    label_column: str | None = None,
    id_column: str | None = None,
    skip_unlabeled: bool = False,
    image_size: int | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Loads a table that says of pictures what they show.

    Args:
      source: the path of a table or a data frame, see `load_table`.
      image_column: of paths of image files below `folder` (or absolute ones), or of
        the content of such files, as Hugging Face `datasets` keeps them.
      split: see `load_table`.
      label_column: likewise.
      id_column: by default "id", a data frame's index, or else the paths.
      skip_unlabeled: leave out rows without a label, which are an error otherwise.
      image_size: resize every image to this many pixels squared, bilinearly. By
        default the images must agree in size.
      folder: of the images; by default that of the table.

    Returns:
      A `Dataset` with RGB uint8 inputs (N, H, W, 3), decoded as by
      `load_image_folder`; classes as by `load_table`.

    Raises:
      ValueError: a table or an image that cannot be read, a missing or unknown column,
        a blank path, a missing label, or sizes that differ without `image_size`.
      ImportError: pyarrow (extra `tools`) or Pillow is not installed.
    """
    need_pillow()
    if image_size is not None:
        checks.at_least("image_size", image_size, 1)
    texts = (label_column or "label", id_column or "id", SPLIT, image_column)
    table, name, neutralised = open_table(source, texts)
    columns = table_columns(table, name)
    if image_column not in columns:
        raise ValueError(
            f"image_column: got {image_column!r}, expected one of "
            f"{', '.join(map(repr, list(columns)[:12]))}"
        )
    label = label_column_of(label_column, columns, name)
    identity = id_column_of(id_column, columns, fallback=image_column)
    labeled = ~unlabeled(columns[label]) if skip_unlabeled else None
    of_row = label_texts(columns[label], label, neutralised, labeled)
    rows = rows_of_split(columns.get(SPLIT), split, table.num_rows, name)
    if labeled is not None:
        rows = rows[labeled[rows]]
    names = class_names_of(list(of_row.values()))
    place = {text: number for number, text in enumerate(names)}
    pictures = columns[image_column].to_pylist()
    if folder is None and isinstance(source, str | os.PathLike):
        folder = pathlib.Path(source).parent
    root = pathlib.Path(folder or ".")
    with _files([pictures[row] for row in rows], rows, image_column, root) as files:
        listed = [(0, file) for file in files]
        check_sizes(listed, same=image_size is None)
        inputs, _ = decode(listed, image_size)
    ids: Any = rows
    if identity is not None:
        ids = ids_of(columns[identity], identity, neutralised)[rows]
    return make_dataset(
        inputs,
        np.array([place[of_row[row]] for row in rows.tolist()], np.int32),
        ids=ids,
        class_names=names,
        name=name if split is None else f"{name}[{split}]",
    )


@contextlib.contextmanager
def _files(
    pictures: Sequence[Any], rows: np.ndarray, column: str, root: pathlib.Path
) -> Iterator[list[pathlib.Path]]:
    """Where the images are; what a table holds itself is written out meanwhile."""
    with tempfile.TemporaryDirectory() as temporary:
        found = []
        for row, picture in zip(rows.tolist(), pictures):
            content = picture
            if isinstance(picture, dict):
                content = picture.get("bytes") or picture.get("path")
            if isinstance(content, str) and content.strip():
                found.append(root / content)
            elif isinstance(content, bytes) and content:
                found.append(pathlib.Path(temporary, f"row {row} of {column}"))
                found[-1].write_bytes(content)
            else:
                raise ValueError(
                    f"image_column: row {row} (from 0) has no path and no image in "
                    f"{column!r}"
                )
        yield found
