"""Training under dataset bias."""

from __future__ import annotations

from tests.printed_tables.cells import Files, Table, builder, spread

# Unbiased accuracy at 99 % aligned, as Nam et al. (NeurIPS 2020) print it.
PRINTED = {
    "vanilla": "50.3 ±0.2",
    "lff": "74.0 ±2.2",
    "group_dro": "71.3 ±1.8",
    "repair": "67.3 ±1.7",
    "hex": "52.0 ±1.1",
}


@builder
def colored_mnist_99(files: Files) -> Table:
    names = ("unbiased", "unbiased_best", "conflicting", "aligned")
    table = [
        ["method", "unbiased", "best on test", "conflicting", "aligned", "printed"]
    ]
    for row in files.rows("dataset_bias/colored_mnist_99/summary.csv"):
        printed = PRINTED.get(row["method"], "")
        table.append(
            [f"`{row['method']}`", *(spread(row, name) for name in names), printed]
        )
    return table


@builder
def dataset_bias(files: Files) -> Table:
    names = ("unbiased", "conflicting", "aligned")
    table = [["method", *names]]
    for row in files.rows("dataset_bias/colored_digits/summary.csv"):
        table.append([f"`{row['method']}`", *(spread(row, name) for name in names)])
    return table
