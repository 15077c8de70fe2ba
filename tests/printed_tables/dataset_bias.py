"""Training under dataset bias."""

from __future__ import annotations

from tests.printed_tables.cells import Files, Table, builder, spread


@builder
def dataset_bias(files: Files) -> Table:
    names = ("unbiased", "conflicting", "aligned")
    table = [["method", *names]]
    for row in files.rows("dataset_bias/colored_digits/summary.csv"):
        table.append([f"`{row['method']}`", *(spread(row, name) for name in names)])
    return table
