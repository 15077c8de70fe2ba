"""Kills small runs of all launchers, continues them, and compares what they leave.

python -m tests.harness.kill --trials=100
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tests.harness.faults import die_in_write
from tests.harness.runs import (
    RUNS,
    Launch,
    Running,
    Small,
    results,
    run_folder,
    write_data,
)

WRITES = ("journal", "log", "checkpoint", "file")
"""Ends of a process inside its own writes; see `die_in_write`."""
KINDS = ("SIGKILL", "SIGTERM", "SIGINT", "journal", "checkpoint", "file")
# A run that is asked to stop ends after its epoch: in less than a whole run takes, but
# on a machine with other work that is many times what it was just now.
_PATIENCE_SECONDS, _PATIENCE_RUNS = 240, 10


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a trial.

    Attributes:
      what: "ended" or "too late" (the run was through before); an error's text
        otherwise.
      moments: where each of its processes was ended: after how long or in which write,
        and how many lines its journal had.
    """

    what: str
    moments: tuple[str, ...] = ()

    @property
    def fine(self) -> bool:
        """Whether nothing went wrong."""
        return self.what in ("ended", "too late")


class Whole:
    """Runs that were never disturbed, and how long they took."""

    def __init__(self, folder: pathlib.Path):
        """Keeps them under a folder."""
        self._folder = folder
        self.paths = write_data(folder / "data")
        self._seconds: dict[str, float] = {}

    def of(self, small: Small) -> tuple[dict[str, bytes], float]:
        """What a run leaves, and its seconds."""
        run_dir = self._folder / "whole"
        if small.launcher not in self._seconds:
            started = time.monotonic()
            launch = Launch(small, self.paths, run_dir)
            status = launch.wait()
            if status != 0:
                raise RuntimeError(
                    f"{small.launcher} ended in {status}: {launch.errors}"
                )
            self._seconds[small.launcher] = time.monotonic() - started
        return results(run_folder(small, run_dir)), self._seconds[small.launcher]

    def took(self, small: Small, seconds: float) -> None:
        """Learns that a run takes less than the first one did, which compiled."""
        self._seconds[small.launcher] = min(self._seconds[small.launcher], seconds)


def trial(
    small: Small,
    kind: str,
    whole: Whole,
    folder: pathlib.Path,
    rng: random.Random,
    *,
    attempts: int = 2,
    writes: int = 12,
) -> Outcome:
    """Ends a run, continues it until it is through, and compares.

    Args:
      small: what is run.
      kind: one of `KINDS`.
      whole: undisturbed runs.
      folder: for this trial; removed in the end.
      rng: of the moments.
      attempts: how often it is ended at most.
      writes: in which of its own writes it may end, at most.
    """
    wanted, seconds = whole.of(small)
    patience = max(_PATIENCE_SECONDS, _PATIENCE_RUNS * seconds)
    moments: list[str] = []

    def begin(fault: Any = None, **options: Any) -> Launch:
        return Launch(small, whole.paths, folder, fault, **options)

    for attempt in range(rng.randint(1, attempts)):
        ended = end(begin, kind, rng, seconds, patience, writes)
        if ended.status == 0:
            if attempt == 0 and kind not in WRITES:
                whole.took(small, ended.seconds)
            continue
        lines = _lines(run_folder(small, folder))
        moments.append(f"{ended.moment}, {lines} lines")
        if ended.wrong:
            return Outcome(f"attempt {attempt}: {ended.wrong}", tuple(moments))
    launch = begin()
    status = launch.wait()
    wrong = (
        _difference(run_folder(small, folder), wanted)
        if status == 0
        else f"did not continue: status {status}, {launch.errors}"
    )
    if wrong:
        return Outcome(wrong, tuple(moments))
    shutil.rmtree(folder)
    return Outcome("ended" if moments else "too late", tuple(moments))


class Ended(NamedTuple):
    """How a process was ended.

    Attributes:
      status: its own; 0 where it was through before.
      moment: where it was ended.
      seconds: that it ran.
      wrong: what is not as it must be; "" where all is.
    """

    status: int | None
    moment: str
    seconds: float
    wrong: str


def end(
    begin: Callable[..., Running],
    kind: str,
    rng: random.Random,
    seconds: float,
    patience: float,
    writes: int,
) -> Ended:
    """Starts a process and ends it.

    Args:
      begin: starts it, with a fault or without.
      kind: a signal, or one of `WRITES`.
      rng: of the moment.
      seconds: that it would take.
      patience: how long it may take to end.
      writes: in which of its own writes it may end, at most.
    """
    started = time.monotonic()
    if kind in WRITES:
        number = rng.randint(1, writes)
        running = begin(die_in_write, what=kind, number=number)
        status, moment = running.wait(patience), f"in write {number}"
    else:
        running = begin()
        running.wait(rng.uniform(0.05, 1.0) * seconds)
        moment = f"after {time.monotonic() - started:.2f} s"
        running.send(signal.Signals[kind])
        status = running.wait(patience)
    took, wrong = time.monotonic() - started, ""
    if status is None:
        running.send(signal.SIGKILL)
        return Ended(status, moment, took, "did not end")
    lines = running.errors
    # A signal may come before the process listens.
    early = status in (-signal.SIGTERM, -signal.SIGINT, 1) and not lines
    if status in (130, 143):
        if len(lines) != 1 or "Traceback" in lines[0]:
            wrong = f"stopped with {lines}"
    elif status not in (0, -signal.SIGKILL) and not early:
        wrong = f"status {status}, {lines}"
    return Ended(status, moment, took, wrong)


def _lines(folder: pathlib.Path) -> int:
    journal = folder / "metrics.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def _difference(mine: pathlib.Path, wanted: dict[str, bytes]) -> str:
    found = results(mine)
    different = [
        name for name in {**wanted, **found} if wanted.get(name) != found.get(name)
    ]
    if different:
        return f"other results: {', '.join(different)}"
    stray = [str(p.relative_to(mine)) for p in mine.rglob("*.partial")]
    return f"left behind: {', '.join(stray)}" if stray else ""


def try_all(
    trials: int,
    names: Sequence[str],
    kinds: Sequence[str],
    attempt: Callable[[str, str, int], Outcome],
    ended_what: str,
) -> int:
    """Tries all names by all kinds in turns, and prints each trial and the counts.

    Args:
      trials: how many.
      names: of what is killed.
      kinds: of the ends.
      attempt: a trial of a name and a kind, with its number.
      ended_what: what the ended ones are called in the last line.

    Returns:
      How many went wrong.
    """
    counts: collections.Counter[tuple[str, str, str]] = collections.Counter()
    wrong = ended = 0
    for number in range(trials):
        name = names[number % len(names)]
        kind = kinds[(number // len(names)) % len(kinds)]
        outcome = attempt(name, kind, number)
        wrong += not outcome.fine
        ended += outcome.what == "ended"
        counts[name, kind, outcome.what if outcome.fine else "WRONG"] += 1
        head = f"{number + 1:4} {name:22} {kind:10} {outcome.what:8}"
        print(f"{head} {'; '.join(outcome.moments)}", flush=True)
    for (name, kind, said), count in sorted(counts.items()):
        print(f"{name:22} {kind:10} {said:10} {count}")
    print(f"{trials} trials, {ended} ended {ended_what}, {wrong} went wrong")
    return wrong


def main(arguments: list[str] | None = None) -> int:
    """Runs the trials; returns how many went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--launchers", default=",".join(r.launcher for r in RUNS))
    parser.add_argument("--folder", default=None)
    options = parser.parse_args(arguments)
    folder = pathlib.Path(options.folder or tempfile.mkdtemp(prefix="kill-"))
    chosen = [r for r in RUNS if r.launcher in options.launchers.split(",")]
    whole, rng = Whole(folder), random.Random(options.seed)
    by_name = {small.launcher: small for small in chosen}

    def attempt(name: str, kind: str, number: int) -> Outcome:
        return trial(by_name[name], kind, whole, folder / f"trial_{number}", rng)

    return try_all(options.trials, list(by_name), KINDS, attempt, "runs")


if __name__ == "__main__":
    sys.exit(min(main(), 1))
