"""Kills small runs of all launchers, continues them, and compares what they leave.

python -m tests.harness.kill --trials=100
"""

from __future__ import annotations

import argparse
import collections
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

from tests.harness.faults import die_in_write
from tests.harness.runs import RUNS, Launch, Small, results, run_folder, write_data

KINDS = ("SIGKILL", "SIGTERM", "SIGINT", "journal", "checkpoint", "file")
# A run that is asked to stop ends after its epoch: in less than a whole run takes, but
# on a machine with other work that is many times what it was just now.
_PATIENCE_SECONDS, _PATIENCE_RUNS = 240, 10


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
) -> str:
    """Ends a run, continues it until it is through, and compares.

    Args:
      small: what is run.
      kind: one of `KINDS`.
      whole: undisturbed runs.
      folder: for this trial; removed in the end.
      rng: of the moments.
      attempts: how often it is ended at most.
      writes: in which of its own writes it may end, at most.

    Returns:
      "ended" or "too late" (the run was through before); an error's text otherwise.
    """
    wanted, seconds = whole.of(small)
    patience = max(_PATIENCE_SECONDS, _PATIENCE_RUNS * seconds)
    ends = 0
    for attempt in range(rng.randint(1, attempts)):
        if kind in ("journal", "checkpoint", "file"):
            number = rng.randint(1, writes)
            launch = Launch(
                small, whole.paths, folder, die_in_write, what=kind, number=number
            )
            status = launch.wait(patience)
        else:
            launch = Launch(small, whole.paths, folder)
            started = time.monotonic()
            if launch.wait(rng.uniform(0.05, 1.0) * seconds) == 0 and attempt == 0:
                whole.took(small, time.monotonic() - started)
            launch.send(signal.Signals[kind])
            status = launch.wait(patience)
        if status is None:
            launch.send(signal.SIGKILL)
            return f"attempt {attempt}: did not end"
        lines = launch.errors
        if status == -signal.SIGKILL:
            ends += 1
        elif status in (130, 143):
            ends += 1
            if len(lines) != 1 or "Traceback" in lines[0]:
                return f"attempt {attempt}: stopped with {lines}"
        elif status != 0:
            # A signal may come before the launcher listens.
            if status in (-signal.SIGTERM, -signal.SIGINT, 1) and not lines:
                ends += 1
            else:
                return f"attempt {attempt}: status {status}, {lines}"
    launch = Launch(small, whole.paths, folder)
    status = launch.wait()
    if status != 0:
        return f"did not continue: status {status}, {launch.errors}"
    mine = run_folder(small, folder)
    found = results(mine)
    different = [
        name for name in {**wanted, **found} if wanted.get(name) != found.get(name)
    ]
    if different:
        return f"other results: {', '.join(different)}"
    stray = [str(p.relative_to(mine)) for p in mine.rglob("*.partial")]
    if stray:
        return f"left behind: {', '.join(stray)}"
    shutil.rmtree(folder)
    return "ended" if ends else "too late"


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
    counts: collections.Counter[tuple[str, str, str]] = collections.Counter()
    wrong = 0
    for number in range(options.trials):
        small = chosen[number % len(chosen)]
        kind = KINDS[(number // len(chosen)) % len(KINDS)]
        outcome = trial(small, kind, whole, folder / f"trial_{number}", rng)
        fine = outcome in ("ended", "too late")
        wrong += not fine
        counts[small.launcher, kind, outcome if fine else "WRONG"] += 1
        print(f"{number + 1:4} {small.launcher:18} {kind:10} {outcome}", flush=True)
    for (launcher, kind, outcome), count in sorted(counts.items()):
        print(f"{launcher:18} {kind:10} {outcome:10} {count}")
    print(f"{options.trials} trials, {wrong} went wrong")
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(), 1))
