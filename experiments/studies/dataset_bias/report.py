"""Plots and words on a dataset-bias study, from its table alone."""

from __future__ import annotations

from experiments.studies.dataset_bias.pictures import draw_pictures
from experiments.study.numbers import Measure
from experiments.study.plot import (
    Line,
    Panel,
    draw,
    draw_kinds,
)
from experiments.study.table import Table
from robustjax.tools.histograms import Histogram, draw_histograms

MEASURES = (
    Measure("unbiased", "unbiased"),
    Measure("conflicting", "conflicting"),
    Measure("aligned", "aligned"),
    Measure("unbiased_best", "best on test: unbiased"),
    Measure("conflicting_best", "conflicting"),
    Measure("target_original", "class head: own features"),
    Measure("target_swapped", "swapped"),
    Measure("bias_original", "bias head: own features"),
    Measure("bias_swapped", "swapped"),
    Measure("split_precision", "split: precision"),
    Measure("split_recall", "recall"),
    Measure("split_f1", "F1"),
    Measure("split_macro_precision", "macro precision"),
    Measure("split_macro_recall", "macro recall"),
    Measure("split_macro_f1", "macro F1"),
)
_KINDS = (
    ("aligned_loss", "aligned", "tab:blue"),
    ("conflicting_loss", "conflicting", "tab:red"),
    ("wrong_loss", "wrong label", "tab:gray"),
)
_ACCURACIES = ("unbiased", "conflicting", "aligned")
_NOT_SCORES = ("ids", "predicted", "conflicting")


def report(table: Table) -> str:
    """Draws `accuracy.png`, `losses.png`, `examples.png`, pictures; the text."""
    _draw_accuracy(table)
    draw_kinds(table, "losses.png", _KINDS, "loss of training examples")
    _draw_examples(table)
    draw_pictures(table)
    text = meaning(table)
    return f"{table.overview('method')}\n" + (f"\n{text}" if text else "")


def meaning(table: Table) -> str:
    """What the table says, in a sentence."""
    shown = "unbiased" if "unbiased" in table.settings[0].values else "conflicting"
    last = {s.columns["method"]: s.values[shown].mean() for s in table.settings}
    if "vanilla" not in last or len(last) < 2:
        return ""
    best = max(last, key=lambda name: last[name])
    return (
        f"After the last epoch {best} is best with {100 * last[best]:.1f} % {shown} "
        f"accuracy, against {100 * last['vanilla']:.1f} % of plain cross-entropy."
    )


def _draw_accuracy(table: Table) -> None:
    """Accuracies on the test set, a panel each, by epoch."""
    panels = []
    for key in _ACCURACIES:
        lines = []
        for method in table.column("method"):
            curve = table.curve(key, method=method)
            if curve is not None:
                lines.append(Line(method, curve.epochs, 100 * curve.values))
        if lines:
            panels.append(Panel(lines, "epoch", "accuracy (%)", key))
    draw(table.folder / "accuracy.png", panels, table.title)


def _draw_examples(table: Table) -> None:
    """What methods hold of aligned and of conflicting examples, of the first repeat."""
    panels = []
    conflicting = None
    for label, _, arrays in table.examples(repeat=0):
        if not label:
            conflicting = arrays["is_conflicting"].astype(bool)
            continue
        assert conflicting is not None
        panels += [
            Histogram.of(
                label,
                name.replace("_", " "),
                values.astype(float),
                conflicting,
                kinds=("aligned", "conflicting"),
            )
            for name, values in arrays.items()
            if name not in _NOT_SCORES
        ]
    draw_histograms(table.folder / "examples.png", panels, table.title)
