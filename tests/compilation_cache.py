"""Where the tests keep compiled programs from one run to the next."""

from __future__ import annotations

import os
import pathlib

MAX_BYTES = 2**30
_KEPT_SHARE = 0.75


def default_folder() -> pathlib.Path:
    """Of this user, beside the launchers' own."""
    root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(root) / "robustjax" / "tests-xla"


def is_ours(folder: pathlib.Path) -> bool:
    """Makes the folder, and says whether nobody else can put programs into it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError:
        return False
    return (
        not folder.is_symlink()
        and status.st_uid == os.getuid()
        and not status.st_mode & 0o022
        and os.access(folder, os.W_OK)
    )


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
