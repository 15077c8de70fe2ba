"""The printed numbers of papers beside ours, and where ours come from."""

from __future__ import annotations

import functools

from experiments.reporting.claims import (
    CLAIMS,
    RESULTS,
    VERDICTS,
    Claim,
    Difference,
    Side,
    difference,
    read_claims,
    sides,
    verdict,
)
from experiments.reporting.kept_runs import read_run
from tests.printed_tables.cells import BUILDERS, Files, Table, builder, signed

AREAS = (
    "label_noise",
    "label_correction",
    "pruning",
    "active_learning",
    "features",
    "dataset_bias",
    "instruction_selection",
)


def claims_of(files: Files) -> tuple[Claim, ...]:
    """All claims; their file is a source of whatever is made from them."""
    files.read.add(CLAIMS)
    return read_claims()[0]


def compared(
    claim: Claim, files: Files
) -> tuple[Side | None, Side | None, Difference | None]:
    """Method, baseline, and their difference; None where nothing was run."""
    if not claim.run:
        return None, None, None
    for run in {claim.run, claim.baseline_run} - {""}:
        if (RESULTS / run / "repeats.csv").exists():
            files.read.add(f"{run}/repeats.csv")
    method, baseline = sides(claim, files.rows)
    same = not claim.baseline_run
    return method, baseline, difference(method, baseline, same_run=same)


def in_print(values: tuple[float, ...], digits: int = 2) -> str:
    """A printed number as it was printed, with its deviation if it has one."""
    if not values:
        return "none"
    return " ±".join(f"{value:.{digits}f}" for value in values)


def ours(side: Side) -> str:
    return f"{side.mean:.1f} ±{side.deviation:.1f}"


def claims_table(files: Files, area: str) -> Table:
    table = [
        [
            "effect",
            "printed: baseline, method",
            "source",
            "ours: baseline, method",
            "difference ± error",
            "n",
            "our setting",
            "run",
            "verdict",
        ]
    ]
    for claim in claims_of(files):
        if claim.area != area:
            continue
        method, baseline, found = compared(claim, files)
        printed = "nothing printed"
        if claim.printed:
            pair = map(in_print, (claim.printed_baseline, claim.printed))
            printed = ", ".join(pair)
        source = f"{claim.source}: {claim.there}" if claim.source else ""
        if method is None or baseline is None or found is None:
            cells = ["none", "", "", "", claim.why_not]
        else:
            # Of as many repeats in both, as a rule.
            counts = dict.fromkeys((baseline.count, method.count))
            apart = "" if found.paired else ", not paired"
            cells = [
                f"{ours(baseline)}, {ours(method)}",
                f"{signed(found.mean)} ±{found.error:.1f}{apart}",
                " and ".join(map(str, counts)),
                claim.here,
                f"`{claim.run}`",
            ]
        table.append([claim.effect, printed, source, *cells, verdict(claim, found)])
    return table


for _area in AREAS:
    BUILDERS[f"claims_{_area}"] = functools.partial(claims_table, area=_area)


@builder
def kept_runs(files: Files) -> Table:
    """Every run whose summary is kept, with what is known of how it was made."""
    table = [
        [
            "run",
            "n",
            "each repeat",
            "device",
            "versions",
            "minutes",
            "command (`python -m experiments.…`)",
        ]
    ]
    files.read.add(CLAIMS)
    for path in sorted(RESULTS.glob("*/*/summary.csv")):
        if path.parts[-3] == "sweeps":
            continue
        name = "/".join(path.parts[-3:-1])
        for file in ("summary.csv", "repeats.csv", "config.json", "speed.csv"):
            if (path.parent / file).exists():
                files.read.add(f"{name}/{file}")
        run = read_run(path.parent, read_claims()[1], name)
        counts = dict.fromkeys(run.repeats)
        command = f"`{run.command}`" if run.command else "not kept"
        if run.command and run.from_page:
            command += " (as documented)"
        table.append(
            [
                f"`{name}`",
                " to ".join(map(str, counts)),
                "kept" if run.has_repeats else "not kept",
                run.device or "not kept",
                run.versions or "not kept",
                "not kept" if run.minutes is None else f"{run.minutes:.1f}",
                command,
            ]
        )
    return table


@builder
def verdicts(files: Files) -> Table:
    """How many claims of each area have which verdict."""
    table = [["area", *VERDICTS]]
    for area in AREAS:
        found = [
            verdict(claim, compared(claim, files)[2])
            for claim in claims_of(files)
            if claim.area == area
        ]
        table.append(
            [area.replace("_", " "), *(str(found.count(name)) for name in VERDICTS)]
        )
    return table
