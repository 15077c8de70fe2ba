"""Writing files whole or not at all, and naming arrays by their content."""

from __future__ import annotations

import hashlib
import os
import pathlib
import uuid

import numpy as np

_CHUNK_ROWS = 4096


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Writes a file so that a reader sees the old or the new one, never half.

    Several processes may write the same file; the last one wins.

    Args:
      path: the file; its folder must exist.
      content: text, written as UTF-8, or bytes.
    """
    path = pathlib.Path(path)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        partial.write_bytes(
            content.encode("utf-8") if isinstance(content, str) else content
        )
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


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
