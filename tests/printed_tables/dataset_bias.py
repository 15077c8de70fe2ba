"""Training under dataset bias."""

from __future__ import annotations

from tests.printed_tables.cells import Files, Table, builder, spread
from tests.printed_tables.results import claims_of, in_print


@builder
def colored_mnist_99(files: Files) -> Table:
    return _beside_print(files, "99")


@builder
def colored_mnist_995(files: Files) -> Table:
    return _beside_print(files, "995")


def _beside_print(files: Files, percent: str) -> Table:
    names = ("unbiased", "unbiased_best", "conflicting", "aligned")
    table = [
        ["method", "unbiased", "best on test", "conflicting", "aligned", "printed"]
    ]
    run = f"dataset_bias/colored_mnist_{percent}"
    printed = {}
    for claim in claims_of(files):
        if claim.run == run:
            printed[claim.baseline["method"]] = claim.printed_baseline
            printed[claim.method["method"]] = claim.printed
    for row in files.rows(f"{run}/summary.csv"):
        method = row["method"]
        cells = [spread(row, name) for name in names]
        there = in_print(printed[method], 1) if method in printed else ""
        table.append([f"`{method}`", *cells, there])
    return table


@builder
def dataset_bias(files: Files) -> Table:
    names = ("unbiased", "conflicting", "aligned")
    table = [["method", *names]]
    for row in files.rows("dataset_bias/colored_digits/summary.csv"):
        table.append([f"`{row['method']}`", *(spread(row, name) for name in names)])
    return table
