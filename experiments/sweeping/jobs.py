"""A point as a process of the ordinary launcher, which ends with whoever started it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

# Becomes the launcher, after it has asked the system for SIGTERM at its parent's death:
# what a killed sweep leaves behind saves a checkpoint and goes.
_TIED = """
import ctypes, os, sys
parent = int(sys.argv[1])
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 15)
if os.getppid() != parent:
    sys.exit(143)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
# What a point's log says of a process of several points.
_APART = "not packed with "
_WHY = re.compile(r"(?:error:|stopped by) .*")
_STOPPED = (128 + signal.SIGTERM, 128 + signal.SIGINT)


@dataclasses.dataclass(frozen=True)
class Job:
    """A process to run.

    Attributes:
      name: of the point.
      arguments: of `python`.
      cwd: where it runs.
      log: gets all that it prints, after what earlier attempts have printed.
      environment: variables beside those of whoever starts it.
      members: of a process that is several points, the jobs that these would be alone.
    """

    name: str
    arguments: tuple[str, ...]
    cwd: str
    log: str
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    members: tuple[Job, ...] = ()


def packed(name: str, jobs: Sequence[Job], log: str, extra: Sequence[str]) -> Job:
    """Several points as one process, `packed_process`.

    Args:
      name: of the process.
      jobs: of the points, all of one launcher.
      log: gets what no point prints.
      extra: arguments of the process itself.
    """
    points = [word for job in jobs for word in ("--", job.log, *job.arguments)]
    arguments = ("-m", "experiments.sweeping.packed_process", *extra, *points)
    return Job(name, arguments, jobs[0].cwd, log, members=tuple(jobs))


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a job ended.

    Attributes:
      status: of the process, negative for a signal; None where it was lost.
      seconds: that it took; of a process of several points, a point's share.
      error: the line that it ended with, or on what became of it.
      note: why it did not train with the other points of its process.
    """

    status: int | None
    seconds: float
    error: str = ""
    note: str = ""

    @property
    def died(self) -> bool:
        """Whether it was ended from outside, and can go on from a checkpoint."""
        return self.status is None or self.status < 0 or self.status in _STOPPED


class Running:
    """A job's process, in a session of its own: Ctrl-C is the sweep's alone."""

    def __init__(self, job: Job, environment: Mapping[str, str] | None = None):
        """Starts it."""
        self.job = job
        self._began = time.monotonic()
        root = str(pathlib.Path(__file__).parents[2])
        path = os.environ.get("PYTHONPATH")
        inherited = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([root, path] if path else [root]),
        }
        self._from = {each.log: _size(each.log) for each in (job, *job.members)}
        with open(job.log, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-c", _TIED, str(os.getpid()), *job.arguments],
                cwd=job.cwd,
                env={**inherited, **job.environment, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def poll(self) -> list[tuple[Job, Ending]] | None:
        """How it ended, or each of its members did; None while it runs."""
        status = self._process.poll()
        if status is None:
            return None
        return [(job, self._ending(job, status)) for job in self._jobs]

    def wait(self) -> Ending:
        """Waits until it has ended."""
        return self._ending(self.job, self._process.wait())

    def stop(self) -> None:
        """Asks it to save what it has and to end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    @property
    def _jobs(self) -> tuple[Job, ...]:
        return self.job.members or (self.job,)

    def _ending(self, job: Job, status: int) -> Ending:
        seconds = (time.monotonic() - self._began) / len(self._jobs)
        lines = _lines(job.log, self._from[job.log])
        notes = dict.fromkeys(line for line in lines if line.startswith(_APART))
        return Ending(status, seconds, _last_line(lines, status), "; ".join(notes))


def run_job(job: Job) -> Ending:
    """Runs a job to its end, wherever this is called.

    SIGTERM and SIGUSR2, by which schedulers say that time is up, are handed on.
    """
    try:
        running = Running(job)
    except OSError as error:
        return Ending(1, 0.0, f"error: {error.filename!r}: {error.strerror}")
    with _handed_on(running):
        try:
            return running.wait()
        except BaseException:
            running.stop()
            running.wait()
            raise


@contextlib.contextmanager
def _handed_on(running: Running) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        # Signals do not come here.
        yield
        return
    before = {
        number: signal.signal(number, lambda *_: running.stop())
        for number in (signal.SIGTERM, signal.SIGUSR2)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _size(log: str) -> int:
    try:
        return os.path.getsize(log)
    except FileNotFoundError:
        return 0


def _lines(log: str, start: int) -> list[str]:
    """What was printed from `start` on."""
    try:
        with open(log, "rb") as file:
            file.seek(start)
            text = file.read().decode("utf-8", "replace")
    except OSError:
        text = ""
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines()]
    return [line for line in lines if line]


def _last_line(lines: list[str], status: int) -> str:
    """The line that says why."""
    if status == 0:
        return ""
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    errors = [line for line in lines if _WHY.match(line)]
    # Another process of the point, which a killed sweep left, writes to the log too,
    # and its bars end without a new line.
    errors = errors or [found[0] for line in lines if (found := _WHY.search(line))]
    return (errors or lines or [f"ended with status {status}"])[-1]
