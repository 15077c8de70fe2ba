"""Every row of the table of speeds, one benchmark after the other.

    python -m experiments.benchmarks --list
    python -m experiments.benchmarks --only=prune4rel,k_center --rounds=5
    python -m experiments.benchmarks --all --rounds=5 \
        --out_dir=experiments/results/benchmarks

Every command runs in a process of its own, so that none finds the memory or the
compiled programs of another. What a benchmark cannot do, such as for a peer that is not
installed, is named at the end, the others go on, and the exit status is 1. `spread` is
the smallest and largest ratio of all rounds. docs/speed.md is made from the files in
experiments/results/benchmarks by `python -m tests.printed_tables`.
"""

from __future__ import annotations

import sys

from absl import app, flags

from experiments.benchmarks.all_rows import chosen, commands, measure
from experiments.benchmarks.speed_rows import SPEED
from experiments.benchmarks.timing import OUT_DIR
from robustjax.tools.tables import text_table

_ALL = flags.DEFINE_bool("all", False, "Run all of them: hours.")
_ONLY = flags.DEFINE_list("only", [], "Run these alone, by the names of --list.")
_LIST = flags.DEFINE_bool("list", False, "Print the commands, and run nothing.")
_ROUNDS = flags.DEFINE_integer(
    "rounds", 0, "Timed rounds of each; 0: as many as its row says.", lower_bound=0
)


def main(argv: list[str]) -> None:
    """Runs what is asked for, then prints the table of it."""
    del argv
    every = commands(SPEED)
    if _LIST.value:
        print("\n".join(every))
        return
    if not _ALL.value and not _ONLY.value:
        raise app.UsageError("got nothing to run, expected --all, --only or --list")
    try:
        wanted = every if _ALL.value else chosen(_ONLY.value, every)
    except ValueError as error:
        raise app.UsageError(str(error)) from None
    table, failed = measure(SPEED, wanted, OUT_DIR.value, _ROUNDS.value)
    print(text_table(["what", "ratio", "spread", "rounds", "device"], table))
    if failed:
        print("\n".join(["not measured:", *failed]), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    app.run(main)
