"""Sweeps that are killed, lose jobs and nodes, and must leave the same tables.

    python -m tests.harness.sweep --studies=toy,label_noise,label_correction
    python -m tests.harness.sweep --engine=ray
    python -m tests.harness.sweep --engine=slurm

Of each study: eight points are run undisturbed. Elsewhere seven of them and one that
fails are run by a sweep that is killed (SIGKILL) three times and continued, while some
of its jobs are killed at random; with Ray, on two nodes of which one is lost. Then the
eight points again: what is new is run, nothing else, and the tables must be the
undisturbed ones, byte for byte.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

TABLES = ("results.csv", "summary.csv")


@dataclasses.dataclass(frozen=True)
class Scenario:
    """Eight small points of a study, and one that fails.

    Attributes:
      study: for `--study`.
      base: flags of all points.
      axes: two values of each of three flags.
      unlucky: flags that make a point fail.
    """

    study: str
    base: tuple[str, ...]
    axes: dict[str, tuple[str, str]]
    unlucky: dict[str, str]

    def points(self) -> list[dict[str, str]]:
        """The eight."""
        (a, (a0, a1)), (b, (b0, b1)), (c, (c0, c1)) = self.axes.items()
        return [
            {a: x, b: y, c: z} for x in (a0, a1) for y in (b0, b1) for z in (c0, c1)
        ]


SCENARIOS = {
    "toy": Scenario(
        "tests.harness.toy_launcher",
        ("--nofast", "--epochs=8", "--seconds=0.3"),
        {"rate": ("0.2", "0.5"), "methods": ("ce", "elr"), "seed": ("0", "1")},
        {"rate": "0.13"},
    ),
    "label_noise": Scenario(
        "label_noise",
        ("--preset=digits", "--epochs=2", "--repeats=2", "--hidden=16"),
        {"noise_rate": ("0.2", "0.5"), "methods": ("ce", "elr"), "seed": ("0", "1")},
        {"learning_rate": "1e30"},
    ),
    "label_correction": Scenario(
        "label_correction",
        (
            *("--preset=digits", "--epochs=1", "--repeats=1", "--hidden=8,8"),
            *("--budget=20", "--batch=10"),
        ),
        {
            "noise_rate": ("0.3", "0.5"),
            "methods": ("random", "alc"),
            "seed": ("0", "1"),
        },
        {"learning_rate": "1e30"},
    ),
}


def write_points(path: pathlib.Path, points: list[dict[str, str]]) -> pathlib.Path:
    """Writes a file for `--points`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(point) + "\n" for point in points))
    return path


class Sweep:
    """A sweep in a process of its own."""

    def __init__(
        self,
        scenario: Scenario,
        points: pathlib.Path,
        run_dir: pathlib.Path,
        name: str,
        flags: tuple[str, ...] = (),
    ):
        """Starts it."""
        self.folder = run_dir / "sweeps" / name
        self._log = run_dir / f"{name}.log"
        run_dir.mkdir(parents=True, exist_ok=True)
        with open(self._log, "ab") as log:
            self._from = log.tell()
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "experiments.sweep"),
                    *(f"--study={scenario.study}", *scenario.base),
                    *(f"--points={points}", f"--run_dir={run_dir}", f"--name={name}"),
                    *("--retries=10", *flags),
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> int:
        """Its status."""
        return self.process.wait()

    def wait_for_attempts(self, count: int) -> None:
        """Until so many jobs have ended, or the sweep has."""
        while len(self.attempts()) < count and self.process.poll() is None:
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._log.read_bytes()[self._from :].decode("utf-8", "replace")

    def attempts(self) -> list[dict[str, Any]]:
        """How its jobs have ended, over all processes of the sweep."""
        try:
            lines = (self.folder / "attempts.jsonl").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines if line.endswith("}")]


def tables(sweep: Sweep) -> dict[str, bytes]:
    """What must not depend on what has happened."""
    return {name: (sweep.folder / name).read_bytes() for name in TABLES}


class Killer(threading.Thread):
    """Kills jobs under a run folder at random, each once at most."""

    def __init__(self, run_dir: pathlib.Path, share: float, rng: random.Random):
        """Starts killing.

        Args:
          run_dir: of the jobs.
          share: of the jobs that are killed.
          rng: which, and when.
        """
        super().__init__(daemon=True)
        self._mark, self._share, self._rng = f"--run_dir={run_dir}", share, rng
        self.killed, self.seen = 0, 0
        self._end = threading.Event()
        self.start()

    def run(self) -> None:
        """Looks for new jobs until it is told to stop."""
        known: set[int] = set()
        due: dict[int, float] = {}
        while not self._end.wait(0.1):
            for pid in self._jobs() - known:
                known.add(pid)
                self.seen += 1
                if self._rng.random() < self._share:
                    due[pid] = time.monotonic() + self._rng.uniform(0, 8)
            for pid, when in list(due.items()):
                if when < time.monotonic():
                    del due[pid]
                    if pid in self._jobs():
                        os.kill(pid, signal.SIGKILL)
                        self.killed += 1

    def _jobs(self) -> set[int]:
        found = set()
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().decode("utf-8", "replace").split("\0")
                if self._mark in words and "experiments.sweep" not in words:
                    found.add(int(path.parent.name))
        return found

    def stop(self) -> None:
        """Kills no more."""
        self._end.set()
        self.join()


class RayNodes:
    """A Ray cluster of two nodes on this machine."""

    def __init__(self) -> None:
        """Starts it."""
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._second = self._cluster.add_node(num_cpus=1)
        self.address = self._cluster.address

    def lose_one(self) -> None:
        """Kills a node with all that runs on it."""
        self._cluster.remove_node(self._second, allow_graceful=False)

    def close(self) -> None:
        """Ends it."""
        self._cluster.shutdown()


@contextlib.contextmanager
def engine_flags(engine: str) -> Iterator[tuple[tuple[str, ...], RayNodes | None]]:
    """Flags of an engine, and the nodes that it has."""
    if engine != "ray":
        slurm = ("--slurm_cluster=local", "--resources=time=30")
        yield (f"--engine={engine}", *(slurm if engine == "slurm" else ())), None
        return
    nodes = RayNodes()
    try:
        yield (f"--engine={engine}", f"--address={nodes.address}"), nodes
    finally:
        nodes.close()


def trial(
    scenario: Scenario,
    engine: str,
    folder: pathlib.Path,
    rng: random.Random,
    *,
    kills: int = 3,
    share: float = 0.3,
) -> list[str]:
    """Runs a scenario.

    Args:
      scenario: which.
      engine: of the disturbed sweep.
      folder: for everything.
      rng: of the moments.
      kills: of the sweep itself.
      share: of its jobs that are killed.

    Returns:
      What was not as it must be.
    """
    wrong: list[str] = []
    per_kill = max(1, 6 // kills)
    eight = scenario.points()
    good = write_points(folder / "eight.jsonl", eight)
    spoilt = [*eight[:-1], {**eight[-1], **scenario.unlucky}]
    bad = write_points(folder / "spoilt.jsonl", spoilt)
    began = time.monotonic()
    whole = Sweep(scenario, good, folder / "whole", "s")
    if whole.wait() != 0:
        return [f"undisturbed: {whole.output}"]
    seconds = time.monotonic() - began
    run_dir = folder / engine
    with engine_flags(engine) as (flags, nodes):
        killer = Killer(run_dir, share, rng)
        for number in range(kills):
            sweep = Sweep(scenario, bad, run_dir, "first", flags)
            # By what was done and not by the clock, which a busy machine outruns; two
            # of the eight are left in any case.
            sweep.wait_for_attempts(rng.randint(number, number + 1) * per_kill)
            time.sleep(rng.uniform(0, 2))
            if sweep.process.poll() is not None:
                wrong.append(f"kill {number + 1}: too late")
            sweep.kill()
        sweep = Sweep(scenario, bad, run_dir, "first", flags)
        if nodes is not None:
            time.sleep(0.2 * seconds)
            nodes.lose_one()
        status = sweep.wait()
        if status != 1 or "error: 1 of 8 points failed" not in sweep.output:
            wrong.append(f"with a point that fails: status {status}: {sweep.output}")
        died = sum(each["what"] == "died" for each in sweep.attempts())
        print(f"  {killer.killed} of {killer.seen} jobs killed, {died} seen to die")
        again = Sweep(scenario, good, run_dir, "all", flags)
        killer.stop()
        status = again.wait()
        if status != 0:
            wrong.append(f"all: status {status}: {again.output}")
            return wrong
        finished = [a for a in again.attempts() if a["what"] == "finished"]
        if len(finished) != 1:
            wrong.append(f"all: {len(finished)} points were run, expected the new one")
    wanted, found = tables(whole), tables(again)
    wrong += [f"{n}: other bytes" for n in TABLES if wanted[n] != found[n]]
    return wrong


def main(arguments: list[str] | None = None) -> int:
    """Runs the scenarios; returns how many went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", default=",".join(SCENARIOS))
    parser.add_argument("--engine", default="local")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--folder", default=None)
    options = parser.parse_args(arguments)
    folder = pathlib.Path(options.folder or tempfile.mkdtemp(prefix="sweep-"))
    wrong = 0
    for name in options.studies.split(","):
        began = time.monotonic()
        print(f"{name}, {options.engine}", flush=True)
        rng = random.Random(options.seed)
        found = trial(
            SCENARIOS[name], options.engine, folder / name, rng, kills=options.kills
        )
        for line in found:
            print(f"  {line}")
        wrong += bool(found)
        minutes = (time.monotonic() - began) / 60
        print(f"  {'WRONG' if found else 'fine'} after {minutes:.1f} minutes")
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(), 1))
