"""Instruction selection: what is kept of the wrong answers."""

from __future__ import annotations

import numpy as np

from tests.printed_tables.cells import (
    Files,
    Table,
    builder,
    number,
    of_repeats,
    signed,
    spread,
)

# Beyond what chance can do, by the comparison's interval.
MARKS = {"less": " ↓", "more": " ↑", "no difference": ""}


@builder
def teacher_noise(files: Files) -> Table:
    folder = "instruction_selection/teacher_noise"
    table = [
        [
            "clusters of which the teacher knows nothing",
            "wrong answers kept",
            "against chance",
            "wrong among the kept",
        ]
    ]
    for row in files.where(f"{folder}/summary.csv", method="fp_instruction"):
        noise = row["teacher_noise"]
        found = files.row(
            f"{folder}/comparison.csv",
            method="fp_instruction",
            teacher_noise=noise,
            measure="kept",
            base="random",
        )
        low, high = (signed(float(found[name])) for name in ("low", "high"))
        table.append(
            [
                f"{100 * float(noise):.0f} %",
                spread(row, "kept"),
                f"{signed(float(found['difference']))} ({low} … {high})",
                spread(row, "among_kept"),
            ]
        )
    return table


@builder
def instruction_selection(files: Files) -> Table:
    return _by_share(files, "instruction_selection/halueval")


@builder
def instruction_selection_minilm(files: Files) -> Table:
    return _by_share(files, "instruction_selection/halueval_minilm")


@builder
def instruction_scores(files: Files) -> Table:
    return _by_share(files, "instruction_selection/halueval_scores")


def _by_share(files: Files, folder: str) -> Table:
    rows = files.rows(f"{folder}/summary.csv")
    shares = list(dict.fromkeys(row["share"] for row in rows))
    table = [
        [
            "method",
            *(f"{100 * float(share):g} %" for share in shares),
            "tokens of an answer",
            "radius",
        ]
    ]
    names = dict.fromkeys((row["method"], row.get("teacher_noise", "")) for row in rows)
    for method, noise in names:
        mine = [
            r
            for r in rows
            if (r["method"], r.get("teacher_noise", "")) == (method, noise)
        ]
        cells = []
        for row in mine:
            mark = ""
            if method != "random":
                mark = MARKS[
                    files.row(
                        f"{folder}/comparison.csv",
                        method=method,
                        teacher_noise=noise,
                        share=row["share"],
                        measure="kept",
                        base="random",
                    )["verdict"]
                ]
            cells.append(f"{number(row, 'kept')}{mark}")
        teacher = f", noise {float(noise):g}" if noise else ""
        middle = mine[len(mine) // 2]
        table.append(
            [
                f"`{method}`{teacher}",
                *cells,
                number(middle, "tokens", 0),
                number(middle, "radius", 2),
            ]
        )
    return table


_WORTHS = {
    "right_ll": "right answers (mnat)",
    "wrong_ll": "wrong answers (mnat)",
    "margin": "margin (mnat)",
    "preferred": "preferred (points)",
    "choice_accuracy": "multiple choice (points)",
}


@builder
def instruction_fine_tuning(files: Files) -> Table:
    """Differences with standard errors, log-likelihoods in thousandths of a nat."""
    folder = "instruction_selection/halueval_finetune"
    rows = files.rows(f"{folder}/fine_tuning.csv")
    table = [["kept by", "against", *_WORTHS.values()]]
    for method, noise, base in dict.fromkeys(
        (row["method"], row["teacher_noise"], row["base"]) for row in rows
    ):
        cells = []
        for measure in _WORTHS:
            row = files.row(
                f"{folder}/fine_tuning.csv",
                method=method,
                teacher_noise=noise,
                base=base,
                measure=measure,
            )
            scale = 1000 if measure in ("right_ll", "wrong_ll", "margin") else 1
            difference, error = (
                scale * float(row[name]) for name in ("difference", "standard_error")
            )
            mark = {"higher": " ↑", "lower": " ↓"}.get(row["verdict"], "")
            cells.append(f"{signed(difference)} ±{error:.1f}{mark}")
        teacher = f", noise {float(noise):g}" if noise else ""
        table.append([f"`{method}`{teacher}", base, *cells])
    return table


_POOLS = ("halueval_400", "alpaca_9k", "alpaca_9k_added")


@builder
def instruction_pools(files: Files) -> Table:
    table = [["pool", "method", "wrong answers kept", "records kept"]]
    for pool in _POOLS:
        folder = f"instruction_selection/{pool}"
        for row in files.rows(f"{folder}/summary.csv"):
            if row["share"] not in ("0.2", "0.1923"):
                continue
            noise = row["teacher_noise"]
            mark = ""
            if row["method"] != "random":
                mark = MARKS[
                    files.row(
                        f"{folder}/comparison.csv",
                        method=row["method"],
                        teacher_noise=noise,
                        share=row["share"],
                        measure="kept",
                        base="random",
                    )["verdict"]
                ]
            teacher = f", noise {float(noise):g}" if noise else ""
            table.append(
                [
                    f"`{pool}`",
                    f"`{row['method']}`{teacher}",
                    f"{spread(row, 'kept')}{mark}",
                    number(row, "selected"),
                ]
            )
    return table


@builder
def answer_ranks(files: Files) -> Table:
    table = [["embedded", "answers", "number", "median", "mean", "nearest of all"]]
    for row in files.rows("instruction_selection/alpaca_9k/answer_ranks.csv"):
        table.append(
            [
                row["embedded"],
                row["answers"],
                row["count"],
                f"{float(row['median']):g}",
                f"{float(row['mean']):.1f}",
                f"{float(row['first']):.1f} %",
            ]
        )
    return table


@builder
def unrankable_pairs(files: Files) -> Table:
    """Shares over clusterings, and what shuffled ratings give."""
    table = [
        ["embedded by", "mean of clusters", "of all pairs", "shuffled", "two at random"]
    ]
    for name, title in (("tfidf", "TF-IDF"), ("minilm", "MiniLM")):
        rows = files.rows(f"instruction_selection/unrankable/{name}.csv")
        shares = {
            key: 100 * np.array([float(row[key]) for row in rows])
            for key in (
                *("by_cluster", "pooled", "shuffled", "shuffled_low"),
                *("shuffled_high", "chance"),
            )
        }
        low, high = shares["shuffled_low"].mean(), shares["shuffled_high"].mean()
        table.append(
            [
                title,
                of_repeats(shares["by_cluster"]),
                of_repeats(shares["pooled"]),
                f"{shares['shuffled'].mean():.1f} ({low:.1f} … {high:.1f})",
                f"{shares['chance'].mean():.1f}",
            ]
        )
    return table
