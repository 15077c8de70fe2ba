"""Parquet files and folders of Hugging Face `datasets`, as objects."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from robustjax.data._located_json import Located

SEVERAL, ONE = "dataset_dict.json", "state.json"
"""Of which one lies in a folder of several splits, the other in that of one."""


def read_arrow_objects(
    path: pathlib.Path, split: str | None, *, name: str
) -> list[Located]:
    """The rows of a Parquet file, of a folder of them, or of a saved `datasets` folder.

    Args:
      path: a `.parquet` file; a folder that `Dataset.save_to_disk` or
        `DatasetDict.save_to_disk` wrote; or a folder of Parquet files, named
        `split-….parquet` as on the Hub where there are several splits.
      split: of the folder; needed where it has several. A file has none.
      name: what to call the path in an error.

    Raises:
      ValueError: pyarrow is not installed, a file that cannot be read, or a split that
        is unknown or missing.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise ValueError(
            f"{name}: reading {str(path)!r} needs pyarrow, "
            "expected `pip install robustjax[instructions]`"
        ) from None
    try:
        if path.is_file():
            _only_split(path, split, None)
            tables = [parquet.read_table(path)]
        elif (path / SEVERAL).is_file():
            return read_arrow_objects(saved_split(path, split, name), None, name=name)
        elif (path / ONE).is_file():
            _only_split(path, split, _recorded_split(path))
            tables = saved_tables(path, pa, name)
        else:
            files = _parquet_files(path, split, name)
            tables = [parquet.read_table(file) for file in files]
    except (OSError, pa.ArrowException, KeyError, json.JSONDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{name}: cannot read {str(path)!r}: {reason}") from None
    rows = [row for table in tables for row in table.to_pylist()]
    if not rows:
        raise ValueError(f"{name}: {str(path)!r} has no rows, expected records")
    return [Located(f"row {number}", row) for number, row in enumerate(rows)]


def saved_split(path: pathlib.Path, split: str | None, name: str) -> pathlib.Path:
    """The folder of one of several splits that `datasets` saved.

    Raises:
      ValueError: a split that is unknown or missing.
    """
    known = json.loads((path / SEVERAL).read_text("utf-8"))["splits"]
    return path / _choose(list(known), split, path, name)


def saved_tables(path: pathlib.Path, pa: Any, name: str) -> list[Any]:
    """The Arrow tables of one split that `datasets` saved.

    Raises:
      ValueError: rows that are kept by an indices mapping.
    """
    state = json.loads((path / ONE).read_text("utf-8"))
    if state.get("_indices_files"):
        raise ValueError(
            f"{name}: {str(path)!r} keeps its rows by an indices mapping, expected a "
            "data set saved after flatten_indices()"
        )
    tables = []
    for each in state["_data_files"]:
        with pa.memory_map(str(path / pathlib.Path(each["filename"]).name)) as file:
            tables.append(pa.ipc.open_stream(file).read_all())
    return tables


def _recorded_split(path: pathlib.Path) -> str | None:
    """Of which split `datasets` noted that a folder is, if it did."""
    found = json.loads((path / ONE).read_text("utf-8")).get("_split")
    return None if found is None else str(found)


def _only_split(path: pathlib.Path, split: str | None, known: str | None) -> None:
    """Raises `ValueError` for another split than the one that is there."""
    if split not in (None, known):
        there = "no splits" if known is None else f"the split {known!r} alone"
        raise ValueError(f"split: got {split!r}, but {str(path)!r} has {there}")


def _parquet_files(
    path: pathlib.Path, split: str | None, name: str
) -> list[pathlib.Path]:
    files = sorted(path.glob("*.parquet")) or sorted((path / "data").glob("*.parquet"))
    if not files:
        raise ValueError(
            f"{name}: {str(path)!r} is a folder without Parquet files, state.json or "
            "dataset_dict.json"
        )
    by_split: dict[str, list[pathlib.Path]] = {}
    for file in files:
        by_split.setdefault(file.stem.partition("-")[0], []).append(file)
    return by_split[_choose(list(by_split), split, path, name)]


def _choose(known: list[str], split: str | None, path: pathlib.Path, name: str) -> str:
    """The split that is meant; `ValueError` for one that is unknown or missing."""
    if split in known:
        return str(split)
    if split is None and len(known) == 1:
        return known[0]
    raise ValueError(
        f"split: got {split!r} for {str(path)!r}, expected one of {', '.join(known)}"
    )
