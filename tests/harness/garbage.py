"""Fewer looks for garbage."""

from __future__ import annotations

import gc


def collect_rarely() -> None:
    """Tracing allocates too much for a collection after every 700 objects.

    What is there already is not looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
