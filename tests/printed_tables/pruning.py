"""Pruning noisy data."""

from __future__ import annotations

from collections.abc import Mapping

from tests.printed_tables.cells import (
    Files,
    Table,
    builder,
    number,
    paired,
    spread,
    with_best,
)

PRUNING = "pruning"


@builder
def pruning(files: Files) -> Table:
    path = f"{PRUNING}/mnist/summary.csv"
    fractions = ("0.1", "0.2", "0.4", "0.6", "0.8")
    table = [["method", *fractions, "%Noisy", "%Correct", "Eq. 5.8"]]
    for method in dict.fromkeys(row["method"] for row in files.rows(path)):
        rows = [files.row(path, method=method, fraction=f) for f in fractions]
        table.append(
            [
                f"`{method}`",
                *(spread(row, "last") for row in rows),
                number(rows[1], "noisy_share"),
                number(rows[1], "correct_share"),
                f"{float(rows[1]['objective_mean']):,.0f}",
            ]
        )
    return with_best(table, dict.fromkeys(range(1, 6)))


@builder
def pruning_told_the_rate(files: Files) -> Table:
    path = f"{PRUNING}/mnist_more/summary.csv"
    fractions = ("0.1", "0.2", "0.4", "0.6")
    table = [["method", *fractions, "%Noisy at 0.2", "%Correct at 0.2"]]
    for method, words in (("ccs", "`ccs`, cutoff 0.4"), ("el2n", "`el2n`")):
        rows = [files.row(path, method=method, fraction=f) for f in fractions]
        cells = [spread(row, "last") for row in rows]
        shares = [number(rows[1], name) for name in ("noisy_share", "correct_share")]
        table.append([words, *cells, *shares])
    return table


@builder
def pruning_long(files: Files) -> Table:
    table = [["method", "threshold", "0.1", "%Correct", "0.2", "%Correct"]]
    runs = (
        ("uniform", "", "mnist_long"),
        ("small_loss", "", "mnist_long"),
        ("k_center", "", "mnist_long"),
        ("forgetting", "", "mnist_long"),
        ("prune4rel", "0.95", "mnist_long"),
        ("prune4rel", "0.975", "mnist_long_975"),
        ("prune4rel_balanced", "0.95", "mnist_long"),
        ("prune4rel_balanced", "0.975", "mnist_long_975"),
        ("prune4rel_coverage", "0.95", "mnist_long"),
        ("prune4rel_coverage", "0.975", "mnist_long_975"),
        ("prune4rel_coverage_balanced", "0.975", "mnist_long_975"),
    )
    before = ""
    for method, threshold, folder in runs:
        cells = []
        for fraction in ("0.1", "0.2"):
            row = files.row(
                f"{PRUNING}/{folder}/summary.csv", method=method, fraction=fraction
            )
            cells += [spread(row, "last"), number(row, "correct_share")]
        table.append(["" if method == before else f"`{method}`", threshold, *cells])
        before = method
    return with_best(table, {2: None, 4: None})


@builder
def pruning_balance(files: Files) -> Table:
    return _against_uniform(files, f"{PRUNING}/mnist_balance")


@builder
def pruning_open_set(files: Files) -> Table:
    shares = {"noisy_share": "%Noisy", "foreign_share": "%Foreign"}
    return _against_uniform(files, f"{PRUNING}/mnist_open_set", shares)


def _against_uniform(
    files: Files, folder: str, shares: Mapping[str, str] | None = None
) -> Table:
    """Accuracy, the difference from uniform, paired by repeat, and shares at 0.1."""
    fractions, shares = ("0.1", "0.2"), shares or {}
    table = [
        [
            "rule",
            *(x for f in fractions for x in (f, "against uniform")),
            *(f"{words} at 0.1" for words in shares.values()),
        ]
    ]
    summary = f"{folder}/summary.csv"
    for method in dict.fromkeys(row["method"] for row in files.rows(summary)):
        cells = []
        for fraction in fractions:
            values, base = (
                files.repeats(
                    f"{folder}/repeats.csv", "last", method=name, fraction=fraction
                )
                for name in (method, "uniform")
            )
            row = files.row(summary, method=method, fraction=fraction)
            found = "" if method == "uniform" else paired(values, base)
            cells += [spread(row, "last"), found]
        first = files.row(summary, method=method, fraction=fractions[0])
        cells += [number(first, name) for name in shares]
        table.append([f"`{method}`", *cells])
    return with_best(table, {1: None, 3: None})


@builder
def pruning_other_learners(files: Files) -> Table:
    table = [["method", "cross-entropy, 0.2", "0.6", "DivideMix, 0.2", "0.6"]]
    full = files.row(f"{PRUNING}/mnist_ce/summary.csv", method="full")
    table.append(["`full` (everything)", spread(full, "last"), "", "", ""])
    methods = (
        "uniform",
        "small_loss",
        "forgetting",
        "prune4rel_balanced",
        "prune4rel_coverage",
    )
    for method in methods:
        cells = [
            spread(
                files.row(
                    f"{PRUNING}/{folder}/summary.csv", method=method, fraction=fraction
                ),
                "last",
            )
            for folder in ("mnist_ce", "mnist_dm")
            for fraction in ("0.2", "0.6")
        ]
        table.append([f"`{method}`", *cells])
    rest = slice(1, None)
    return with_best(table, dict.fromkeys(range(1, 5), rest))
