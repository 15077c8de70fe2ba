"""Folders that Hugging Face `datasets` saved, as Arrow tables; without that library."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from robustjax.data._arrow_objects import ONE, SEVERAL, saved_split, saved_tables
from robustjax.data._table_files import import_arrow


def is_saved(path: pathlib.Path) -> bool:
    """Whether `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote a folder."""
    return (path / SEVERAL).is_file() or (path / ONE).is_file()


def read_saved(path: pathlib.Path, split: str) -> tuple[Any, list[str]]:
    """The rows of a split, and its columns of pictures.

    Args:
      path: of the folder, for which `is_saved`.
      split: of several; a data set that was saved alone is "train".

    Returns:
      An Arrow table in which class labels are their names (nothing for -1, as is usual
      where a test set has none), and the names of columns of images.

    Raises:
      ValueError: a folder that cannot be read, or an unknown split.
      ImportError: pyarrow is not installed.
    """
    pa = import_arrow("path")
    try:
        if (path / SEVERAL).is_file():
            return read_saved(saved_split(path, split, "path"), "")
        if split not in ("", "train"):
            raise ValueError(f"split: got {split!r}, but {str(path)!r} is one split")
        table = pa.concat_tables(saved_tables(path, pa, "path"))
        info = json.loads((path / "dataset_info.json").read_text("utf-8"))
        features = info["features"]
    except (OSError, pa.ArrowException, KeyError, json.JSONDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"path: cannot read {str(path)!r}: {reason}") from None
    if not table.num_rows:
        raise ValueError(f"path: {str(path)!r} has no rows")
    pictures = []
    for place, name in enumerate(table.column_names):
        feature = features.get(name, {})
        kind = feature.get("_type") if isinstance(feature, dict) else None
        if kind == "Image":
            pictures.append(name)
        elif kind == "ClassLabel":
            names = feature["names"]
            codes = table.column(name).to_pylist()
            texts = [names[code] if code is not None and code >= 0 else None
                     for code in codes]  # fmt: skip
            table = table.set_column(place, name, pa.array(texts, pa.string()))
    return table, pictures
