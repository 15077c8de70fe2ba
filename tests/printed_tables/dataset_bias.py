"""Training under dataset bias."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping

from tests.printed_tables.cells import BUILDERS, Files, Table, builder, spread
from tests.printed_tables.results import claims_of, in_print

# Measures of a summary, as columns are called.
ACCURACIES = {
    "unbiased": "unbiased",
    "unbiased_best": "best on test",
    "conflicting": "conflicting",
    "aligned": "aligned",
}
HEADS = {
    "target_original": "class: own",
    "target_swapped": "class: swapped",
    "bias_original": "bias: own",
    "bias_swapped": "bias: swapped",
}


@builder
def dataset_bias(files: Files) -> Table:
    names = ("unbiased", "conflicting", "aligned")
    table = [["method", *names]]
    for row in files.rows("dataset_bias/colored_digits/summary.csv"):
        table.append([f"`{row['method']}`", *(spread(row, name) for name in names)])
    return table


@builder
def bias_and_wrong_labels(files: Files) -> Table:
    words = {
        "vanilla": "",
        "group_dro": "knows the bias",
        "lff": "",
        "lff_clean": "LfF, weights by clean probability",
        "lff_elr": "LfF with ELR",
        "lff_cut": "LfF, truncated biased loss",
        "lff_sop": "LfF with SOP",
    }
    runs = {"10 %": "colored_mnist_99_noisy", "20 %": "colored_mnist_99_noisy_20"}
    table = [["wrong", "method", "", *ACCURACIES.values()]]
    for rate, run in runs.items():
        for row in files.rows(f"dataset_bias/{run}/summary.csv"):
            cells = [spread(row, name) for name in ACCURACIES]
            table.append([rate, f"`{row['method']}`", words[row["method"]], *cells])
    return table


@builder
def bias_swap(files: Files) -> Table:
    """Accuracies, and the split; of the latter print has means over both groups."""
    runs = {
        "colored_mnist_99_bias_swap": ("Colored MNIST, 99 %", "94.7"),
        "cifar10_type1_95_bias_swap": ("Corrupted CIFAR-10, 95 %", "66.1"),
    }
    split = {
        "split_precision": "precision",
        "split_recall": "recall",
        "split_f1": "F1",
        "split_macro_f1": "macro F1",
    }
    shown = {k: v for k, v in ACCURACIES.items() if k != "unbiased_best"}
    table = [["data", "method", *shown.values(), *split.values(), "printed: macro F1"]]
    for run, (data, printed) in runs.items():
        for row in files.rows(f"dataset_bias/{run}/summary.csv"):
            cells = [
                spread(row, name) if row[f"{name}_mean"] else ""
                for name in (*shown, *split)
            ]
            splits = row["method"] == "bias_swap"
            cells.append(printed if splits else "")
            table.append([data, f"`{row['method']}`", *cells])
    return table


@builder
def dfa_ablation(files: Files) -> Table:
    words = {
        "": ("two encoders", "swapping"),
        "vanilla": ("", ""),
        "disentangle": ("yes", ""),
        "augment": ("yes", "always"),
        "scheduled": ("yes", "after a fifth of the steps"),
    }
    shown = {k: v for k, v in ACCURACIES.items() if k != "aligned"}
    return _beside_print(
        files, "colored_mnist_dfa_ablation_small", {**shown, **HEADS}, words
    )


@builder
def dfa_diversity(files: Files) -> Table:
    words = {
        "": ("of all images", "of a batch"),
        "d5_s50": ("5 %", "50 %"),
        "d1_s50": ("1 %", "50 %"),
        "d5_s1": ("5 %", "1 %"),
        "d1_s1": ("1 %", "1 %"),
    }
    return _beside_print(files, "colored_mnist_dfa_diversity_small", words=words)


def _beside_print(
    files: Files,
    name: str,
    measures: Mapping[str, str] = ACCURACIES,
    words: Mapping[str, tuple[str, ...]] | None = None,
) -> Table:
    """A run's methods, words on each (of "": the columns), and what is printed."""
    words = words or {}
    table = [["method", *words.get("", ()), *measures.values(), "printed"]]
    run = f"dataset_bias/{name}"
    printed = _in_print(files, run)
    for row in files.rows(f"{run}/summary.csv"):
        method = row["method"]
        cells = [spread(row, m) if row[f"{m}_mean"] else "" for m in measures]
        table.append([f"`{method}`", *words.get(method, ()), *cells, printed[method]])
    return table


def _in_print(files: Files, run: str) -> dict[str, str]:
    """What is printed of a run's methods, by their labels."""
    found = defaultdict(str)
    for claim in claims_of(files):
        if claim.run == run:
            found[claim.baseline["method"]] = in_print(claim.printed_baseline, 1)
            found[claim.method["method"]] = in_print(claim.printed, 1)
    return found


for _name, _run in (
    ("cifar10_type1_95", "cifar10_type1_95_small"),
    ("cifar10_type1_99", "cifar10_type1_99_small"),
    ("cifar10_type2_95", "cifar10_type2_95_small"),
    ("cifar10_type2_99", "cifar10_type2_99_small"),
    ("colored_mnist_95", "colored_mnist_95"),
    ("colored_mnist_98", "colored_mnist_98"),
    ("colored_mnist_99", "colored_mnist_99"),
    ("colored_mnist_99_once", "colored_mnist_99_once"),
    ("colored_mnist_995", "colored_mnist_995"),
):
    BUILDERS[_name] = functools.partial(_beside_print, name=_run)
