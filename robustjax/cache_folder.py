"""Folders of caches that nobody but the user can put anything into."""

from __future__ import annotations

import os
import pathlib
import stat


def cache_folder(name: str) -> pathlib.Path:
    """A folder of this name among the user's caches."""
    root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(root) / "robustjax" / name


def problem_with(folder: pathlib.Path) -> str | None:
    """Why a folder is not to be believed or written to, or None.

    Args:
      folder: is made if it is missing; a link stands for where it leads.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        return f"cannot be used: {error.strerror}"
    if found.st_uid != os.getuid():
        return "belongs to another user"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "can be written to by others (chmod go-w makes it yours)"
    if not os.access(folder, os.W_OK | os.X_OK):
        return "cannot be written to"
    return None
