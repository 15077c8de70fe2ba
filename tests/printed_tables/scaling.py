"""How selections grow with N: measured, and on paper."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.benchmarks import selection_on_paper as on_paper
from tests.printed_tables.cells import Files, Table, builder

_NAMES = {
    "nearest_neighbors": "10 neighbours of 100 rows",
    "k_center": "k-center",
    "prune4rel": "Prune4ReL",
    "facility_location": "facility location",
    "k_means": "distances to 100 means",
    "find_label_issues": "`find_label_issues`",
}
_POWERS = dict(zip("4567", "\u2074\u2075\u2076\u2077"))
# Below, what does not grow with N is most of it.
_FITTED_FROM = 10**5


def _core_seconds(cell: dict[str, Any]) -> float:
    """Of the last call, which has nothing to compile where there were two."""
    return float(cell["calls"][-1]["core_seconds"])


@builder
def selection_scaling(files: Files) -> Table:
    cells = files.json("benchmarks/selection_scaling.json")
    sizes = sorted({int(name.partition(":")[2]) for name in cells})
    powers = [f"10{_POWERS[str(len(str(size)) - 1)]}" for size in sizes]
    table = [["", *(f"N = {power}" for power in powers), "exponent"]]
    for case, name in _NAMES.items():
        row, seen = [name], {}
        for size in sizes:
            cell = cells.get(f"{case}:{size}", {})
            if "calls" not in cell:
                row.append("left out")
                continue
            seen[size] = _core_seconds(cell)
            peak = cell["peak_bytes"] / 1e9
            seconds = f"{seen[size]:.2g}" if seen[size] < 100 else f"{seen[size]:.0f}"
            row.append(f"{seconds} s, {peak:.2g} GB")
        fitted = {n: s for n, s in seen.items() if n >= _FITTED_FROM}
        if len(fitted) < 2:
            table.append([*row, "none"])
            continue
        slope = np.polyfit(np.log(list(fitted)), np.log(list(fitted.values())), 1)[0]
        table.append([*row, f"{slope:.2f}"])
    return table


@builder
def selection_of_files(files: Files) -> Table:
    seen = files.json("benchmarks/selection_of_files.json")
    table = [["", "rows", "of the file", "memory", "of an array"]]
    for case, name in _NAMES.items():
        if case not in seen:
            continue
        read, held = seen[case]["file"], seen[case]["array"]
        assert read["status"] == 0, case
        assert held["status"] != 0, case
        table.append(
            [
                name.replace("100 means", "10 means"),
                f"{read['examples'] / 1e6:.1f} million",
                f"{read['core_seconds']:.0f} s",
                f"{read['peak_bytes'] / 1e9:.2g} GB",
                f"status {held['status']}",
            ]
        )
    return table


@builder
def selection_on_paper(files: Files) -> Table:
    del files
    return on_paper.table()


@builder
def layouts(files: Files) -> Table:
    rows = files.rows("layouts/differences.csv")
    columns = [name for name in rows[0] if name != "recipe"]
    return [
        ["recipe", *columns],
        *([f"`{row['recipe']}`", *(row[name] for name in columns)] for row in rows),
    ]
