"""Training under dataset bias."""

from __future__ import annotations

from tests.printed_tables.cells import Files, Table, builder, spread

# Unbiased accuracy by percent aligned, as Nam et al. (NeurIPS 2020) print it.
PRINTED = {
    "99": {
        "vanilla": "50.3 ±0.2",
        "lff": "74.0 ±2.2",
        "group_dro": "71.3 ±1.8",
        "repair": "67.3 ±1.7",
        "hex": "52.0 ±1.1",
    },
    "995": {
        "vanilla": "35.3 ±0.1",
        "lff": "63.4 ±2.0",
        "group_dro": "59.7 ±2.7",
        "repair": "56.4 ±3.7",
        "hex": "41.4 ±1.3",
    },
}


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
    for row in files.rows(f"dataset_bias/colored_mnist_{percent}/summary.csv"):
        printed = PRINTED[percent].get(row["method"], "")
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
