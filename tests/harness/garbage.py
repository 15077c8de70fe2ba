"""Fewer looks for garbage."""

from __future__ import annotations

import gc


def collect_rarely() -> None:
    """Tracing allocates too much for a collection after every 700 objects."""
    gc.set_threshold(50_000, 20, 20)
