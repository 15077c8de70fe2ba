"""A progress bar with rate and remaining time, for people and for log files."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(total: int, description: str, *, unit: str, done: int = 0) -> Any:
    """A bar on standard error, with rate and estimated time left.

    Where standard error is not a terminal, a line every ten seconds instead of a
    moving bar.

    Args:
      total: units of work in all.
      description: what stands before the bar.
      unit: what is counted.
      done: units that an earlier run has finished.

    Returns:
      A `tqdm` bar: call `update(1)` per unit, and use it as a context manager.
    """
    terminal = sys.stderr.isatty()
    return tqdm(
        total=total,
        desc=description,
        unit=unit,
        initial=done,
        mininterval=0.2 if terminal else 10.0,
        dynamic_ncols=terminal,
        file=sys.stderr,
    )


def advance(bar: Any) -> None:
    """One unit on; a bar that is full already grows by it.

    Some methods train more often than could be known when the bar was made.
    """
    if bar.n >= bar.total:
        bar.total += 1
    bar.update(1)
