"""Open-set active learning."""

from __future__ import annotations

import numpy as np

from tests.printed_tables.cells import (
    Files,
    Table,
    builder,
    of_repeats,
    paired,
    spread,
)

OPEN_SET = "active_learning"


def accuracy_by_round(
    files: Files, folder: str, ratio: str, method: str
) -> list[dict[str, str]]:
    path = f"{OPEN_SET}/{folder}/summary.csv"
    return files.where(path, noise_ratio=ratio, method=method)


def pooled_precision(rows: list[dict[str, str]]) -> float:
    """The share of IN among all queries, in percent, of all repeats together."""
    first, last = rows[0], rows[-1]
    asked_in, asked = (
        float(last[f"{name}_mean"]) - float(first[f"{name}_mean"])
        for name in ("labeled_in", "labels")
    )
    return 100 * asked_in / asked


@builder
def open_set(files: Files) -> Table:
    table = [
        [
            "method",
            "20 %: mean",
            "last",
            "%IN 1",
            "3",
            "6",
            "60 %: mean",
            "last",
            "%IN 1",
            "3",
            "6",
            "%IN of all, 20 %",
            "60 %",
        ]
    ]
    path = f"{OPEN_SET}/mnist_small/summary.csv"
    for method in dict.fromkeys(row["method"] for row in files.rows(path)):
        cells, pooled = [], []
        for ratio in ("0.2", "0.6"):
            rows = accuracy_by_round(files, "mnist_small", ratio, method)
            mean = np.mean([float(row["accuracy_mean"]) for row in rows])
            cells += [f"{mean:.1f}", spread(rows[-1], "accuracy")]
            cells += [
                f"{float(rows[n]['query_precision_mean']):.0f}" for n in (0, 2, 5)
            ]
            pooled.append(f"{pooled_precision(rows):.0f}")
        table.append([f"`{method}`", *cells, *pooled])
    return table


def mean_and_last(rows: list[dict[str, str]]) -> str:
    mean = np.mean([float(row["accuracy_mean"]) for row in rows])
    return f"{mean:.1f}, {spread(rows[-1], 'accuracy')}"


@builder
def open_set_variants(files: Files) -> Table:
    methods = ("random", "margin", "badge")
    table = [["training", *(f"`{s}`" for s in methods)]]
    for folder, words in (
        ("mnist_small", "IN examples only"),
        ("variant_ood_class", "`ood_class`: k+1 classes"),
        ("variant_taufe", "`taufe` on labelled OOD (λ = 0.1)"),
        ("variant_both", "`both`"),
    ):
        cells = [
            mean_and_last(accuracy_by_round(files, folder, "0.6", s)) for s in methods
        ]
        table.append([words, *cells])
    return table


@builder
def open_set_costs(files: Files) -> Table:
    methods = ("random", "margin", "mqnet")
    names = [f"`{s}`" for s in methods[:2]]
    table = [["what an OOD answer costs", *names, "`mqnet` (purity from features)"]]
    for cost in ("0.5", "2", "4"):
        cells = []
        for method in methods:
            rows = accuracy_by_round(files, f"cost_{cost}", "0.6", method)
            last = spread(rows[-1], "accuracy")
            cells.append(f"{last}, {pooled_precision(rows):.1f}")
        table.append([cost, *cells])
    return table


@builder
def screened_digits(files: Files) -> Table:
    return _screened(files, "screen_digits")


@builder
def screened_mnist(files: Files) -> Table:
    return _screened(files, "screen_mnist")


@builder
def screened_cifar10(files: Files) -> Table:
    return _screened(files, "screen_cifar10")


def _screened(files: Files, run: str) -> Table:
    """What is to be gained over P + I and P·I at most, in the first round."""
    path = f"{OPEN_SET}/{run}/repeats.csv"
    table = [
        [
            "OOD",
            "informativeness, purity",
            "at random",
            "P + I",
            "P·I",
            "best",
            "best over P + I",
            "best over P·I",
        ]
    ]

    def values(rule: str, **where: str) -> np.ndarray:
        return files.repeats(path, f"screen_{rule}", **where)

    for ratio in ("0.2", "0.6"):
        of_ratio = files.where(path, noise_ratio=ratio, measure="screen_best")
        for method in dict.fromkeys(row["method"] for row in of_ratio):
            where = {"noise_ratio": ratio, "method": method}
            rules = ("random", "sum", "product", "best")
            found = {rule: values(rule, **where) for rule in rules}
            gains = []
            for rule in ("sum", "product"):
                each = found["best"] - found[rule]
                error = each.std(ddof=1) / len(each) ** 0.5
                mean = f"{each.mean():+.2f}".replace("-", "\N{MINUS SIGN}")
                gains.append(f"{mean} ±{error:.2f}")
            table.append(
                [
                    f"{float(ratio):.0%}",
                    method.replace("_", ", "),
                    *(f"{found[rule].mean():.2f}" for rule in rules),
                    *gains,
                ]
            )
    return table


@builder
def energy_fits(files: Files) -> Table:
    """What MQNet finds where there is something to learn, by how it is fitted."""
    words = {
        "random": "",
        "margin": "",
        "sum": "P + I",
        "product": "P·I",
        "mqnet": "fit by default: 3,000 steps at 0.1",
        "paper": "the paper's: 800 at 0.01, margin 0.1",
        "code": "the code's: 11,200 at 0.001",
    }
    path = f"{OPEN_SET}/digits_energy/repeats.csv"
    numbers = [str(n) for n in range(1, 7)]

    def accuracies(method: str) -> np.ndarray:
        """(rounds, R)."""
        where = {"method": method, "noise_ratio": "0.2"}
        return np.stack(
            [files.repeats(path, "accuracy", round=n, **where) for n in numbers]
        )

    table = [
        [
            "method",
            "",
            "mean",
            "last",
            "%IN 1",
            "3",
            "5",
            "mean over P + I",
            "mean over random",
        ]
    ]
    against = [accuracies(name).mean(axis=0) for name in ("sum", "random")]
    for method, text in words.items():
        rows = accuracy_by_round(files, "digits_energy", "0.2", method)
        own = accuracies(method).mean(axis=0)
        asked = [f"{float(rows[n]['query_precision_mean']):.0f}" for n in (0, 2, 4)]
        gains = [
            "" if np.array_equal(own, other) else paired(own, other)
            for other in against
        ]
        table.append(
            [
                f"`{method}`",
                text,
                f"{own.mean():.1f}",
                spread(rows[-1], "accuracy"),
                *asked,
                *gains,
            ]
        )
    return table


@builder
def validation_sets(files: Files) -> Table:
    """MQNet that learns from its queries, and from random examples held out."""
    path = f"{OPEN_SET}/digits_validation/repeats.csv"
    words = {
        "random": "",
        "mqnet": "its queries",
        "held_out": "30 random examples",
    }

    def of_trainings(measure: str, ratio: str, method: str) -> np.ndarray:
        """(trainings, R)."""
        where = {"method": method, "noise_ratio": ratio}
        numbers = dict.fromkeys(
            row["round"] for row in files.where(path, measure=measure, **where)
        )
        return np.stack(
            [files.repeats(path, measure, round=n, **where) for n in numbers]
        )

    table = [
        [
            "OOD",
            "method",
            "taught by",
            "mean",
            "last",
            "%IN of all",
            "mean over `mqnet`",
            "last over `mqnet`",
            "mean over random",
        ]
    ]
    for ratio in ("0.2", "0.4", "0.6"):
        found = {m: of_trainings("accuracy", ratio, m) for m in words}
        for method, text in words.items():
            rows = accuracy_by_round(files, "digits_validation", ratio, method)
            own = found[method]
            pairs = [
                (own.mean(axis=0), found["mqnet"].mean(axis=0)),
                (own[-1], found["mqnet"][-1]),
                (own.mean(axis=0), found["random"].mean(axis=0)),
            ]
            # What is compared with the method of the column, not the other way round.
            compared = (method == "held_out", method == "held_out", method != "random")
            table.append(
                [
                    f"{float(ratio):.0%}",
                    f"`{method}`",
                    text,
                    f"{own.mean():.1f}",
                    spread(rows[-1], "accuracy"),
                    f"{pooled_precision(rows):.0f}",
                    *(paired(*p) if used else "" for p, used in zip(pairs, compared)),
                ]
            )
    return table


@builder
def cifar10_queries(files: Files) -> Table:
    """MQNet where the screen saw most to learn."""
    folder = f"{OPEN_SET}/cifar10_small_msp"
    table = [
        [
            "method",
            "mean",
            "last",
            "%IN of all",
            "purity, AUROC",
            "last over random",
        ]
    ]

    def rounds(method: str, measure: str) -> np.ndarray:
        path = f"{folder}/repeats.csv"
        numbers = dict.fromkeys(
            r["round"] for r in files.where(path, method=method, measure=measure)
        )
        return np.array(
            [files.repeats(path, measure, method=method, round=n) for n in numbers]
        )

    base = rounds("random", "accuracy")[-1]
    for method in dict.fromkeys(
        r["method"] for r in files.rows(f"{folder}/summary.csv")
    ):
        accuracy = rounds(method, "accuracy")
        scored = method not in ("random", "conf", "margin")
        purity = rounds(method, "auroc") if scored else None
        table.append(
            [
                f"`{method}`",
                f"{accuracy.mean():.1f}",
                of_repeats(accuracy[-1]),
                f"{rounds(method, 'query_precision').mean():.0f}",
                "" if purity is None else f"{purity.mean():.0f}",
                "" if method == "random" else paired(accuracy[-1], base),
            ]
        )
    return table
