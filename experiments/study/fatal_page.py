"""One line in place of the page by which JAX's runtime ends a process.

Where the first of several processes dies, the runtime of the others notices it in C++
and ends them: nothing of Python runs any more. What it writes on standard error goes
through a process of its own, which knows that page and tells it in a line.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable

# Of these the page begins. The first may also be all that is said.
_NOTICED = re.compile(rb"[EF]\d{4} .*\bcoordination_service_agent\.cc:")
_FATAL = re.compile(rb"F\d{4} .*JAX distributed service detected fatal errors")
_REASON = re.compile(rb"absl::Status: (.*)")
# Nobody else writes it: before a line that is the last of this process.
_LAST = b"\x1elast line: "
_HELD_SECONDS = 10.0
_PART_SECONDS = 0.2
_LAST_SECONDS = 2.0
_started: subprocess.Popen[bytes] | None = None


def lost_line(reason: str) -> str:
    """What a process says that has lost another one, with the first of the reason."""
    told = (reason.strip() or "no reason given").splitlines()[0][:200]
    return (
        f"error: another process has ended or does not answer ({told}); "
        "run the same command again to continue\n"
    )


class Telling:
    """Passes bytes on but for the runtime's page, in the place of which is a line."""

    def __init__(self, write: Callable[[bytes], object]):
        """Passes them to `write`, and says nothing after a last line."""
        self._write = write
        self._part = b""
        self._held: list[bytes] = []
        self._silent = False

    def wait(self) -> float | None:
        """Seconds of silence after which `quiet` is to be called; None for never."""
        if self._silent:
            return None
        if self._held:
            return _HELD_SECONDS
        return _PART_SECONDS if self._part else None

    def take(self, found: bytes) -> None:
        """Takes what was written."""
        *lines, self._part = (self._part + found).split(b"\n")
        for line in lines:
            self._take_line(line + b"\n")

    def quiet(self) -> None:
        """After silence, or at the end: what was held was no page."""
        self._say(b"".join(self._held) + self._part)
        self._held, self._part = [], b""

    def _take_line(self, line: bytes) -> None:
        before, mark, last = line.partition(_LAST)
        if mark:
            self._end(before + last)
        elif _FATAL.match(line):
            found = _REASON.search(line)
            reason = found[1] if found else b"JAX's runtime says so"
            self._end(lost_line(reason.decode(errors="replace")).encode())
        elif self._held or _NOTICED.match(line):
            self._held.append(line)
        else:
            self._say(line)

    def _end(self, line: bytes) -> None:
        """At once: who watches over this process may end the reader with it."""
        self._say(line)
        self._silent, self._held = True, []

    def _say(self, what: bytes) -> None:
        if what and not self._silent:
            self._write(what)


def hold_back_pages() -> None:
    """Lets a process of its own read what is written to standard error from now on.

    What Python writes by `sys.stderr` does not go that way, so that a terminal is one.
    """
    global _started
    if _started is not None or sys.stderr is None:
        return
    # The reader needs none of the packages, and starts without them.
    from robustjax.tools.command.output import SurvivingStream

    sys.stderr.flush()
    straight = os.fdopen(os.dup(2), "w", 1, "utf-8", "backslashreplace")
    # A folder on the path could hide modules of the standard library. A signal of the
    # terminal would end it before those that it reads.
    _started = subprocess.Popen(
        [sys.executable, "-I", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert _started.stdin is not None
    os.dup2(_started.stdin.fileno(), 2)
    _started.stdin.close()
    sys.stderr = SurvivingStream(straight)


def say_last(line: str) -> None:
    """Says a line after which nothing of this process is told any more."""
    if _started is None:
        print(line, end="", file=sys.stderr, flush=True)
        return
    os.write(2, _LAST + line.encode())
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    # What it has not told when this process ends, SLURM may not let it tell.
    with contextlib.suppress(subprocess.TimeoutExpired):
        _started.wait(_LAST_SECONDS)


def _main() -> None:
    """Reads from standard input until nobody can write to it any more."""
    # SLURM's go to every process, and those that this one reads have yet to end.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)

    def write(what: bytes) -> None:
        # Where nobody reads, the process goes on, and so does this one.
        with contextlib.suppress(OSError):
            while what:
                what = what[os.write(2, what) :]

    telling = Telling(write)
    since = time.monotonic()
    while True:
        wait = telling.wait()
        left = None if wait is None else max(0.0, since + wait - time.monotonic())
        if not select.select([0], [], [], left)[0]:
            telling.quiet()
            continue
        found = os.read(0, 2**16)
        if not found:
            break
        telling.take(found)
        since = time.monotonic()
    telling.quiet()


if __name__ == "__main__":
    _main()
