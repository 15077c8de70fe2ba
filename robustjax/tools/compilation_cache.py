"""JAX's persistent compilation cache: a second run compiles (almost) nothing."""

from __future__ import annotations

import os
import pathlib

import jax

from robustjax.cache_folder import cache_folder, problem_with


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
        folder = pathlib.Path(given) if given else cache_folder("xla")
        problem = problem_with(folder)
        if problem is not None:
            jax.config.update("jax_enable_compilation_cache", False)
            return f"no compilation cache: {str(folder)!r} {problem}"
        jax.config.update("jax_compilation_cache_dir", str(folder))
    # Studies compile hundreds of small programs: together they take longest.
    if not os.environ.get("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    if not os.environ.get("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"):
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return None
