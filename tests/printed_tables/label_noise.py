"""Training under label noise, label errors, and their correction."""

from __future__ import annotations

import functools
import itertools

import numpy as np

from tests.printed_tables.cells import (
    BUILDERS,
    Files,
    Table,
    builder,
    number,
    paired,
    spread,
)

LABEL_NOISE = {
    "ce": "cross-entropy",
    "gce": "GCE",
    "forward": "forward correction, estimated",
    "elr": "ELR",
    "sop": "SOP",
    "co_teaching": "Co-teaching (rate known)",
    "self_learning": "self-learning (cutoff by noise)",
    "divide_mix": "DivideMix (one view, λ_u = 0)",
}


@builder
def mnist_label_noise(files: Files) -> Table:
    table = [
        [
            "method",
            "symmetric 50 %: last",
            "memorised",
            "symmetric 80 %: last",
            "memorised",
            "pair flips 45 %: last",
            "best on test",
            "memorised",
        ]
    ]
    for method, words in LABEL_NOISE.items():
        cells = [f"{words}, `{method}`"]
        for noise in ("symmetric-50", "symmetric-80", "pairflip-45"):
            row = files.row(f"label_noise/mnist-{noise}/summary.csv", method=method)
            cells.append(spread(row, "last"))
            if noise == "pairflip-45":
                cells.append(spread(row, "best_on_test"))
            cells.append(number(row, "noisy_memorized"))
        table.append(cells)
    return table


@builder
def cifar10_n(files: Files) -> Table:
    table = [["method", "last", "best on test", "memorised"]]
    names = {
        "ce": "cross-entropy",
        "elr": "ELR",
        "divide_mix": "DivideMix (λ_u = 0)",
        "sop_plus": "SOP+",
    }
    for method, words in names.items():
        row = files.row("label_noise/cifar10_n_small-worse/summary.csv", method=method)
        cells = [spread(row, "last"), spread(row, "best_on_test")]
        table.append([words, *cells, number(row, "noisy_memorized")])
    return table


@builder
def divisions(files: Files) -> Table:
    words = {
        "ce": "cross-entropy",
        "elr": "ELR",
        "plain": "DivideMix, 5 epochs of warm-up, λ_u = 0",
        "early": "2 epochs of warm-up",
        "late": "15 epochs of warm-up",
        "penalty": "5, confidence penalty 1",
        "penalty_early": "2, confidence penalty 1",
        "penalty_guesses": "5, confidence penalty 1, λ_u = 25",
    }
    table = [["method", "last", "best on test", "memorised", "division, AUROC"]]
    for method, text in words.items():
        row = files.row("label_noise/digits-pairflip-45/summary.csv", method=method)
        cells = [spread(row, "last"), spread(row, "best_on_test")]
        found = spread(row, "division") if row["division_mean"] else ""
        table.append([text, *cells, number(row, "noisy_memorized"), found])
    return table


def correction(files: Files, folder: str) -> Table:
    path = f"{folder}/summary.csv"
    rows = files.rows(path)
    methods = list(dict.fromkeys(row["method"] for row in rows))
    labels = list(dict.fromkeys(row["labels"] for row in rows))
    header = ["method", *(f"{int(n):,}" for n in labels), "wrong among asked"]
    table = [header]
    for method in methods:
        mine = [row for row in rows if row["method"] == method]
        asked = [float(row["selection_accuracy_mean"]) for row in mine[1:]]
        sizes = {int(b) - int(a) for a, b in itertools.pairwise(labels)}
        assert len(sizes) == 1, "a mean over batches of different sizes"
        table.append(
            [
                method,
                *(spread(row, "accuracy") for row in mine),
                f"{np.mean(asked):.1f} % (lowest batch {min(asked):.1f})",
            ]
        )
    return table


for _name, _folder in (
    ("correction_digits", "digits"),
    ("correction_mnist", "mnist"),
    ("correction_mnist_class_flip", "mnist-class_flip"),
    ("correction_forward_class_flip", "mnist-class_flip-forward"),
    ("correction_cifar10_simclr", "cifar10_simclr"),
):
    BUILDERS[_name] = functools.partial(
        correction, folder=f"label_correction/{_folder}"
    )


def correction_costs(files: Files, folder: str) -> Table:
    """Accuracies against what was spent, and what regard to cost is worth."""
    summary, repeats = (f"{folder}/{name}.csv" for name in ("summary", "repeats"))
    rows = files.rows(summary)
    spent = list(dict.fromkeys(row["budget"] for row in rows))
    header = ["method", *(f"{int(n):,}" for n in spent), "labels asked"]
    table = [[*header, "wrong among asked"]]
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method]
        wrong = [float(row["selection_accuracy_mean"]) for row in mine[1:]]
        cells = [spread(row, "accuracy") for row in mine]
        asked = number(mine[-1], "asked", 0)
        table.append([method, *cells, asked, f"{np.mean(wrong):.1f} %"])
        if not method.endswith("_blind"):
            continue
        pair = (method.removesuffix("_blind"), method)
        gains = []
        for amount in spent[1:]:
            one, other = (
                files.repeats(repeats, "accuracy", method=name, budget=amount)
                for name in pair
            )
            gains.append(paired(one, other))
        table.append(["difference", "", *gains, "", ""])
    return table


for _name in ("drawn", "class"):
    BUILDERS[f"correction_{_name}_costs"] = functools.partial(
        correction_costs, folder=f"label_correction/digits_{_name}_costs"
    )


@builder
def diffusion(files: Files) -> Table:
    studies = {
        "digits": (
            "digits",
            250,
            ("5Q", "10Q", "all"),
            "`--preset=digits --repeats=3`",
        ),
        "mnist_uniform": (
            "MNIST, uniform",
            3000,
            ("5Q", "10Q", "all"),
            "`--preset=mnist --repeats=3 --budget=3000`",
        ),
        "mnist_class_flip": (
            "MNIST, class_flip",
            3000,
            ("5Q", "all"),
            "`--preset=mnist --repeats=3 --budget=3000 --noise=class_flip "
            "--spaces=input --sizes=5,0`",
        ),
        "cifar10_simclr": (
            "CIFAR-10, SimCLR",
            1500,
            ("5Q", "all"),
            "`--preset=cifar10_simclr --repeats=3 --budget=1500 --spaces=input "
            "--sizes=5,0`",
        ),
    }
    modes = ("none", "literal", "delta")
    gains = tuple(f"{mode} \N{MINUS SIGN} none" for mode in modes[1:])
    table = [["data", "labels", r"\|C\|", *modes, *gains, "flags"]]
    for name, (data, labels, sizes, flags) in studies.items():
        for size in sizes:
            none, *others = (
                files.repeats(
                    f"diffusion_study/{name}/repeats.csv",
                    "accuracy",
                    mode=mode,
                    space="" if mode == "none" else "input",
                    candidates=size,
                    labels=labels,
                )
                for mode in modes
            )
            cells = [f"{each.mean():.1f}" for each in (none, *others)]
            best = max(map(float, cells))
            cells = [f"**{cell}**" if float(cell) == best else cell for cell in cells]
            cells += [paired(each, none) for each in others]
            first = size == sizes[0]
            front = [data, f"{labels:,}"] if first else ["", ""]
            table.append([*front, size, *cells, flags if first else ""])
    return table


@builder
def verified_label_errors(files: Files) -> Table:
    path = "label_errors/verified.csv"

    def cell(data: str, *rules: str) -> list[dict[str, str]]:
        return [files.row(path, dataset=data, rule=rule) for rule in rules]

    names = {"mnist": "MNIST", "cifar10": "CIFAR-10"}
    total = {data: files.where(path, dataset=data)[0]["all_verified"] for data in names}
    table = [["", *(f"{w} ({total[d]} verified errors)" for d, w in names.items())]]
    flags = [cell(data, "prune_by_noise_rate")[0] for data in names]
    table.append(
        [
            "flagged by `prune_by_noise_rate`, of them verified",
            *(f"{row['named']}, {row['verified']}" for row in flags),
        ]
    )
    for rule, words in (
        ("self_confidence", "self-confidences"),
        ("normalized_margin", "margins"),
        ("confidence_weighted_entropy", "weighted entropies"),
    ):
        found = [cell(data, f"lowest {rule}")[0] for data in names]
        assert {row["named"] for row in found} == {"100"}
        counts = [row["verified"] for row in found]
        table.append([f"verified among the 100 lowest {words}", *counts])
    return table
