"""A progress bar with rate and remaining time, for people and for log files."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

import jax
from tqdm import tqdm


def progress_bar(total: int, description: str, *, unit: str, done: int = 0) -> Any:
    """A bar on standard error, with rate and estimated time left.

    Where standard error is not a terminal, a line every ten seconds instead of a
    moving bar. Of several processes, the first alone shows it.

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
        # A log has no line below: of several bars, each has a log of its own.
        position=None if terminal else 0,
        file=sys.stderr,
        # Asked first: to know its number, a process needs its devices.
        disable=jax.distributed.is_initialized() and jax.process_index() > 0,
    )


def advance(bar: Any) -> None:
    """One unit on; a bar that is full already grows by it.

    Some methods train more often than could be known when the bar was made.
    """
    if bar.n >= bar.total:
        bar.total += 1
    bar.update(1)


class LateBar:
    """A bar that is there from its first unit on: what fails before is one line.

    Use it as a context manager.
    """

    def __init__(self, description: str, *, unit: str):
        """Says what is counted; see `progress_bar`."""
        self._description, self._unit = description, unit
        self._bar: Any = None

    def advance(self, total: int) -> None:
        """One unit on; see `advance`.

        Args:
          total: units of work in all, as known when the bar begins.
        """
        advance(self._begun(total))

    def move_to(self, done: int, total: int) -> None:
        """To so many units.

        Args:
          done: by now.
          total: units of work in all, as known when the bar begins.
        """
        bar = self._begun(total)
        bar.update(done - bar.n)

    def _begun(self, total: int) -> Any:
        if self._bar is None:
            self._bar = progress_bar(total, self._description, unit=self._unit)
        return self._bar

    def __enter__(self) -> LateBar:
        """Shows nothing yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leaves the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
