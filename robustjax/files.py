"""Writing files whole or not at all, and naming arrays by their content."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import uuid
from collections.abc import Iterator, Mapping
from typing import IO, Any

import numpy as np

_CHUNK_ROWS = 4096

# What spreadsheets take as the beginning of something to compute.
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")

# What file managers, notebooks and servers leave in folders, in lower case.
_SYSTEM_NAMES = frozenset(
    (
        *(".ds_store", "__macosx", ".spotlight-v100", ".trashes", ".fseventsd"),
        *(".temporaryitems", ".appledouble", "icon\r", ".directory"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin"),
        *("system volume information", "lost+found", "@eadir", "#recycle"),
        *(".ipynb_checkpoints", "__pycache__"),
    )
)
# AppleDouble files, locks of office programs and of network shares.
_SYSTEM_PREFIXES = ("._", "~$", ".~lock.", ".nfs", ".smbdelete")


def is_system_entry(name: str) -> bool:
    """Whether a file or folder is one that a system puts beside people's own."""
    name = name.lower()
    return name in _SYSTEM_NAMES or name.startswith(_SYSTEM_PREFIXES)


def check_readable(path: str | os.PathLike[str]) -> None:
    """Raises `OSError` for what is no file: a pipe would make its reader wait forever.

    A folder, and a file that is missing, are left to whoever opens them.
    """
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise OSError(errno.EINVAL, "it is no ordinary file", os.fspath(path))


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Opens a file for writing that appears under its name only when complete.

    A reader sees the old or the new file, never half; after an error, the old one.
    Several processes may write the same file; the last one wins. Where the path is a
    symbolic link, the file that it points to is written, and the link stays.

    Args:
      path: the file; its folder must exist.

    Yields:
      The open file, for bytes.
    """
    target = pathlib.Path(os.path.realpath(path))
    partial = partial_path(target)
    try:
        with open(partial, "wb") as file:
            yield file
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def partial_path(path: pathlib.Path) -> pathlib.Path:
    """Another name in the file's folder, for as long as it is incomplete."""
    return path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Writes a file so that a reader sees the old or the new one, never half.

    See `atomic_file`.

    Args:
      path: the file; its folder must exist.
      content: text, written as UTF-8, or bytes.
    """
    raw = content.encode("utf-8") if isinstance(content, str) else content
    with atomic_file(path) as file:
        file.write(raw)


def safe_cell(value: Any) -> Any:
    """A cell of a CSV file that no spreadsheet takes for a formula.

    Text that begins as formulas do and is no number gets an apostrophe in front; so
    does text that begins with apostrophes before such a sign, to be told apart when
    it is read (`original_cell`).
    """
    if isinstance(value, str) and _looks_like_formula(value.lstrip("'")):
        return f"'{value}"
    return value


def original_cell(text: str) -> str:
    """What `safe_cell` was given; other text as it is."""
    if text.startswith("'") and _looks_like_formula(text.lstrip("'")):
        return text[1:]
    return text


def _looks_like_formula(text: str) -> bool:
    if not text.startswith(_FORMULA_SIGNS):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return False


def digest_of(*arrays: np.ndarray) -> str:
    """SHA-256 over the dtypes, shapes and contents of arrays, as hexadecimal text."""
    hasher = hashlib.sha256()
    for array in arrays:
        hasher.update(f"{array.dtype.str} {array.shape};".encode())
        # Chunk by chunk: an array that is not contiguous would be copied whole.
        for first in range(0, len(array), _CHUNK_ROWS):
            chunk = np.ascontiguousarray(array[first : first + _CHUNK_ROWS])
            hasher.update(chunk.tobytes())
    return hasher.hexdigest()


def digest_of_record(record: Mapping[str, Any]) -> str:
    """SHA-256 over a record's entries other than "digest", in any order.

    Args:
      record: JSON-serialisable; as JSON gives it back, or the digest will differ.
    """
    rest = {key: value for key, value in record.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
