"""Stopping on SIGTERM at a point from which the run can be resumed."""

from __future__ import annotations

import contextlib
import signal
import threading
import types
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils


class InterruptedRunError(Exception):
    """The run was asked to stop; what was finished is saved."""


class StopRequest:
    """Remembers that the process was asked to stop."""

    def __init__(self) -> None:
        self.signal_name: str | None = None

    def __call__(self, number: int, frame: types.FrameType | None) -> None:
        """The signal handler; a second signal ends the process at once."""
        del frame
        if self.signal_name is not None:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(signal.Signals(number))
        self.signal_name = signal.Signals(number).name

    def agree(self) -> bool:
        """Whether this process, or any other, was asked to stop; then all are.

        All processes must come here: one that stopped alone would leave the others
        waiting for it.
        """
        if jax.process_count() > 1:
            own = signal.Signals[self.signal_name] if self.signal_name else 0
            number = int(multihost_utils.process_allgather(np.int32(own)).max())
            self.signal_name = signal.Signals(number).name if number else None
        return self.signal_name is not None

    def check(self) -> None:
        """Raises `InterruptedRunError` if a signal came."""
        if self.signal_name is not None:
            raise InterruptedRunError(f"stopped by {self.signal_name}")


@contextlib.contextmanager
def stop_on_signals(
    signals: tuple[signal.Signals, ...] = (signal.SIGTERM,),
) -> Iterator[StopRequest]:
    """Turns signals into a `StopRequest` for the duration of the block.

    Pre-emptible machines send SIGTERM some seconds before they go. Outside the main
    thread, where Python allows no handlers, the request simply never comes.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request) for number in signals}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
