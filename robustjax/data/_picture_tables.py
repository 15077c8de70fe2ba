"""Tables whose rows are pictures: paths of files, or the files themselves."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

from robustjax import checks
from robustjax.data._dataset import Dataset
from robustjax.data._image_folder import check_sizes, decode, need_pillow
from robustjax.data._table_examples import read_table_examples


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
    found, ids, pictures = read_table_examples(
        source,
        "image_column",
        image_column,
        split,
        label_column=label_column,
        id_column=id_column,
        skip_unlabeled=skip_unlabeled,
        names_rows=True,
    )
    if folder is None and isinstance(source, str | os.PathLike):
        folder = pathlib.Path(source).parent
    rows, root = found.rows.tolist(), pathlib.Path(folder or ".")
    with _files(rows, pictures, image_column, root) as files:
        listed = [(0, file) for file in files]
        check_sizes(listed, same=image_size is None)
        inputs, _ = decode(listed, image_size)
    return found.with_inputs(inputs, ids)


@contextlib.contextmanager
def _files(
    rows: list[int], pictures: list[Any], column: str, root: pathlib.Path
) -> Iterator[list[pathlib.Path]]:
    """Where the images are; what a table holds itself is written out meanwhile."""
    with tempfile.TemporaryDirectory() as temporary:
        found = []
        for row, picture in zip(rows, pictures):
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
