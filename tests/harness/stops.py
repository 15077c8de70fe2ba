"""Requests to stop at a moment that is known."""

from __future__ import annotations

from robustjax.training import StopRequest


class AfterChecks(StopRequest):
    """Asks a run to stop once it has looked so many times whether it should.

    Below 1 it never does.
    """

    def __init__(self, checks: int):
        super().__init__()
        self._left = checks

    def check(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.signal_name = "SIGTERM"
        super().check()
