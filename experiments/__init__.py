"""Launchers, sweeps, studies and benchmarks; run from the root of a clone."""

from __future__ import annotations

import sys

# Python is still looking for the launcher, which will import JAX and much else.
if sys.argv and sys.argv[0] == "-m":
    from experiments.study.kept_help import show_kept_help

    show_kept_help(sys.orig_argv)
