"""Unlearning with out-of-distribution images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tests.printed_tables.cells import (
    Files,
    Table,
    builder,
    number,
    signed,
    spread,
)

FEATURES = "features"


def against(one: Mapping[str, str], base: Mapping[str, str], name: str) -> str:
    """Mean, deviation, and the difference of the means."""
    difference = float(one[f"{name}_mean"]) - float(base[f"{name}_mean"])
    return f"{spread(one, name)} ({signed(difference)})"


def paired(one: np.ndarray, base: np.ndarray) -> str:
    """The mean difference of repeats (R,), and its standard error."""
    difference = one - base
    error = difference.std(ddof=1) / len(difference) ** 0.5
    return f"{signed(difference.mean())} ±{error:.1f}"


@builder
def few_shot(files: Files) -> Table:
    counts = (500, 1000, 2500)

    def row(folder: str, method: str, count: int) -> dict[str, str] | None:
        path = f"{FEATURES}/{folder}/summary.csv"
        found = files.where(path, method=method, num_examples=count)
        return found[0] if found else None

    weights = {"0.1": "few_shot", "1": "few_shot_w1", "10": "few_shot_w10"}
    standard = {n: row("few_shot", "standard", n) for n in counts}
    oat = {n: row("few_shot", "oat", n) for n in counts}
    taufe = {w: {n: row(f, "taufe", n) for n in counts} for w, f in weights.items()}
    table = [["", "N = 500", *(f"{n:,}" for n in counts[1:])]]

    def line(words: str, rows: dict[int, Any], show: Callable[[Any, int], str]) -> None:
        table.append([words, *(show(rows[n], n) if rows[n] else "" for n in counts)])

    line("Standard", standard, lambda r, n: spread(r, "test_accuracy"))
    methods = {"OAT": oat, **{f"TAUFE, λ = {w}": rows for w, rows in taufe.items()}}
    for words, rows in methods.items():
        line(words, rows, lambda r, n: against(r, standard[n], "test_accuracy"))
    for name, words, digits, shown in (
        ("heldout_ood_norm", "*norm of held-out OOD activations:*", 2, tuple(weights)),
        ("class_cosine", "*cosine of activations between classes:*", 3, ("0.1", "1")),
    ):

        def level(r: Any, n: int, name: str = name, digits: int = digits) -> str:
            return number(r, name, digits)

        line(f"{words} Standard", standard, level)
        line("OAT", oat, level)
        for weight in shown:
            line(f"TAUFE, λ = {weight}", taufe[weight], level)
    return table


@builder
def held_out_classes(files: Files) -> Table:
    path = f"{FEATURES}/held_out_w1/summary.csv"
    table = [
        [
            "",
            "N = 500",
            "1,000",
            "OOD norm",
            "cosine",
            "MNIST told apart at 1,000 (AUROC by energy)",
        ]
    ]
    names = {"standard": "Standard", "oat": "OAT", "taufe": "TAUFE, λ = 1"}
    for method, words in names.items():
        rows = [files.row(path, method=method, num_examples=n) for n in (500, 1000)]
        bases = [
            files.row(path, method="standard", num_examples=n) for n in (500, 1000)
        ]
        accuracy = [
            spread(row, "test_accuracy")
            if method == "standard"
            else against(row, base, "test_accuracy")
            for row, base in zip(rows, bases)
        ]
        auroc = files.row(
            f"{FEATURES}/held_out_w1/detection.csv",
            method=method,
            num_examples=1000,
            score="energy",
        )
        table.append(
            [
                words,
                *accuracy,
                ", ".join(number(row, "heldout_ood_norm", 2) for row in rows),
                ", ".join(number(row, "class_cosine", 3) for row in rows),
                spread(auroc, "auroc"),
            ]
        )
    return table


@builder
def batch_norm(files: Files) -> Table:
    both, own = (
        f"{FEATURES}/{folder}/summary.csv"
        for folder in ("few_shot_bn", "few_shot_bn_own")
    )
    standard = files.row(both, method="standard")
    table = [["", "accuracy", "OOD norm"]]
    norm = "heldout_ood_norm"
    table.append(
        ["Standard", spread(standard, "test_accuracy"), number(standard, norm, 2)]
    )
    for words, path in (
        (
            "TAUFE (λ = 0.1), both passes move the running statistics, as published",
            both,
        ),
        ("TAUFE, only target images move them", own),
    ):
        row = files.row(path, method="taufe")
        accuracy = against(row, standard, "test_accuracy")
        table.append([words, accuracy, number(row, norm, 2)])
    return table


@builder
def combined_trainings(files: Files) -> Table:
    table = [
        [
            "",
            "MixMatch",
            "adversarial: clean",
            "attacked",
            "SimCLR, last layer",
        ]
    ]
    names = {
        "standard": "Standard",
        "oat": "OAT",
        "taufe": "TAUFE",
        "joint": "SimCLR on target and OOD images",
    }
    columns = (
        ("mix_match", "test_accuracy"),
        ("adversarial", "test_accuracy"),
        ("adversarial", "adversarial_accuracy"),
        ("pretrained", "test_accuracy"),
    )
    for method, words in names.items():
        cells = []
        for folder, name in columns:
            path = f"{FEATURES}/{folder}/summary.csv"
            base = files.row(path, method="standard")
            found = files.where(path, method=method)
            if not found:
                cells.append("")
            elif method == "standard":
                cells.append(spread(base, name))
            else:
                cells.append(against(found[0], base, name))
        table.append([words, *cells])
    return table


@builder
def localization(files: Files) -> Table:
    folder = f"{FEATURES}/localization"
    methods = ("standard", "oat", "taufe")
    rows = {m: files.row(f"{folder}/summary.csv", method=m) for m in methods}
    table = [
        ["`composed_localization`, 8,000 images", "Standard", "OAT", "TAUFE (λ = 1)"]
    ]
    for name, words in (
        ("max_box_accuracy", "GT-known Loc, best threshold"),
        ("fixed_box_accuracy", "GT-known Loc, threshold 0.2"),
        ("test_accuracy", "test accuracy"),
    ):
        each = {m: files.repeats(f"{folder}/repeats.csv", name, method=m) for m in rows}
        cells = [
            f"{spread(rows[m], name)} ({paired(each[m], each['standard'])})"
            for m in methods[1:]
        ]
        table.append([words, spread(rows["standard"], name), *cells])
    norms = [number(row, "heldout_ood_norm", 2) for row in rows.values()]
    table.append(["norm of held-out OOD activations", *norms])
    return table


@builder
def boxes(files: Files) -> Table:
    header = ["`composed_boxes`, 2,000 images", "Standard", "TAUFE 0.1", "1", "10"]
    standard, *others = (
        files.row(f"{FEATURES}/{folder}/summary.csv", method=method)
        for folder, method in (
            ("boxes-standard-half", "standard"),
            ("boxes", "taufe"),
            ("boxes-weight-1", "taufe"),
            ("boxes-weight-10", "taufe"),
        )
    )
    cells = [against(row, standard, "test_iou") for row in others]
    norms = [number(row, "heldout_ood_norm", 2) for row in (standard, *others)]
    return [
        header,
        ["mean IoU", spread(standard, "test_iou"), *cells],
        ["norm of held-out OOD activations", *norms],
    ]
