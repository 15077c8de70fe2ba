"""What a curator gets: reports on data, and orders of questions."""

from __future__ import annotations

import json

import numpy as np

from tests.printed_tables.cells import RESULTS, Files, Table, builder, number, spread

_ORDERS = "label_correction/orders"
_RATES = ("0.05", "0.1", "0.2", "0.4", "0.72")
_NAMES = {"digits": "digits", "mnist": "MNIST"}


@builder
def correction_orders(files: Files) -> Table:
    table = [
        [
            "data, share of wrong labels",
            "`alc`: % wrong in questions 1 to 50, to 100, to 150",
            "`label_issues`",
            "`alc`: test accuracy after 150",
            "`label_issues`",
        ]
    ]
    for name, words in _NAMES.items():
        for rate in _RATES:
            folder = f"{_ORDERS}/{name}_{rate}"
            if not (RESULTS / folder).exists():
                continue
            wrong, accuracy = [], []
            for method in ("alc", "label_issues"):
                rows = files.where(f"{folder}/summary.csv", method=method)
                shares = [number(row, "selection_accuracy", 0) for row in rows[1:]]
                wrong.append(", ".join(shares))
                accuracy.append(spread(rows[-1], "accuracy"))
            table.append([f"{words}, {float(rate):.0%}", *wrong, *accuracy])
    return table


@builder
def noise_rate_estimates(files: Files) -> Table:
    rows = files.rows("label_correction/orders/estimates.csv")
    rates = sorted({row["rate"] for row in rows}, key=float)
    table = [["data", *(f"{float(rate):.0%} wrong" for rate in rates)]]
    for name in dict.fromkeys(row["dataset"] for row in rows):
        cells = []
        for rate in rates:
            found = [
                100 * float(row["estimated"])
                for row in rows
                if (row["dataset"], row["rate"]) == (name, rate)
            ]
            cells.append(f"{np.mean(found):.1f}")
        table.append([_NAMES[name], *cells])
    return table


_POOLS = {
    "digits": "digits, 1,000 vectors",
    "mnist": "MNIST, a folder of 1,000 images",
}


@builder
def wanted_examples(files: Files) -> Table:
    table = [["pool", "drawn at random: wanted", "chosen: wanted"]]
    for name, pool in _POOLS.items():
        rows = files.rows(f"active_learning/wanted/{name}.csv")
        cells = []
        for chosen in (False, True):
            mine = [row for row in rows if (row["round"] != "0") is chosen]
            wanted = [int(row["wanted"]) for row in mine]
            asked = sum(int(row["asked"]) for row in mine)
            cells.append(f"{' + '.join(map(str, wanted))} of {asked}")
        table.append([pool, *cells])
    return table


_DATA = {
    "digits": "digits, a table",
    "breast_cancer": "breast cancer, a table",
    "mnist_folder": "MNIST, a folder",
}
# P-values that either side takes as a finding by default.
_LEVELS = {"robustjax": 0.01, "Datalab": 0.05}
_KINDS = (
    ("labels", "wrong labels"),
    ("exact duplicates", "copies"),
    ("near duplicates", "near-copies"),
    ("outliers", "outliers"),
    ("rare class", "rare class"),
)


@builder
def data_report(files: Files) -> Table:
    header = ["data", "by", *(words for _, words in _KINDS)]
    table = [[*header, "seconds of work", "lines"]]
    for name, words in _DATA.items():
        path = f"benchmarks/data_report/{name}.json"
        if not (RESULTS / path).exists():
            continue
        files.read.add(path)
        record = json.loads((RESULTS / path).read_text())
        for side in ("robustjax", "Datalab"):
            cells = []
            for kind, _ in _KINDS:
                found = [
                    row
                    for row in record["found"]
                    if (row["by"], row["kind"]) == (side, kind)
                ]
                if not any(row["planted"] for row in found):
                    cells.append("")
                    continue
                cells.append(f"{_mean(found, 'precision')} / {_mean(found, 'recall')}")
            work = np.mean([run["cpu_seconds"][side] for run in record["runs"]])
            lines = record["runs"][0]["lines"][side]
            table.append([words, side, *cells, f"{work:.0f}", str(lines)])
    return table


@builder
def data_orders(files: Files) -> Table:
    table = [["data", "by", "random order: flagged", "drifting: flagged"]]
    for name, words in _DATA.items():
        path = f"benchmarks/data_report/{name}.json"
        if not (RESULTS / path).exists():
            continue
        files.read.add(path)
        rows = json.loads((RESULTS / path).read_text()).get("orders", [])
        for side, level in _LEVELS.items() if rows else ():
            cells = []
            for order in ("random", "drifting"):
                found = [
                    row["p_value"]
                    for row in rows
                    if (row["by"], row["order"]) == (side, order)
                ]
                cells.append(f"{sum(p <= level for p in found)} of {len(found)}")
            table.append([words, side, *cells])
    return table


def _mean(rows: list[dict[str, float | None]], name: str) -> str:
    """In percent, of the seeds where it is defined."""
    values = [row[name] for row in rows if row[name] is not None]
    return f"{100 * np.mean(values):.0f}" if values else "none"
