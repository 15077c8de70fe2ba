"""Training under dataset bias."""

from __future__ import annotations

from collections import defaultdict

from tests.printed_tables.cells import Files, Table, builder, spread
from tests.printed_tables.results import claims_of, in_print


@builder
def colored_mnist_98(files: Files) -> Table:
    return _beside_print(files, "98")


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
    printed = _in_print(files, run)
    for row in files.rows(f"{run}/summary.csv"):
        method = row["method"]
        cells = [spread(row, name) for name in names]
        table.append([f"`{method}`", *cells, printed[method]])
    return table


@builder
def dataset_bias(files: Files) -> Table:
    names = ("unbiased", "conflicting", "aligned")
    table = [["method", *names]]
    for row in files.rows("dataset_bias/colored_digits/summary.csv"):
        table.append([f"`{row['method']}`", *(spread(row, name) for name in names)])
    return table


@builder
def dfa_ablation(files: Files) -> Table:
    words = {
        "vanilla": ("", ""),
        "disentangle": ("yes", ""),
        "augment": ("yes", "always"),
        "scheduled": ("yes", "after a fifth of the steps"),
    }
    measures = {
        "unbiased": "unbiased",
        "unbiased_best": "best on test",
        "conflicting": "conflicting",
        "target_original": "class: own",
        "target_swapped": "class: swapped",
        "bias_original": "bias: own",
        "bias_swapped": "bias: swapped",
    }
    table = [["method", "two encoders", "swapping", *measures.values(), "printed"]]
    run = "dataset_bias/colored_mnist_dfa_ablation_small"
    printed = _in_print(files, run)
    for row in files.rows(f"{run}/summary.csv"):
        method = row["method"]
        cells = [spread(row, m) if row[f"{m}_mean"] else "" for m in measures]
        table.append([f"`{method}`", *words[method], *cells, printed[method]])
    return table


@builder
def dfa_diversity(files: Files) -> Table:
    words = {
        "d5_s50": ("5 %", "50 %"),
        "d1_s50": ("1 %", "50 %"),
        "d5_s1": ("5 %", "1 %"),
        "d1_s1": ("1 %", "1 %"),
    }
    names = ("unbiased", "unbiased_best", "conflicting", "aligned")
    columns = ("unbiased", "best on test", "conflicting", "aligned")
    table = [["method", "of all images", "of a batch", *columns, "printed"]]
    run = "dataset_bias/colored_mnist_dfa_diversity_small"
    printed = _in_print(files, run)
    for row in files.rows(f"{run}/summary.csv"):
        method = row["method"]
        cells = [spread(row, name) for name in names]
        table.append([f"`{method}`", *words[method], *cells, printed[method]])
    return table


def _in_print(files: Files, run: str) -> dict[str, str]:
    """What is printed of a run's methods, by their labels."""
    found = defaultdict(str)
    for claim in claims_of(files):
        if claim.run == run:
            found[claim.baseline["method"]] = in_print(claim.printed_baseline, 1)
            found[claim.method["method"]] = in_print(claim.printed, 1)
    return found
