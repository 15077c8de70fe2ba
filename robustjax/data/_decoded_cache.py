"""Data sets that are decoded once, and mapped into memory from then on."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import pathlib
import re
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from robustjax import cache_folder
from robustjax.data._dataset import Dataset, make_dataset

_log = logging.getLogger(__name__)

_FORMAT = 1
_ARRAYS = ("inputs", "labels", "ids")
_RECORD = "entry.json"
_ENTRY = re.compile(r"[0-9a-f]{32}")
_PARTIAL = ".partial-"
# Fewer are decoded before an entry is found.
_FEWEST_EXAMPLES = 1000
_MAX_BYTES = 8 * 2**30
# Changes that follow each other so closely can have one time stamp.
_CLOCK_SECONDS = 0.05
_CHUNK_BYTES = 2**24
_ABANDONED_SECONDS = 24 * 3600

Decode = Callable[[], tuple[Dataset, bool]]
"""Gives a data set, and whether all of it is in its arrays (nothing was remarked)."""


def decoded_once(
    decode: Decode,
    source: Mapping[str, Any],
    files: Iterable[pathlib.Path],
    *,
    cache_dir: str | os.PathLike[str] | None,
    max_bytes: int = _MAX_BYTES,
) -> Dataset:
    """A data set from the cache, or decoded and kept there for the next time.

    An entry is found by `source` and by the names, size and times of every file: a
    file that was written to, replaced or touched, and a link that was moved, is decoded
    again. Every array carries
    a checksum; what is damaged is decoded again. Entries appear whole or not at all,
    those that were not used for longest make room for new ones, and a cache that
    cannot be written to is done without, with a warning in the log. Sets of fewer than
    1,000 examples are not kept.

    Args:
      decode: makes the data set where the cache has none.
      source: what else decides about the result, JSON-serialisable: name, version,
        split, the versions of what decodes.
      files: all that is read.
      cache_dir: the folder of all entries, or None for no cache. It is created; one
        that others can write to is not used.
      max_bytes: what all entries may take together.

    Returns:
      A `Dataset`; arrays from the cache are mapped copy-on-write.
    """
    if cache_dir is None:
        return decode()[0]
    root = pathlib.Path(cache_dir)
    problem = cache_folder.problem_with(root)
    if problem is not None:
        _log.warning("no cache of decoded data: %r %s", str(root), problem)
        return decode()[0]
    began = time.time()
    stamps = _stamps(files)
    key = {"format": _FORMAT, **source, "files": stamps}
    entry = root / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
    found = _read(entry, key)
    if found is not None:
        return found
    dataset, whole = decode()
    newest = max((stamp[-1] for stamp in stamps), default=0) / 1e9
    if whole and len(dataset) >= _FEWEST_EXAMPLES and newest < began - _CLOCK_SECONDS:
        try:
            _write(entry, key, dataset, max_bytes)
        except OSError as error:
            _log.warning(
                "decoded data could not be kept in %r: %s", str(root), error.strerror
            )
    return dataset


def _stamps(files: Iterable[pathlib.Path]) -> list[list[Any]]:
    """What tells whether files changed: nobody can set the time of a change back."""
    found = []
    for file in sorted(files):
        stat = file.stat()
        times = sorted((stat.st_mtime_ns, stat.st_ctime_ns))
        # Where the file is said to be gives its label and its id; behind a link, its
        # content is elsewhere.
        names = os.fspath(file), os.fspath(file.resolve())
        found.append([*names, stat.st_size, *times])
    return found


def _read(entry: pathlib.Path, key: Mapping[str, Any]) -> Dataset | None:
    """What an entry holds, or None where there is none to be believed."""
    try:
        record = json.loads((entry / _RECORD).read_bytes())
        if record["key"] != json.loads(json.dumps(key)):
            return None
        arrays = {}
        for name in _ARRAYS:
            path = entry / f"{name}.npy"
            if _checksum(path) != record["checksums"][name]:
                _log.warning("%r is damaged: decoding again", str(path))
                return None
            # As if decoded: what somebody writes into it is never on the disk.
            arrays[name] = np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
        os.utime(entry / _RECORD)
        return make_dataset(
            **arrays, class_names=record["class_names"], name=record["name"]
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("%r cannot be read (%s): decoding again", str(entry), error)
        return None


def _checksum(path: pathlib.Path) -> int:
    value = 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            value = zlib.crc32(chunk, value)
    return value


def _write(
    entry: pathlib.Path, key: Mapping[str, Any], dataset: Dataset, max_bytes: int
) -> None:
    """Keeps a data set, if there is room for it."""
    arrays = {name: getattr(dataset, name) for name in _ARRAYS}
    size = sum(array.nbytes for array in arrays.values())
    if size > max_bytes or 2 * size > shutil.disk_usage(entry.parent).free:
        return
    _make_room(entry.parent, max_bytes - size)
    partial = pathlib.Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=entry.parent))
    try:
        checksums = {}
        for name, array in arrays.items():
            path = partial / f"{name}.npy"
            np.save(path, array, allow_pickle=False)
            checksums[name] = _checksum(path)
        record = {
            "key": key,
            "checksums": checksums,
            "class_names": dataset.class_names,
            "name": dataset.name,
        }
        (partial / _RECORD).write_text(json.dumps(record))
        # Of a damaged one; where another process was faster, it wrote the same.
        shutil.rmtree(entry, ignore_errors=True)
        with _tolerating(errno.ENOTEMPTY, errno.EEXIST):
            partial.rename(entry)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def _tolerating(*numbers: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            raise


def _make_room(root: pathlib.Path, max_bytes: int) -> None:
    """Deletes what was not used for longest, and what a killed process left."""
    kept = []
    for entry in root.iterdir():
        with contextlib.suppress(OSError):
            if entry.name.startswith(_PARTIAL):
                if time.time() - entry.stat().st_mtime > _ABANDONED_SECONDS:
                    shutil.rmtree(entry, ignore_errors=True)
            elif _ENTRY.fullmatch(entry.name):
                used = (entry / _RECORD).stat().st_mtime
                size = sum(file.stat().st_size for file in entry.iterdir())
                kept.append((used, size, entry))
    total = sum(size for _, size, _ in kept)
    for _, size, entry in sorted(kept):
        if total <= max_bytes:
            return
        shutil.rmtree(entry, ignore_errors=True)
        total -= size
