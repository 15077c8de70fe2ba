"""Ratios of timed rounds."""

# ruff: noqa: RUF001 (the sign of multiplication is meant)

from __future__ import annotations

import numpy as np

from experiments.benchmarks.speed_rows import SPEED
from tests.printed_tables.cells import RESULTS, Files, Table, builder


@builder
def speed(files: Files) -> Table:
    table = [["what", "ratio", "command (`python -m experiments.benchmarks.…`)"]]
    for row in SPEED:
        ratios = [files.ratio(name, case) for name, case in row.cases]
        table.append([row.what, row.format.format(*ratios), f"`{row.command}`"])
    return [*table, corruptions_row(files)]


def corruption_ratios(files: Files) -> dict[str, float]:
    """How many times as fast on one core, by corruption, the fastest first."""
    names = [path.stem for path in (RESULTS / CORRUPTIONS).glob("*.json")]
    found = {
        name: files.ratio(f"image_corruptions/{name}", "robustjax, one core")
        for name in sorted(names)
    }
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def corruptions_row(files: Files) -> list[str]:
    """All of them in one."""
    ratios = corruption_ratios(files)
    many = [name for name, ratio in ratios.items() if ratio >= 5]
    few = ", ".join(
        f"{name.split('_')[0]} {ratio:.1f}×"
        for name, ratio in ratios.items()
        if name not in many
    )
    middle = np.median(list(ratios.values()))
    return [
        "corruption of an image (32×32, severity 5, one core) against imagecorruptions",
        f"{middle:.0f}× (median; at least 5× for {len(many)} of {len(ratios)}; {few})",
        "`image_corruptions`",
    ]


CORRUPTIONS = "benchmarks/image_corruptions"


@builder
def image_corruptions(files: Files) -> Table:
    table = [["corruption", "imagecorruptions", "robustjax, one core", "ratio"]]
    for name, ratio in corruption_ratios(files).items():
        path = f"image_corruptions/{name}"
        ours = files.milliseconds(path, "robustjax, one core")
        theirs = files.baseline_milliseconds(path)
        times = [f"{1e3 * each:,.0f}" for each in (theirs, ours)]
        table.append([name.replace("_", " "), *times, f"{ratio:.1f}×"])
    return table


@builder
def narrow_storage(files: Files) -> Table:
    first = files.json("benchmarks/narrow_storage.json")
    sizes = first["sizes"]
    what = {
        "neighbors": f"10 neighbours of {sizes['asked']} rows",
        "k_center": f"k-center, {sizes['picks']} picks",
    }
    table = [["", "storage", "rows on the device", "found", "speed"]]
    for case, name in what.items():
        exact = first[case]["float32"]
        for storage, seen in first[case].items():
            if case == "neighbors":
                found = f"{100 * seen['recall']:.2f} % of float32's"
            else:
                found = f"radius {seen['radius'] / exact['radius']:.5f} of float32's"
            held = f"{seen['row_bytes'] / 1e6:.1f} MB"
            speed = files.ratio(f"narrow_storage_{case}", storage)
            table.append(
                [name, storage, held, found, f"{speed:.2f}\N{MULTIPLICATION SIGN}"]
            )
    return table
