"""Where the tests keep compiled programs from one run to the next."""

from __future__ import annotations

import pathlib

from robustjax.cache_folder import cache_folder, problem_with

MAX_BYTES = 2**30
_KEPT_SHARE = 0.75


def default_folder() -> pathlib.Path:
    """Of this user, beside the launchers' own."""
    return cache_folder("tests-xla")


def is_ours(folder: pathlib.Path) -> bool:
    """Makes the folder, and says whether nobody else can put programs into it."""
    return problem_with(folder) is None


def trim(folder: pathlib.Path, max_bytes: int = MAX_BYTES) -> None:
    """Deletes what was not used for longest until a quarter of the room is free.

    Once per test run: JAX's own bound lists the whole folder at every write.

    Args:
      folder: of the cache.
      max_bytes: what it may hold; nothing is deleted below that.
    """
    entries = []
    for path in folder.iterdir():
        try:
            status = path.stat()
        except FileNotFoundError:  # Another test run trims as well.
            continue
        used = max(status.st_atime, status.st_mtime)
        entries.append((used, status.st_size, path))
    size = sum(entry[1] for entry in entries)
    if size <= max_bytes:
        return
    for _, freed, path in sorted(entries):
        if size <= _KEPT_SHARE * max_bytes:
            return
        path.unlink(missing_ok=True)
        size -= freed
