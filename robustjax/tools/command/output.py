"""What commands print: on one process, and without dying of a closed pipe."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


def say(*parts: Any, error: bool = False) -> None:
    """Prints a line, if this is the first of several processes.

    Args:
      *parts: as for `print`.
      error: whether it belongs on standard error.
    """
    # Before JAX is loaded, there is one process.
    jax = sys.modules.get("jax")
    if jax is None or jax.process_index() == 0:
        print(*parts, file=sys.stderr if error else sys.stdout, flush=True)


class SurvivingStream:
    """A text stream that writes to nowhere once nobody reads it any more.

    `| head` closes the pipe after ten lines; results are written all the same.
    """

    def __init__(self, stream: Any):
        """Wraps an open stream."""
        self._stream = stream

    def write(self, text: str) -> int:
        """See `io.TextIOBase.write`."""
        try:
            return int(self._stream.write(text))
        except BrokenPipeError:
            self._give_up()
        return len(text)

    def flush(self) -> None:
        """See `io.TextIOBase.flush`."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._give_up()

    def _give_up(self) -> None:
        # What is buffered still would fail once more when the interpreter ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the stream's own."""
        return getattr(self._stream, name)


@contextlib.contextmanager
def surviving_streams() -> Iterator[None]:
    """Standard output and error outlive those who read them."""
    before = sys.stdout, sys.stderr
    # A process can be started without either.
    sys.stdout, sys.stderr = (s and SurvivingStream(s) for s in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before
