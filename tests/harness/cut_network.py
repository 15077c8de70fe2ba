"""Cuts the network between the two processes of a training, and continues it.

    sudo python -m tests.harness.cut_network --trials=3

Each process has a network namespace of its own, with one cable between them. Packets
that are lost tell nobody, unlike a process that was killed: both processes must end by
themselves soon after `--heartbeat_seconds`, with one line each, and the same command
again must leave the summary of a training that was never disturbed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from tests.harness import kill_hosts

_NAMES = ("rj-host-0", "rj-host-1")
_ADDRESSES = ("10.231.7.1", "10.231.7.2")


def _ip(*words: str) -> None:
    """One command of iproute2."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextlib.contextmanager
def two_hosts() -> Iterator[None]:
    """Two namespaces with a cable, each with its own name and file of hosts."""
    cables = [f"rjcable{index}" for index in range(2)]
    homes = [pathlib.Path("/etc/netns", name) for name in _NAMES]
    try:
        for name, home in zip(_NAMES, homes):
            _ip("netns", "add", name)
            home.mkdir(parents=True)
            hosts = [f"{a} {n}" for a, n in zip(_ADDRESSES, _NAMES)]
            (home / "hosts").write_text("\n".join(["127.0.0.1 localhost", *hosts, ""]))
        _ip("link", "add", cables[0], "type", "veth", "peer", "name", cables[1])
        for name, cable, address in zip(_NAMES, cables, _ADDRESSES):
            _ip("link", "set", cable, "netns", name)
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", cable)
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", cable, "up")
        yield
    finally:
        for name, home in zip(_NAMES, homes):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
            shutil.rmtree(home, ignore_errors=True)


def cut() -> None:
    """Takes the cable down at one end; the other end's packets go nowhere."""
    _ip("-n", _NAMES[1], "link", "set", "rjcable1", "down")


def begin(folder: pathlib.Path) -> list[subprocess.Popen[str]]:
    """Starts the training, a process in each namespace."""
    processes = []
    commands = kill_hosts.commands(folder, 2, f"{_ADDRESSES[0]}:7654")
    for name, command in zip(_NAMES, commands):
        named = ["unshare", "--uts", "sh", "-c", f'hostname {name}; exec "$@"', "sh"]
        processes.append(
            subprocess.Popen(
                ["ip", "netns", "exec", name, *named, *command],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return processes


def trial(folder: pathlib.Path, epoch: int) -> tuple[float, list[str], list[int]]:
    """Seconds from the cut until both had ended, what they said, and their statuses."""
    with two_hosts():
        processes = begin(folder)
        kill_hosts.wait_for_epochs(folder, epoch)
        cut()
        started = time.monotonic()
        said = kill_hosts.end(processes, 300)
        return time.monotonic() - started, said, [p.returncode for p in processes]


def main() -> None:
    """Runs the trials and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if os.geteuid() or not shutil.which("ip"):
        sys.exit("error: namespaces need root and iproute2's `ip`")
    rng = random.Random(given.seed)
    bad = 0
    with tempfile.TemporaryDirectory() as root:
        whole = pathlib.Path(root, "whole")
        kill_hosts.end(kill_hosts.begin(whole, 1), kill_hosts.WHOLE_SECONDS)
        for number in range(given.trials):
            folder = pathlib.Path(root, str(number))
            epoch, again = rng.randrange(1, 24), 1 + rng.randrange(2)
            seconds, said, statuses = trial(folder, epoch)
            lines = [kill_hosts.is_one_line(each) for each in said]
            same, left = kill_hosts.what_is_left(folder, whole, again)
            well = same and all(lines) and statuses == [1, 1]
            bad += not well
            print(
                f"{number}: cut at {epoch} of 24 epochs, ended after {seconds:.1f} s "
                f"with status {statuses}, one line each: {lines}; continued by {again} "
                f"process(es): {left}",
                *([] if well else said),
                flush=True,
            )
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
