"""Runs what is not finished, again where it died, and says what became of it.

What counts is in the run folders: a job's point is done when its folder says so,
whoever has done it. Several sweeps over the same points share the work.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from experiments.study.records import FILE
from experiments.study.run_folder import AT_WORK
from experiments.sweeping.jobs import Ending, Job
from experiments.sweeping.points import Resolved, state_of
from robustjax.training import StopRequest

_BUSY_SECONDS = 2.0


class Engine(Protocol):
    """Where jobs run."""

    def free(self) -> int:
        """How many jobs can start now."""

    def start(self, jobs: Sequence[Job]) -> None:
        """Starts jobs, at most `free()` of them."""

    def ended(self) -> list[tuple[Job, Ending]]:
        """The jobs that have ended since it was last asked; may wait a moment.

        Of a job with members these, not itself.
        """

    def close(self) -> None:
        """Asks what still runs to save and to end, and waits for it."""


@dataclasses.dataclass
class _Waiting:
    """A point that is to run.

    Attributes:
      point: which.
      deaths: how often it died without having come further.
      size: of its journal when it was started.
      not_before: when it may be tried, as `time.monotonic` counts.
    """

    point: Resolved
    deaths: int = 0
    size: int = 0
    not_before: float = 0.0


def run_points(
    points: Sequence[Resolved],
    job_of: Callable[[Sequence[Resolved]], Job],
    engine: Engine,
    stop: StopRequest,
    *,
    retries: int,
    report: Callable[[Resolved, str, Ending | None], None],
    packs: Mapping[str, int] | None = None,
) -> dict[str, str]:
    """Runs points until each is finished or has failed.

    Args:
      points: those that are finished already are left alone.
      job_of: a process of one point, or of several of a pack.
      engine: where it runs.
      stop: checked all the time.
      retries: how often a point may die without coming further before it has failed.
      report: called with a point, "finished", "failed" or "died", and how its job
        ended; None where another sweep has finished it.
      packs: the number of the pack, by the names of points that are in one; they are
        started together, where they can be.

    Returns:
      The line that says why, by the name of each point that failed.

    Raises:
      InterruptedRunError: `stop` was requested; jobs have saved what they had.
    """
    waiting = [_Waiting(point) for point in points]
    running: dict[str, _Waiting] = {}
    failed: dict[str, str] = {}

    def fail(each: _Waiting, ending: Ending) -> None:
        failed[each.point.name] = ending.error
        report(each.point, "failed", ending)

    try:
        while waiting or running:
            stop.check()
            batch: dict[int | str, list[_Waiting]] = {}
            for each in list(waiting):
                pack = (packs or {}).get(each.point.name, each.point.name)
                if pack not in batch and len(batch) == engine.free():
                    continue
                if each.not_before > time.monotonic():
                    continue
                waiting.remove(each)
                try:
                    state = state_of(each.point)
                    if state == "finished":
                        report(each.point, "finished", None)
                    elif state == "running":
                        waiting.append(_later(each))
                    else:
                        batch.setdefault(pack, []).append(each)
                except ValueError as error:
                    fail(each, Ending(None, 0.0, f"error: {error}"))
            for each in (each for members in batch.values() for each in members):
                each.size = _journal_size(each.point)
                running[each.point.name] = each
            if batch:
                engine.start([job_of([m.point for m in b]) for b in batch.values()])
            for job, ending in engine.ended():
                each = running.pop(job.name)
                what, ending = _judge(each, ending, retries)
                if what == "busy":
                    waiting.append(_later(each))
                elif what == "failed":
                    fail(each, ending)
                else:
                    report(each.point, what, ending)
                    if what == "died":
                        waiting.append(each)
    finally:
        engine.close()
    return failed


def _later(each: _Waiting) -> _Waiting:
    each.not_before = time.monotonic() + _BUSY_SECONDS
    return each


def _judge(each: _Waiting, ending: Ending, retries: int) -> tuple[str, Ending]:
    """What became of a job: "finished", "failed", "died" or "busy"."""
    try:
        if state_of(each.point) == "finished":
            return "finished", dataclasses.replace(ending, error="")
    except ValueError as error:
        return "failed", dataclasses.replace(ending, error=f"error: {error}")
    if AT_WORK in ending.error:
        return "busy", ending
    if not ending.died:
        why = ending.error or "error: it ended, but is not finished"
        return "failed", dataclasses.replace(ending, error=why)
    further = _journal_size(each.point) > each.size
    each.deaths = 0 if further else each.deaths + 1
    if each.deaths <= retries:
        return "died", ending
    why = f"died {each.deaths} times without coming further: {ending.error}"
    return "failed", dataclasses.replace(ending, error=why)


def _journal_size(point: Resolved) -> int:
    try:
        return (point.folder / FILE).stat().st_size
    except OSError:
        return 0
