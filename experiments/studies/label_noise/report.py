"""Plots and words on a label-noise study, from its table alone."""

from __future__ import annotations

import numpy as np

from experiments.study.numbers import Measure, deviation
from experiments.study.plot import Line, Panel, draw, draw_kinds
from experiments.study.table import Table
from robustjax.tools.histograms import draw_histograms, label_histograms

MEASURES = (
    Measure("last", "last"),
    Measure("last_10", "last 10"),
    Measure("best_on_test", "best on test"),
    Measure("at_best_validation", "at best validation"),
    Measure("noisy_correct", "noisy correct"),
    Measure("noisy_memorized", "noisy memorized", lowest_is_best=True),
    Measure("division", "division"),
)
_KINDS = (
    ("clean_correct", "right label: predicted right", "tab:blue"),
    ("noisy_correct", "wrong label: predicted right", "tab:green"),
    ("noisy_memorized", "wrong label: memorised", "tab:red"),
)


def report(table: Table) -> str:
    """Draws `accuracy.png`, `memorisation.png` and `examples.png`; the text.

    `division.png`, too, where a method divides its examples.
    """
    _draw_curves(table, "test_accuracy", "test accuracy (%)", "accuracy.png")
    if any("division" in setting.values for setting in table.settings):
        label = "right labels told from wrong ones (AUROC, %)"
        _draw_curves(table, "division", label, "division.png")
    draw_kinds(table, "memorisation.png", _KINDS, "training examples (%)", scale=100)
    beliefs = label_histograms(table.examples(repeat=0))
    draw_histograms(table.folder / "examples.png", beliefs, table.title)
    text = meaning(table)
    return f"{table.overview('method')}\n" + (f"\n{text}" if text else "")


def meaning(table: Table) -> str:
    """What the table says, in a sentence or two."""
    last = {s.columns["method"]: s.values["last"] for s in table.settings}
    if "ce" not in last or len(last) < 2:
        return ""
    base = last["ce"]
    best = max(last, key=lambda name: last[name].mean())
    better = [
        name
        for name, values in last.items()
        if name != "ce" and values.mean() - base.mean() > _spread(values, base)
    ]
    text = (
        f"After the last epoch {best} is best with {100 * last[best].mean():.1f} % "
        f"test accuracy, against {100 * base.mean():.1f} % of plain cross-entropy."
    )
    if not any(np.isfinite(_spread(base, values)) for values in last.values()):
        text += " One repeat has no deviation to hold that against."
    elif better:
        text += (
            " Above cross-entropy by more than the deviations of both: "
            f"{', '.join(better)}."
        )
    else:
        text += " No method is above it by more than the deviations of both."
    return text


def _spread(first: np.ndarray, second: np.ndarray) -> float:
    return float(deviation(first) + deviation(second))


def _draw_curves(table: Table, key: str, label: str, name: str) -> None:
    """A share by epoch, of all methods that have it."""
    lines = []
    for method in table.column("method"):
        curve = table.curve(key, method=method)
        if curve is not None:
            lines.append(Line(method, curve.epochs, 100 * curve.values))
    draw(table.folder / name, [Panel(lines, "epoch", label)], table.title)
