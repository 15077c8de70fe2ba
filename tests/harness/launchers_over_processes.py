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
from tests.harness.several_processes import ends_of, meeting

TABLES = ("summary.csv", "repeats.csv", "examples.csv")
ROUNDING = {"rel_tol": 1e-4, "abs_tol": 1e-5}
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
    wrong = [
        f"process {index}: status {end.status}, {end.errors.strip().splitlines()[-1:]}"
        for index, end in enumerate(ends_of(meeting([command] * count), SECONDS))
        if end.status
    ]
    return "; ".join(wrong)


def difference(
    one: pathlib.Path, other: pathlib.Path, *, rel_tol: float, abs_tol: float
) -> str:
    """The first cell in which two tables differ; nothing where there is none.

    Args:
      one: a CSV file.
      other: likewise.
      rel_tol: of cells that are numbers in both, see `math.isclose`.
      abs_tol: likewise.
    """

    def same(mine: str, theirs: str) -> bool:
        try:
            near = math.isclose(
                float(mine), float(theirs), rel_tol=rel_tol, abs_tol=abs_tol
            )
        except ValueError:
            near = False
        return near or mine == theirs

    tables = [list(csv.reader(path.read_text().splitlines())) for path in (one, other)]
    if len(tables[0]) != len(tables[1]):
        return f"{len(tables[0])} and {len(tables[1])} lines"
    if tables[0][0] != tables[1][0]:
        return f"columns {tables[0][0]} and {tables[1][0]}"
    for number, rows in enumerate(zip(*tables), start=1):
        for name, mine, theirs in zip(tables[0][0], *rows, strict=True):
            if not same(mine, theirs):
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
        if (one / name).exists():
            told = difference(one / name, two / name, **ROUNDING)
            if told:
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
