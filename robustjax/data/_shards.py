"""A data set as a folder of shards: larger than memory, and checked before use."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from robustjax import arrays, checks
from robustjax.data._dataset import Dataset, check_white, make_dataset
from robustjax.data._file_rows import FileRows, NpyFile, inspect_npy
from robustjax.files import digest_of_record, partial_path
from robustjax.output_paths import check_output_folder

MANIFEST = "shards.json"
_FORMAT = 1
_LABELS, _IDS = "labels.npy", "ids.npy"


def write_shards(
    folder: str | os.PathLike[str],
    blocks: Iterable[Any],
    labels: Any,
    *,
    ids: Any = None,
    class_names: Sequence[str] | None = None,
    name: str = "shards",
    shard_bytes: int = 2**28,
) -> None:
    """Writes a data set whose inputs come in blocks, and never lie in memory whole.

    The folder appears under its name only when it is complete: `inputs-00000.npy`, …,
    `labels.npy`, `ids.npy` and the manifest `shards.json` with the size and the
    SHA-256 of every file. `data.load` and `load_shards` read it.

    Args:
      folder: that does not exist yet, or is empty.
      blocks: (n, ...) parts of the inputs, in order, of one shape and dtype.
      labels: (N,) integer class indices.
      ids: (N,) unique integers or strings; by default 0 … N-1.
      class_names: C names; by default "0" …
      name: of the data set, for reports.
      shard_bytes: of a file, at least one row; two are in memory at a time.

    Raises:
      ValueError: a folder that holds something or cannot be written, a block unlike
        the first or not finite, or labels, ids or names that `make_dataset` refuses.
    """
    checks.at_least("shard_bytes", shard_bytes, 1)
    check_output_folder("folder", folder)
    target = pathlib.Path(folder).absolute()
    if target.exists() and any(target.iterdir()):
        raise ValueError(f"folder: {str(folder)!r} holds files, expected none")
    # What it checks of labels and names does not depend on the inputs.
    labels = checks.labels("labels", labels)
    stand_in = np.zeros((len(labels), 1), np.uint8)
    known = make_dataset(stand_in, labels, ids=ids, class_names=class_names, name=name)
    partial = partial_path(target)
    partial.mkdir(parents=True)
    try:
        files = {}
        for number, shard in enumerate(_shards(_checked(blocks), shard_bytes)):
            files[f"inputs-{number:05}.npy"] = len(shard)
            np.save(partial / f"inputs-{number:05}.npy", shard)
        checks.same_length(inputs=range(sum(files.values())), labels=labels)
        np.save(partial / _LABELS, known.labels)
        np.save(partial / _IDS, known.ids)
        record = {
            "format": _FORMAT,
            "name": name,
            "class_names": list(known.class_names),
            "inputs": files,
            "files": {
                path.name: [path.stat().st_size, _sha256_of(path)]
                for path in sorted(partial.iterdir())
            },
        }
        record["digest"] = digest_of_record(record)
        (partial / MANIFEST).write_text(json.dumps(record, indent=1))
        if target.exists():
            target.rmdir()
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _checked(blocks: Iterable[Any]) -> Iterator[np.ndarray]:
    """Blocks of rows alike."""
    first = None
    for number, block in enumerate(blocks):
        block = arrays.numbers(f"block {number}", block)
        checks.finite(f"block {number}", block)
        if block.ndim < 2 or 0 in block.shape[1:]:
            raise ValueError(
                f"block {number}: got shape {block.shape}, expected (n, ...) with at "
                "least one feature"
            )
        check_white(f"block {number}", block.dtype, block.shape)
        first = block[:0] if first is None else first
        if block.shape[1:] != first.shape[1:] or block.dtype != first.dtype:
            raise ValueError(
                f"block {number}: got {block.dtype.name} of {block.shape[1:]}, "
                f"expected {first.dtype.name} of {first.shape[1:]} as of block 0"
            )
        yield block


def _shards(blocks: Iterable[np.ndarray], shard_bytes: int) -> Iterator[np.ndarray]:
    """The same rows in parts of one size; the last one may be smaller."""
    waiting: list[np.ndarray] = []
    rows = count = 0
    for block in blocks:
        row_bytes = block.dtype.itemsize * int(np.prod(block.shape[1:]))
        rows = max(1, shard_bytes // row_bytes)
        while len(block):
            part = block[: rows - count]
            # A copy: who made the block may use its memory again.
            waiting.append(part.copy())
            block, count = block[len(part) :], count + len(part)
            if count == rows:
                yield np.concatenate(waiting)
                waiting, count = [], 0
    if waiting:
        yield np.concatenate(waiting)


def load_shards(folder: str | os.PathLike[str], *, verify: bool = False) -> Dataset:
    """Opens what `write_shards` wrote; inputs are read when they are asked for.

    Sizes and headers of all files are checked now, before anything trains.

    Args:
      folder: with a manifest.
      verify: read everything once and compare the SHA-256 of every file.

    Returns:
      A `Dataset` whose `inputs` are `FileRows`.

    Raises:
      ValueError: no manifest, one that is damaged or of another version; a file that
        is missing, truncated, of other rows than the manifest says, or (with
        `verify`) of other content.
    """
    root = pathlib.Path(folder)
    record = _manifest(root)
    for name, (size, digest) in record["files"].items():
        _check_file(root / name, size, digest if verify else None)
    files: list[NpyFile] = []
    for name, count in record["inputs"].items():
        file = inspect_npy(root / name, "dataset")
        check_white("dataset", file.dtype, file.shape)
        if file.shape[0] != count or not _alike(file, files[0] if files else file):
            raise ValueError(
                f"dataset: {str(root / name)!r} holds {file.dtype.name} of "
                f"{file.shape}, expected {count} rows as of the other shards"
            )
        files.append(file)
    labels, ids = (np.load(root / each, allow_pickle=False) for each in (_LABELS, _IDS))
    stand_in = np.zeros((len(labels), 1), np.uint8)
    known = make_dataset(stand_in, labels, ids=ids, class_names=record["class_names"])
    inputs: Any = FileRows(files, digest=record["digest"])
    checks.same_length(inputs=inputs, labels=labels)
    return Dataset(inputs, known.labels, known.ids, known.class_names, record["name"])


def _alike(file: NpyFile, first: NpyFile) -> bool:
    return (file.shape[1:], file.dtype) == (first.shape[1:], first.dtype)


def _manifest(root: pathlib.Path) -> dict[str, Any]:
    path = root / MANIFEST
    try:
        record: dict[str, Any] = json.loads(path.read_text())
    except OSError as error:
        raise ValueError(
            f"dataset: cannot read {str(path)!r}: {error.strerror}"
        ) from None
    except ValueError:
        raise ValueError(f"dataset: {str(path)!r} is damaged: no JSON") from None
    version = record.get("format") if isinstance(record, dict) else None
    if version != _FORMAT:
        raise ValueError(
            f"dataset: {str(path)!r} is of version {version!r}, expected {_FORMAT}; "
            "write the shards again"
        )
    if digest_of_record(record) != record.get("digest"):
        raise ValueError(
            f"dataset: {str(path)!r} is damaged: it does not match its digest"
        )
    return record


def _check_file(path: pathlib.Path, size: int, digest: str | None) -> None:
    try:
        found = path.stat().st_size
    except OSError as error:
        raise ValueError(
            f"dataset: cannot read {str(path)!r}: {error.strerror}"
        ) from None
    if found != size:
        what = "truncated" if found < size else "of another content"
        raise ValueError(
            f"dataset: {str(path)!r} has {found:,} bytes, expected {size:,}: it is "
            f"{what}"
        )
    if digest is not None and _sha256_of(path) != digest:
        raise ValueError(
            f"dataset: {str(path)!r} does not match its digest: it is damaged"
        )


def _sha256_of(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
