"""Processes that meet on `localhost`, started and ended together."""

from __future__ import annotations

import pathlib
import socket
import subprocess
from collections.abc import Collection, Sequence
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[2]


class End(NamedTuple):
    """How a process ended, and what it said."""

    status: int
    output: str
    errors: str


def free_address() -> str:
    """Of this machine, with a port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


def meeting(
    commands: Sequence[Sequence[str]], address: str | None = None
) -> list[list[str]]:
    """Commands of processes, with the flags by which these meet if they are several.

    Args:
      commands: one for every process.
      address: where; by default one that is free.
    """
    if len(commands) == 1:
        return [list(commands[0])]
    where = [f"--coordinator={address or free_address()}"]
    where.append(f"--num_processes={len(commands)}")
    return [
        [*command, *where, f"--process_id={index}"]
        for index, command in enumerate(commands)
    ]


def ends_of(
    commands: Sequence[Sequence[str]], seconds: float, silent: Collection[int] = ()
) -> list[End]:
    """Starts commands together and waits for all of them, at most so long for each.

    Args:
      commands: one for every process.
      seconds: after which none of them runs any more, and the wait is an error.
      silent: the numbers of those that are killed when it is their turn.
    """
    processes = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    said = []
    try:
        for index, process in enumerate(processes):
            if index in silent:
                process.kill()
            said.append(process.communicate(timeout=seconds))
    finally:
        for process in processes:
            process.kill()
    return [End(p.returncode, *each) for p, each in zip(processes, said)]


def own_lines(errors: str) -> list[str]:
    """What a process said itself, without the lines of the library below JAX."""
    return [e for e in errors.splitlines() if e and not e.startswith("[Gloo]")]
