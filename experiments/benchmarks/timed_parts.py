"""Parts of a measurement under one clock: in order of worth, each in its own process.

A part that has its result early leaves its time to those that follow; one that is late
is ended, and what it has written until then is its result. Rows go to a file of JSON
lines, each as soon as it is known, so that nothing is lost to a machine that goes away.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from robustjax import checks

GRACE_SECONDS = 8.0
"""What a process has between being asked to end and being ended."""


def _nothing() -> dict[str, Any]:
    return {}


@dataclasses.dataclass(frozen=True)
class Part:
    """Something to measure.

    Attributes:
      name: in the rows, and of its log.
      command: of the process.
      share: of the time, against the shares of the other parts.
      least: seconds below which it is not begun.
      why_not: why it cannot run here; empty if it can.
      environment: variables of the process beside those of ours.
      collect: reads what the process has left, JSON-serialisable; called in any case.
    """

    name: str
    command: tuple[str, ...] = ()
    share: float = 1.0
    least: float = 10.0
    why_not: str = ""
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    collect: Callable[[], dict[str, Any]] = _nothing


class Outcome(NamedTuple):
    """How a process ended: "finished", "out of time" or "failed", and why."""

    status: str
    detail: str = ""


Runner = Callable[[Part, float], Outcome]


class Rows:
    """The rows of a measurement in a file of JSON lines, flushed one by one."""

    def __init__(self, path: pathlib.Path, shared: Mapping[str, Any]):
        """Begins a new file.

        Args:
          path: the file; its folder is made.
          shared: what every row holds besides, such as device and versions.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._shared = path, dict(shared)
        path.write_text("")

    def write(self, **row: Any) -> None:
        """Appends a row, on the disk when this returns."""
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps({**row, **self._shared}) + "\n")
            file.flush()
            os.fsync(file.fileno())


def run_parts(
    parts: Sequence[Part],
    seconds: float,
    rows: Rows,
    run: Runner,
    *,
    clock: Callable[[], float] = time.monotonic,
    tell: Callable[[str], None] = print,
) -> None:
    """Runs parts in order until all have had their turn or the time is over.

    A part gets of what is left its share among those that still can run.

    Args:
      parts: the most worthwhile first.
      seconds: for all together.
      rows: get one when a part begins and one when it has ended or is left out.
      run: runs a part within so many seconds.
      clock: in seconds.
      tell: gets a line per part.

    Raises:
      ValueError: no time, no parts, or two of one name.
    """
    checks.in_range("seconds", seconds, 0, float("inf"), low_open=True)
    names = [part.name for part in parts]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"parts: got {names}, expected at least one, each name once")
    end = clock() + seconds
    for number, part in enumerate(parts):
        left = end - clock()
        open_shares = sum(p.share for p in parts[number:] if not p.why_not)
        limit = left * part.share / open_shares if open_shares else 0.0
        # Too short a turn is made longer, at the cost of what matters less.
        limit = min(max(limit, part.least), left)
        why_not = part.why_not
        if not why_not and limit < part.least:
            why_not = f"{max(left, 0):.0f} s are left, it wants {part.least:.0f}"
        if why_not:
            tell(f"{part.name}: skipped, {why_not}")
            rows.write(part=part.name, status="skipped", detail=why_not)
            continue
        tell(f"{part.name}: at most {limit:.0f} s")
        command = " ".join(part.command)
        rows.write(part=part.name, status="begun", limit=limit, command=command)
        start = clock()
        outcome = run(part, limit)
        elapsed = clock() - start
        try:
            found = part.collect()
        except (OSError, ValueError, KeyError) as error:
            found, outcome = {}, Outcome("failed", f"{outcome.detail} {error}".strip())
        detail = f", {outcome.detail}" if outcome.detail else ""
        tell(f"{part.name}: {outcome.status} after {elapsed:.0f} s{detail}")
        rows.write(
            part=part.name,
            status=outcome.status,
            detail=outcome.detail,
            seconds=round(elapsed, 2),
            command=command,
            result=found,
        )


def run_process(part: Part, limit: float, *, logs: pathlib.Path) -> Outcome:
    """Runs a part's command; asks it to end at the limit, then ends it.

    Args:
      part: what to run.
      limit: seconds, the grace included.
      logs: the folder where its output goes, as `<part>.log`.
    """
    logs.mkdir(parents=True, exist_ok=True)
    path = logs / f"{part.name}.log"
    with open(path, "wb") as log:
        process = subprocess.Popen(
            part.command,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **part.environment},
            # So that what it has started ends with it.
            start_new_session=True,
        )
        grace = min(GRACE_SECONDS, limit / 2)
        late = False
        try:
            code = process.wait(limit - grace)
        except subprocess.TimeoutExpired:
            late = True
            _signal(process, signal.SIGTERM)
            try:
                code = process.wait(grace)
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)
                code = process.wait()
    if late:
        return Outcome("out of time")
    if code:
        lines = path.read_text(errors="replace").strip().splitlines()
        return Outcome("failed", f"exit code {code}: {lines[-1] if lines else ''}")
    return Outcome("finished")


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
