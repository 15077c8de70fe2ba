r"""List the labels of your own data set that are likely wrong, worst first.

    robustjax find-issues --dataset=table.csv --label-column=species --out=issues.csv
    robustjax find-issues --dataset=features.npz --probabilities=predicted.npy \
        --out=issues.csv

The first trains by cross-validation, so that every label is judged by a network that
never saw it. The second takes such probabilities from your own model: an .npy file
(N, C) in the data set's order, or an .npz file with `pred_probs` and, to join by id,
`ids`. The table has a row per example: its id, the given label, the label suggested,
the score (low means suspicious) and whether it counts as an issue. The page beside it,
`issues.html`, shows the issues for you to answer, and some other examples drawn at
random, from which it tells how many wrong labels are left. What it saves is for
`robustjax correct --amend=labeled.csv`.

    robustjax find-issues --dataset=table.csv --issues=all --out=report.csv

reports on the data, too: what occurs twice, exactly or nearly, what lies far from all
else, the classes that hardly occur, whether the rows stand in an order that has to do
with what is in them, and the rows without a label, in further columns of the same
table. Without `labels` among --issues nothing is trained.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from robustjax.tools.command.fields import option
from robustjax.tools.options.groups import (
    MlpFlags,
    OwnLabelFlags,
    PageFlags,
    SeedFlags,
    TrainingFlags,
)
from robustjax.tools.options.outputs import FORMATS

QUALITY_METHODS = (
    "self_confidence",
    "normalized_margin",
    "confidence_weighted_entropy",
)
FILTERS = (
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "predicted_neq_given",
    "low_normalized_margin",
    "low_self_confidence",
)


ISSUES = ("labels", "duplicates", "outliers", "classes", "order", "unlabeled")
METRICS = ("euclidean", "cosine")


@dataclasses.dataclass(frozen=True)
class ReportFlags:
    """Of what is reported beside labels."""

    group: ClassVar[str] = "Report"
    issues: tuple[str, ...] = option(
        ("labels",), "What to look for.", choices=(*ISSUES, "all")
    )
    features: str | None = option(
        None,
        ".npy or .npz file of vectors to measure distances by, as learn-features "
        "writes; by default the inputs.",
    )
    metric: str | None = option(
        None,
        "Of distances; by default cosine above three numbers.",
        choices=METRICS,
    )
    nearest: int = option(10, "Neighbours that distances are measured to.", low=1)
    duplicate_ratio: float = option(
        0.2, "Nearer than this share of the usual nearest distance: a duplicate.", low=0
    )
    outlier_threshold: float = option(
        2.24, "Robust z-score of the mean distance from which on one is an outlier."
    )
    rare_threshold: float = option(
        0.1, "A class is rare below this share of an even one.", low=0, high=1
    )
    order_level: float = option(
        0.01, "Rows are in an order from this p-value down.", low=0, high=1
    )


@dataclasses.dataclass(frozen=True)
class FindIssuesConfig(
    ReportFlags, SeedFlags, TrainingFlags, MlpFlags, PageFlags, OwnLabelFlags
):
    """The options."""

    hidden: tuple[int, ...] = (256, 256, 256)
    epochs: int = 20
    learning_rate: float = 0.01
    out: str | None = option(None, "The file to write.")
    format: str | None = option(
        None, "Of the file; by default as its suffix says, or csv.", choices=FORMATS
    )
    audit: int = option(
        30, "Other labels that the page asks about, drawn at random.", low=0
    )
    probabilities: str | None = option(
        None, ".npy or .npz file of out-of-sample probabilities; trains if not given."
    )
    method: str = option("self_confidence", "The score.", choices=QUALITY_METHODS)
    adjust_probabilities: bool = option(False, "Make the scores of classes comparable.")
    filter_by: str = option("prune_by_noise_rate", "What is an issue.", choices=FILTERS)
    frac_noise: float = option(1.0, "Share of the expected issues to flag.")
    min_examples_per_class: int = option(1, "Leave every class this many.")
    folds: int = option(5, "Networks to train, each without a part of the data.")
    save_probabilities: str | None = option(
        None, "An .npz file to keep the probabilities in, for --probabilities."
    )


def looks_for(config: ReportFlags, kind: str) -> bool:
    """Whether a kind of issue is asked for, by its name or with all."""
    return kind in config.issues or "all" in config.issues
