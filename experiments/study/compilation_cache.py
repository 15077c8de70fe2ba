"""JAX's persistent compilation cache: a second run compiles (almost) nothing."""

from __future__ import annotations

import os
import pathlib
import stat

import jax


def enable_compilation_cache() -> str | None:
    """Turns the cache on, in a folder of the user's own.

    `JAX_COMPILATION_CACHE_DIR` says where; without it, it lies under the user's folder
    of caches. Programs from the cache are run as they are: from a folder that others
    can write to, nothing is taken.

    Returns:
      A line on why there is no cache, or None where there is one.
    """
    given = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    # JAX itself writes to buckets, whose owners cannot be asked for here.
    if not (given and "://" in given):
        root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        folder = pathlib.Path(given or pathlib.Path(root) / "robustjax" / "xla")
        problem = _problem(folder)
        if problem is not None:
            jax.config.update("jax_enable_compilation_cache", False)
            return f"no compilation cache: {str(folder)!r} {problem}"
        jax.config.update("jax_compilation_cache_dir", str(folder))
    if not os.environ.get("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    return None


def _problem(folder: pathlib.Path) -> str | None:
    """What is wrong with the folder, which is made if it is missing."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        return f"cannot be used: {error.strerror}"
    if found.st_uid != os.getuid():
        return "belongs to another user"
    if found.st_mode & stat.S_IWOTH:
        return "can be written to by everyone"
    return None
