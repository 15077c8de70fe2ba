"""Kills one of two processes of a training at random times, and continues it.

    python -m tests.harness.kill_hosts --trials=10

After `kill -9` the other process must end within a limit, with one line; the same
command again must leave the summary of a training that was never disturbed. With
--signal=SIGSTOP the process is silent instead, as behind a cut network: the other one
must end by itself soon after `--heartbeat_seconds`.
"""

from __future__ import annotations

import argparse
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

from tests.harness.several_processes import meeting

TRAINING = (
    *("--preset=digits", "--methods=ce,sop", "--repeats=1", "--epochs=12"),
    *("--hidden=16", "--checkpoint_every_epochs=1", "--name=run"),
)
"""Flags of a small study of label noise."""
WHOLE_SECONDS = 600
_LINE = "error: another process has ended or does not answer ("


def commands(
    folder: pathlib.Path, count: int, address: str | None = None
) -> list[list[str]]:
    """Of the training in so many processes, which meet at an address."""
    command = [sys.executable, "-m", "experiments.label_noise", *TRAINING]
    command += ["--heartbeat_seconds=20", f"--run_dir={folder}"]
    return meeting([command] * count, address)


def begin(folder: pathlib.Path, count: int) -> list[subprocess.Popen[str]]:
    """Starts the training in so many processes."""
    return [
        subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        for command in commands(folder, count)
    ]


def end(processes: list[subprocess.Popen[str]], seconds: float) -> list[str]:
    """What they said, if all end within some seconds."""
    try:
        return [process.communicate(timeout=seconds)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()


def what_is_left(
    folder: pathlib.Path, whole: pathlib.Path, count: int
) -> tuple[bool, str]:
    """Continues a run by so many processes: whether and how it ends as a whole one."""
    said = end(begin(folder, count), WHOLE_SECONDS)
    same, told = compared(folder, whole)
    return same, told if same else "\n".join([told, *said])


def compared(folder: pathlib.Path, whole: pathlib.Path) -> tuple[bool, str]:
    """Whether a training left what a whole one left, and a word on it."""
    one, other = (
        root / "label_noise" / "run" / "summary.csv" for root in (folder, whole)
    )
    if not one.exists():
        return False, "NO SUMMARY"
    same = one.read_bytes() == other.read_bytes()
    return same, "the same summary" if same else "ANOTHER SUMMARY"


def epochs_done(folder: pathlib.Path) -> int:
    """So far."""
    path = folder / "label_noise" / "run" / "metrics.jsonl"
    return path.read_text().count('"event": "epoch"') if path.exists() else 0


def wait_for_epochs(folder: pathlib.Path, count: int) -> None:
    """Until so many are done; an error where that takes longer than a whole run."""
    started = time.monotonic()
    while epochs_done(folder) < count:
        if time.monotonic() - started > WHOLE_SECONDS:
            raise TimeoutError(
                f"{epochs_done(folder)} of {count} epochs in {WHOLE_SECONDS} s"
            )
        time.sleep(0.05)


def is_one_line(said: str) -> bool:
    """Whether a process told of the other one, of nothing else, and in one line."""
    told = [line for line in said.splitlines() if "error" in line.lower()]
    return len(told) == 1 and told[0].startswith(_LINE)


def trial(folder: pathlib.Path, rng: random.Random, number: int) -> tuple[float, str]:
    """Kills one of two processes; gives the seconds until all had ended, and a line."""
    victim, epoch = rng.randrange(2), rng.randrange(1, 24)
    processes = begin(folder, 2)
    wait_for_epochs(folder, epoch)
    time.sleep(rng.random())
    processes[victim].send_signal(number)
    killed = time.monotonic()
    others = [p for index, p in enumerate(processes) if index != victim]
    (said,) = end(others, 120)
    seconds = time.monotonic() - killed
    processes[victim].kill()
    processes[victim].communicate()
    where = f"process {victim} at {epoch} of 24 epochs, status {others[0].returncode}"
    told = "one line" if is_one_line(said) else f"{len(said)} characters"
    return seconds, f"{where}, {told}"


def main() -> None:
    """Runs the trials and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signal", default="SIGKILL", choices=["SIGKILL", "SIGSTOP"])
    given = parser.parse_args()
    rng = random.Random(given.seed)
    bad = 0
    with tempfile.TemporaryDirectory() as root:
        whole = pathlib.Path(root, "whole")
        end(begin(whole, 1), WHOLE_SECONDS)
        for number in range(given.trials):
            folder = pathlib.Path(root, str(number))
            seconds, line = trial(folder, rng, signal.Signals[given.signal])
            again = 1 + rng.randrange(2)
            same, left = what_is_left(folder, whole, again)
            bad += not same or "one line" not in line
            print(
                f"{number}: {line}, all ended after {seconds:.1f} s; continued by "
                f"{again} process(es): {left}",
                flush=True,
            )
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
