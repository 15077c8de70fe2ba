"""JAX's persistent compilation cache: a second run compiles (almost) nothing."""

from __future__ import annotations

import os
import pathlib

import jax


def enable_compilation_cache() -> None:
    """Turns the cache on, unless `JAX_COMPILATION_CACHE_DIR` says where already."""
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        folder = pathlib.Path(root) / "robustjax" / "xla"
        jax.config.update("jax_compilation_cache_dir", str(folder))
    if not os.environ.get("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
