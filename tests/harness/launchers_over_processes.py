"""Runs every launcher in one process and in two, which are to leave the same tables.

    python -m tests.harness.launchers_over_processes --launchers=pruning,features
    python -m tests.harness.launchers_over_processes --methods=all

Numbers may be as far apart as rounding takes them; everything else is the same.
"""

from __future__ import annotations

import argparse
import csv
import math
import pathlib
import sys
import tempfile
from collections.abc import Sequence

from tests.harness.runs import RUNS, Small, arguments, run_folder, write_data
from tests.harness.several_processes import ends_of, free_address

TABLES = ("summary.csv", "repeats.csv", "examples.csv")
SECONDS = 1200


def launch(
    small: Small,
    paths: dict[str, pathlib.Path],
    folder: pathlib.Path,
    count: int,
    more: Sequence[str] = (),
) -> str:
    """Runs it in so many processes, with more flags; what went wrong."""
    command = [sys.executable, "-m", f"experiments.{small.launcher}"]
    command += [*arguments(small, paths, folder), *more]
    commands = [command]
    if count > 1:
        places = [f"--coordinator={free_address()}", f"--num_processes={count}"]
        commands = [
            [*command, *places, f"--process_id={index}"] for index in range(count)
        ]
    wrong = [
        f"process {index}: status {end.status}, {end.errors.strip().splitlines()[-1:]}"
        for index, end in enumerate(ends_of(commands, SECONDS))
        if end.status
    ]
    return "; ".join(wrong)


def _same(one: str, other: str) -> bool:
    try:
        return math.isclose(float(one), float(other), rel_tol=1e-4, abs_tol=1e-5)
    except ValueError:
        return one == other


def difference(one: pathlib.Path, other: pathlib.Path) -> str:
    """The first cell in which two tables differ; nothing where there is none."""
    tables = [list(csv.reader(path.read_text().splitlines())) for path in (one, other)]
    if [len(table) for table in tables] != [len(tables[0])] * 2:
        return f"{len(tables[0])} and {len(tables[1])} lines"
    for number, rows in enumerate(zip(*tables), start=1):
        for name, mine, theirs in zip(tables[0][0], *rows):
            if not _same(mine, theirs):
                return f"line {number}, {name}: {mine} and {theirs}"
    return ""


def compared(
    small: Small,
    paths: dict[str, pathlib.Path],
    root: pathlib.Path,
    more: Sequence[str] = (),
) -> str:
    """What two processes do otherwise than one; nothing where all is the same."""
    folders = {count: root / f"{small.launcher}-{count}" for count in (1, 2)}
    for count, folder in folders.items():
        wrong = launch(small, paths, folder, count, more)
        if wrong:
            return f"{count} process(es): {wrong}"
    one, two = (run_folder(small, folder) for folder in folders.values())
    for name in TABLES:
        if (one / name).exists() != (two / name).exists():
            return f"{name} is there once"
        if (one / name).exists() and (told := difference(one / name, two / name)):
            return f"{name}: {told}"
    return ""


def main() -> None:
    """Prints a line for every launcher."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--launchers", default=",".join(r.launcher for r in RUNS))
    parser.add_argument("--methods", default=None, help="instead of a few of each")
    given = parser.parse_args()
    chosen = given.launchers.split(",")
    more = [] if given.methods is None else [f"--methods={given.methods}"]
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        paths = write_data(root / "data")
        for small in RUNS:
            if small.launcher in chosen:
                told = compared(small, paths, root, more)
                bad += bool(told)
                print(f"{small.launcher}: {told or 'the same'}", flush=True)
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
