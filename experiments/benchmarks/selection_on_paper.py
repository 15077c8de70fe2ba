"""What selections of N = 10^9 examples would take, on paper.

    python -m experiments.benchmarks.selection_on_paper

Every number follows from the formulas below, which are those of the code: what a round
of picks (or a block of rows, or a pass) reads, computes and sends, divided by the peaks
that the makers state. Peaks are not reached: the times are lower bounds, and say which
term rules.
"""

# ruff: noqa: RUF001 (the sign of multiplication is meant)

from __future__ import annotations

import math
from typing import NamedTuple

from robustjax.selection._ahead import CANDIDATES, PICKS_SHARE
from robustjax.selection._confined_gains import ROWS
from robustjax.selection._facility_location import CANDIDATES as EVALUATED
from robustjax.selection._prototype_distance import _BLOCK_NUMBERS as MEASURED

N, D, QUERIES, NEIGHBORS, CLUSTERS, CLASSES = 10**9, 64, 32, 16, 100, 10
PICKS = CANDIDATES // PICKS_SHARE
# Examples of which the best is looked for first, together.
GROUP = 64
GROUPS = N // GROUP
_FLOAT = 4


class Machine(NamedTuple):
    """Devices together, by their makers' data sheets.

    Attributes:
      name: of them.
      devices: how many.
      bytes: memory of each.
      flops: float32 multiplications and additions a second of each; of a TPU those
        of bfloat16 over six, the passes of a float32 product.
      bandwidth: bytes a second that each reads or writes of its memory.
      link: bytes a second that each sends or receives.
    """

    name: str
    devices: int
    bytes: float
    flops: float
    bandwidth: float
    link: float


MACHINES = (
    Machine("8 × A100", 8, 80e9, 19.5e12, 2.0e12, 300e9),
    Machine("8 × H200", 8, 141e9, 67e12, 4.8e12, 450e9),
    Machine("256 × TPU v5e", 256, 16e9, 197e12 / 6, 0.82e12, 100e9),
)


class Work(NamedTuple):
    """Of one step, over all devices but for what each of them does alike.

    Attributes:
      what: the selection.
      step: what a step is.
      held: bytes that all devices hold together.
      held_each: bytes that each holds beside its part.
      flops: of a step.
      moved: bytes of memory read or written in a step.
      moved_each: bytes that each moves beside its part.
      sent: bytes that each device receives in a step.
      steps: how many steps there are, if N alone says it.
    """

    what: str
    step: str
    held: float
    held_each: float
    flops: float
    moved: float
    moved_each: float
    sent: float
    steps: float | None = None


def works() -> list[Work]:
    """By the code of every selection."""
    points = N * D * _FLOAT
    relations = N * PICKS * _FLOAT
    greedy = Work(
        "k-center",
        f"round of up to {PICKS} picks",
        # Points, square, first, level, taken; and the relations of a round.
        points + N * 13 + relations,
        GROUPS * 2 * _FLOAT,
        2 * N * D * PICKS,
        # Relations are written and read again.
        points + 2 * relations + N * 13,
        # The best of every group, sorted by each device.
        2 * GROUPS * _FLOAT * math.log2(GROUPS),
        # The best of every group, the groups of the best, and candidates' rows.
        (GROUPS + (CANDIDATES + 1) * GROUP + CANDIDATES * (D + 3)) * _FLOAT,
    )
    rule = greedy._replace(
        what="Prune4ReL",
        held=points + N * 21 + relations,
        moved=points + 2 * relations + N * 21,
    )
    location = Work(
        "facility location",
        f"block of {ROWS} examples",
        # Points, seven numbers of each, and similarities of a block of candidates.
        points + N * 28 + N * EVALUATED * _FLOAT,
        # Bounds, and what candidates are worth.
        2 * N * _FLOAT,
        2 * N * D * ROWS,
        # Tiles stay in a cache; norms are read, sums read and written.
        points + 3 * N * _FLOAT,
        0,
        ROWS * (D + 4) * _FLOAT,
        N / ROWS,
    )
    neighbors = Work(
        "neighbours of all",
        f"block of {QUERIES} rows",
        # Points, centred and as they are compared; similarities, padded and not.
        2 * points + 2 * N * QUERIES * _FLOAT,
        0,
        2 * N * D * QUERIES,
        points + 4 * N * QUERIES * _FLOAT,
        0,
        QUERIES * NEIGHBORS * 2 * _FLOAT,
        N / QUERIES,
    )
    means = Work(
        f"distances to {CLUSTERS} means",
        "pass",
        # Distances; of points a block at a time, and the means.
        N * _FLOAT,
        (MEASURED // CLUSTERS + CLUSTERS) * D * _FLOAT,
        2 * N * D * CLUSTERS,
        points + N * _FLOAT,
        0,
        CLUSTERS * D * _FLOAT,
        1,
    )
    return [greedy, rule, location, neighbors, means]


class Terms(NamedTuple):
    """Seconds of a step on a machine, and whether it holds what is to be held."""

    flops: float
    memory: float
    link: float
    fits: bool

    @property
    def rules(self) -> str:
        """The largest term."""
        names = ("arithmetic", "memory", "links")
        return names[max(range(3), key=lambda i: self[i])]

    @property
    def seconds(self) -> float:
        """Of a step: the terms overlap at best."""
        return max(self.flops, self.memory, self.link)


def terms(work: Work, machine: Machine) -> Terms:
    """Of a step."""
    count = machine.devices
    held = work.held / count + work.held_each
    return Terms(
        work.flops / count / machine.flops,
        (work.moved / count + work.moved_each) / machine.bandwidth,
        work.sent / machine.link,
        held <= machine.bytes,
    )


def shown(seconds: float) -> str:
    """A time for people."""
    for unit, name in ((86_400, "days"), (3_600, "h"), (60, "min"), (1, "s")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.2g} {name}"
    if seconds >= 0.1:
        return f"{1e3 * seconds:.0f} ms"
    return f"{1e3 * seconds:.2g} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.2g} µs"


def table() -> list[list[str]]:
    """A row per selection, with a cell per machine."""
    head = ["selection", "a step", "TB held", "TFLOP", "TB moved", "GB received"]
    rows = [[*head, *(machine.name for machine in MACHINES)]]
    for work in works():
        cells = []
        for machine in MACHINES:
            found = terms(work, machine)
            cell = f"{shown(found.seconds)}, {found.rules}"
            if work.steps is not None and work.steps > 1:
                cell += f"; all {shown(work.steps * found.seconds)}"
            cells.append(cell if found.fits else f"does not fit ({cell})")
        numbers = (work.held / 1e12, work.flops / 1e12, work.moved / 1e12)
        held, flops, moved = (f"{number:.2g}" for number in numbers)
        sent = f"{work.sent / 1e9:.2g}"
        rows.append([work.what, work.step, held, flops, moved, sent, *cells])
    return rows


if __name__ == "__main__":
    for row in table():
        print(" | ".join(row))
