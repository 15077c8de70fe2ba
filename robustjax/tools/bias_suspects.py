"""Suspected bias-conflicting examples as tables and as a picture."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from robustjax import data, scores
from robustjax.tools.histograms import Histogram, draw_histograms
from robustjax.tools.tables import in_file, text_table

_TITLES = {
    "swap": "BiaSwap's score",
    "relative_difficulty": "LfF's relative difficulty",
    "gradient_norm": "norm of the last layer's gradient",
}


class Judged(NamedTuple):
    """One score of all examples, and its split."""

    score: np.ndarray
    threshold: np.ndarray
    suspected: np.ndarray


def judge(
    found: scores.BiasConflicts, labels: np.ndarray, rule: str, scope: str
) -> dict[str, Judged]:
    """Every score that there is, each with its own threshold by the same rule.

    Args:
      found: the scores.
      labels: (N,) the given ones.
      rule: see `scores.conflict_threshold`.
      scope: likewise.
    """
    judged = {}
    for name in scores.CONFLICT_SCORES:
        score = getattr(found, name)
        if score is not None:
            threshold = scores.conflict_threshold(score, labels, rule=rule, scope=scope)
            judged[name] = Judged(score, threshold, score > threshold)
    return judged


def quality(one: Judged, conflicting: np.ndarray) -> dict[str, float]:
    """How well a score and its split find those that do conflict."""
    ranked = scores.ood_detection_metrics(
        one.score[~conflicting], one.score[conflicting]
    )
    split = scores.split_quality(one.suspected, conflicting)
    return {"auroc": ranked.auroc, **split._asdict()}


def summary_rows(
    judged: dict[str, Judged], dataset: data.Dataset, conflicting: np.ndarray | None
) -> Iterator[dict[str, Any]]:
    """A row per score for all examples, and for those of every given label."""
    everybody = np.ones(len(dataset), bool)
    for name, one in judged.items():
        parts = {"": everybody} | {
            label: dataset.labels == number
            for number, label in enumerate(dataset.class_names)
        }
        for label, mine in parts.items():
            thresholds = np.unique(one.threshold[mine])
            row = {
                "score": name,
                "label": label,
                "examples": int(mine.sum()),
                # There is none for all where every class has its own.
                "threshold": f"{thresholds[0]:.9g}" if thresholds.size == 1 else "",
                "suspected": int(one.suspected[mine].sum()),
                "share": in_file(one.suspected[mine].mean()),
            }
            if conflicting is not None:
                known = quality(one, conflicting) if not label else {}
                row["conflicting"] = int(conflicting[mine].sum())
                row |= {
                    key: in_file(known[key]) if known else ""
                    for key in ("auroc", *scores.SplitQuality._fields)
                }
            yield row


def example_rows(
    found: scores.BiasConflicts, dataset: data.Dataset, predicted: np.ndarray
) -> Iterator[dict[str, Any]]:
    """The table of examples."""
    names = dataset.class_names
    for rank, row in enumerate(found.ranking.tolist(), 1):
        scored = {name: getattr(found, name) for name in scores.CONFLICT_SCORES}
        yield {
            "id": dataset.ids[row],
            "given_label": names[dataset.labels[row]],
            "predicted_label": names[predicted[row]],
            **{
                name: "" if score is None else f"{score[row]:.9g}"
                for name, score in scored.items()
            },
            "suspected": bool(found.conflicting[row]),
            "rank": rank,
        }


def draw_scores(
    path: pathlib.Path,
    judged: dict[str, Judged],
    found: scores.BiasConflicts,
    conflicting: np.ndarray | None,
    title: str,
) -> None:
    """A panel per score: who conflicts where that is known, else who is suspected."""
    kinds = ("aligned", "conflicting")
    marked = conflicting
    if marked is None:
        kinds = ("not suspected", f"suspected by {found.by}")
        marked = found.conflicting
    histograms = []
    for name, one in judged.items():
        thresholds = np.unique(one.threshold)
        line = float(thresholds[0]) if thresholds.size == 1 else None
        histograms.append(
            Histogram.of(
                _TITLES[name], name.replace("_", " "), one.score, marked, kinds, line
            )
        )
    draw_histograms(path, histograms, title)


def score_table(
    judged: dict[str, Judged], by: str, conflicting: np.ndarray | None
) -> str:
    """The scores side by side, for people."""
    header = ["score", "suspected", f"also by {by}"]
    rows = []
    for name, one in judged.items():
        both = int((one.suspected & judged[by].suspected).sum())
        rows.append([name, f"{one.suspected.sum():,}", f"{both:,}"])
        if conflicting is not None:
            known = quality(one, conflicting)
            shown = ("auroc", "precision", "recall", "f1", "macro_f1")
            rows[-1] += [f"{100 * known[key]:.1f}" for key in shown]
    if conflicting is not None:
        header += ["AUROC %", "precision %", "recall %", "F1 %", "macro F1 %"]
    return text_table(header, rows)
