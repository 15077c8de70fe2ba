"""Running the benchmarks behind rows of the table of speeds, and reading them."""

from __future__ import annotations

import json
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from experiments.benchmarks.speed_rows import CORRUPTIONS, Speed
from robustjax.training import progress_bar


def commands(rows: Iterable[Speed]) -> list[str]:
    """The commands of some rows, each once; `CORRUPTIONS` writes a table of its own."""
    return list(dict.fromkeys([*(row.command for row in rows), CORRUPTIONS]))


def chosen(names: list[str], every: list[str]) -> list[str]:
    """The commands of some benchmarks.

    Raises:
      ValueError: a name that none has.
    """
    known = [command.split()[0] for command in every]
    for name in names:
        if name not in known:
            raise ValueError(
                f"only: got {name!r}, expected some of "
                f"{', '.join(dict.fromkeys(known))}"
            )
    return [command for command in every if command.split()[0] in names]


def cells(row: Speed, folder: pathlib.Path) -> list[str]:
    """What a row's files say: ratios, their spread over rounds, rounds, device.

    Raises:
      OSError: a file that is not there.
    """
    medians, spreads, rounds, devices = [], [], [], []
    for name, case in row.cases:
        record: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
        times = {c: np.asarray(t) for c, t in record["milliseconds"].items()}
        each = times[record["baseline"]] / times[case]
        medians.append(float(np.median(each)))
        spreads.append(f"{each.min():.2f} to {each.max():.2f}")
        rounds.append(str(len(each)))
        devices.append(f"{record['versions']['device']}")
    joined = [", ".join(dict.fromkeys(part)) for part in (spreads, rounds, devices)]
    return [row.what, row.format.format(*medians), *joined]


def _run(command: str, folder: str, rounds: int) -> str:
    """Empty, or why it failed."""
    module, *given = shlex.split(command)
    if rounds:
        given = [
            *(g for g in given if not g.startswith("--rounds")),
            f"--rounds={rounds}",
        ]
    line = [sys.executable, "-m", f"experiments.benchmarks.{module}", *given]
    done = subprocess.run(
        [*line, f"--out_dir={folder}"], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return ""
    last = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()[-1]
    return f"{command}: {last}"


def measure(
    rows: Sequence[Speed], wanted: Sequence[str], folder: str, rounds: int
) -> tuple[list[list[str]], list[str]]:
    """Runs some commands, and reads the rows that they make.

    Args:
      rows: all there are.
      wanted: commands of them.
      folder: where the files go.
      rounds: timed rounds of each, 0 for as many as its row says.

    Returns:
      `cells` of the rows, and a line on every command that failed.
    """
    failed = {}
    with progress_bar(len(wanted), "benchmarks", unit="benchmark") as bar:
        for command in wanted:
            bar.set_postfix_str(command)
            if why := _run(command, folder, rounds):
                failed[command] = why
            bar.update(1)
    done = [row for row in rows if row.command in wanted and row.command not in failed]
    return [cells(row, pathlib.Path(folder)) for row in done], list(failed.values())
